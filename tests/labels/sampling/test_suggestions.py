from __future__ import annotations

from collections.abc import Iterator

import pytest

from labels.codebook.schema import Codebook
from labels.errors import InputError
from labels.sampling.suggestions import Suggester, choose_model
from labels.store import Store
from tests.labels.store.builders import PAST, added, model


@pytest.fixture
def store() -> Iterator[Store]:
    with Store("store.db") as opened:
        yield opened


def suggest(store: Store, *probabilities: float, exclusive: bool = False) -> tuple[str, ...]:
    """The labels suggested for a sentence of these probabilities; both thresholds are 0.25 and 0.75."""
    (identifier,) = added(store, 1)
    store.scores.add("m", [(1, probabilities, 0.0, 0.0, max(probabilities))])
    thresholds = () if exclusive else (0.25, 0.75)
    found = Suggester(store, model(thresholds=thresholds, exclusive=exclusive), "ana", 0.0).suggest(identifier)
    assert found is not None
    assert found.probabilities == dict(zip(("aid", "truce"), probabilities, strict=True))
    return found.labels


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        ((0.25, 0.75), ("aid", "truce")),
        ((0.5, 0.5), ("aid",)),
        ((0.125, 0.875), ("truce",)),
        ((0.125, 0.5), ()),
    ],
)
def test_each_label_that_reaches_its_threshold_is_suggested(
    store: Store, probabilities: tuple[float, float], labels: tuple[str, ...]
) -> None:
    assert suggest(store, *probabilities) == labels


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [((0.5, 0.25), ("aid",)), ((0.25, 0.5), ("truce",)), ((0.25, 0.25), ()), ((0.0, 1.0), ("truce",))],
)
def test_the_likeliest_class_is_suggested_if_exclusive(
    store: Store, probabilities: tuple[float, float], labels: tuple[str, ...]
) -> None:
    assert suggest(store, *probabilities, exclusive=True) == labels


def test_a_sentence_without_a_score_has_no_suggestion(store: Store) -> None:
    ids = added(store, 2)
    store.scores.add("another", [(1, (0.5, 0.5), 0.0, 0.0, 0.5)])
    store.scores.add("m", [(2, (0.5, 0.5), 0.0, 0.0, 0.5)])

    assert Suggester(store, model("m"), "ana", 1.0).suggest(ids[0]) is None


def blind(store: Store, ids: list[str], annotator: str, share: float) -> list[bool]:
    suggester = Suggester(store, model("m"), annotator, share)
    return [found.blind for identifier in ids if (found := suggester.suggest(identifier)) is not None]


@pytest.fixture
def scored(store: Store) -> list[str]:
    """Ids of two hundred scored sentences."""
    ids = added(store, 200)
    store.scores.add("m", [(number, (0.5, 0.5), 0.0, 0.0, 0.5) for number in range(1, 201)])
    return ids


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.25, 30, 70), (1.0, 200, 200)])
def test_about_the_share_asked_for_is_withheld(
    store: Store, scored: list[str], share: float, low: int, high: int
) -> None:
    assert low <= sum(blind(store, scored, "ana", share)) <= high


def test_sentence_and_annotator_alone_decide_what_is_withheld(store: Store, scored: list[str]) -> None:
    assert blind(store, scored, "ana", 0.5) == blind(store, scored, "ana", 0.5) != blind(store, scored, "ben", 0.5)
    few, more = blind(store, scored, "ana", 0.2), blind(store, scored, "ana", 0.6)
    assert all(more[place] for place, withheld in enumerate(few) if withheld)


def test_what_must_be_blind_is_so_whatever_the_share(store: Store, scored: list[str]) -> None:
    found = Suggester(store, model("m"), "ana", 0.0).suggest(scored[0], blind=True)

    assert found is not None
    assert found.blind


# -- choosing a model


def test_the_model_added_last_is_chosen_unless_another_is_named(store: Store, codebook: Codebook) -> None:
    early, late = model("abc1", created_at=PAST), model("abd2")
    for each in (late, early):
        store.scores.add_model(each)

    assert choose_model(store, codebook) == choose_model(store, codebook, "ab") == late
    assert choose_model(store, codebook, "abc") == choose_model(store, codebook, "abc1") == early


def test_a_model_that_is_not_there_is_named_with_those_that_are(store: Store, codebook: Codebook) -> None:
    with pytest.raises(
        InputError, match=r"no scores by any model \(models with scores: none\).*communique score ARTEFACT"
    ):
        choose_model(store, codebook)
    store.scores.add_model(model("abc"))
    with pytest.raises(InputError, match=r"no scores by model 'xyz' \(models with scores: abc\)"):
        choose_model(store, codebook, "xyz")


def test_a_model_of_another_codebook_is_refused(store: Store, codebook: Codebook) -> None:
    store.scores.add_model(model("abc", labels=("aid", "threat")))

    with pytest.raises(InputError, match=r"model abc has the labels aid, threat, but codebook 'small' has aid, truce"):
        choose_model(store, codebook)
