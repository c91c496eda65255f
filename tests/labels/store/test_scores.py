from __future__ import annotations

import struct

import pytest

from labels.store import Scorable, Store
from tests.labels.store.builders import (
    FUTURE,
    PAST,
    added,
    decision,
    draw,
    embed_all,
    model,
    score_all,
    sentences,
    vector,
)


def score(number: int, *probabilities: float) -> tuple[int, tuple[float, ...], float, float, float]:
    return number, probabilities, 0.5, 0.25, max(probabilities)


def numbers(found: list[Scorable]) -> list[int]:
    return [sentence.number for sentence in found]


def test_models_round_trip_latest_first(store: Store) -> None:
    early = model("early", created_at=PAST, thresholds=(0.25, 0.1), encoder="MiniLM “L6”")
    late = model("late", created_at=FUTURE, labels=("ä",), thresholds=(), exclusive=True)
    for each in (late, early, model("early", kind="another")):
        store.scores.add_model(each)

    assert store.scores.models() == [late, early]


def test_unscored_sentences_come_by_number_without_boilerplate(store: Store) -> None:
    added(store, 1, "d1")
    added(store, 2, "d2", boilerplate="caption")
    rows = sentences(3, "d3")
    store.add_annotated(rows, [])

    assert numbers(store.scores.unscored("m")) == [1, 4, 5, 6]
    assert store.scores.unscored("m", 2)[1] == Scorable(4, rows[0].id, "Text 0000")
    assert store.scores.count_unscored("m") == 4


def test_scoring_continues_and_includes_new_sentences(store: Store) -> None:
    added(store, 4)
    store.scores.add("m", [score(1, 0.5), score(2, 0.5)])
    assert numbers(store.scores.unscored("m")) == [3, 4]
    store.scores.add("m", [score(3, 0.5), score(4, 0.5)])
    assert store.scores.unscored("m") == []
    added(store, 1, "d2")

    assert numbers(store.scores.unscored("m")) == [5]
    assert store.scores.count_unscored("m") == 1
    assert store.scores.count_unscored("another") == 5


def test_gaps_are_found_after_new_sentences(store: Store) -> None:
    added(store, 5)
    store.scores.add("m", [score(2, 0.5), score(4, 0.5)])

    assert numbers(store.scores.unscored("m")) == [5]
    store.scores.add("m", [score(5, 0.5)])
    assert numbers(store.scores.unscored("m")) == [1, 3]
    assert numbers(store.scores.unscored("m", 1)) == [1]
    assert store.scores.count_unscored("m") == 2


def test_missing_embeddings_are_independent_of_scores(store: Store) -> None:
    added(store, 3)
    score_all(store, [0.5])
    store.scores.add_embeddings("m", [(1, vector(1.0))])

    assert store.scores.unscored("m") == []
    assert numbers(store.scores.unscored("m", embeddings=True)) == [2, 3]
    assert numbers(store.scores.unscored("n", embeddings=True)) == [1, 2, 3]


def test_probabilities_come_back_in_float32(store: Store) -> None:
    ids = added(store, 2)
    assert store.scores.add("m", [score(1, 0.1, 0.9, 1.0)]) == 1

    expected = struct.unpack("<3f", struct.pack("<3f", 0.1, 0.9, 1.0))
    assert store.scores.probabilities("m", ids[0]) == expected
    assert store.scores.probabilities("m", ids[1]) is None
    assert store.scores.probabilities("n", ids[0]) is None
    assert store.scores.probabilities("m", "elsewhere") is None


def test_known_scores_stay_as_they_are_and_are_not_counted(store: Store) -> None:
    ids = added(store, 2)
    store.scores.add("m", [score(1, 0.25)])

    assert store.scores.add("m", [score(1, 0.75), score(2, 0.5)]) == 1
    assert store.scores.add("m", []) == 0
    assert store.scores.probabilities("m", ids[0]) == (0.25,)


def test_embeddings_come_back_by_sentence(store: Store) -> None:
    ids = added(store, 500)
    given = embed_all(store, [vector(1.0, 0.0), vector(0.0, -1.0)])

    assert store.scores.embeddings("m", [*ids, "elsewhere"]) == given
    assert store.scores.embeddings("n", ids) == {}
    assert store.scores.add_embeddings("m", [(1, vector(0.5))]) == 0


@pytest.mark.parametrize("by", ["entropy", "margin"])
def test_uncertain_gives_unseen_sentences_least_sure_first(store: Store, by: str) -> None:
    ids = added(store, 6)
    measures = [0.1, 0.6, 0.3, 0.5, 0.4, 0.2]
    store.scores.add(
        "m", [(number, (0.5,), measure, 1 - measure, 0.5) for number, measure in enumerate(measures, start=1)]
    )
    store.scores.add("n", [(number, (0.5,), 0.9, 0.0, 0.5) for number in range(1, 7)])
    store.events.add([decision(ids[1])])
    store.draws.add([draw("ana", [ids[3]])], expires_at=FUTURE)

    found = store.unseen.uncertain("m", "margin" if by == "margin" else "entropy", 3)

    assert [identifier for identifier, _ in found] == [ids[4], ids[2], ids[5]]
    assert [value for _, value in found] == pytest.approx([0.6, 0.7, 0.8] if by == "margin" else [0.4, 0.3, 0.2])


def test_bands_of_top_probability_have_each_sentence_once(store: Store) -> None:
    added(store, 6)
    tops = [0.0, 0.25, 0.5, 0.75, 0.999, 1.0]
    store.scores.add("m", [score(number, top) for number, top in enumerate(tops, start=1)])
    store.scores.add("n", [score(1, 0.5)])

    assert store.scores.numbers_by_top("m", 0.0, 0.25) == [1]
    assert store.scores.numbers_by_top("m", 0.25, 0.75) == [2, 3]
    assert store.scores.numbers_by_top("m", 0.75, 1.0) == [4, 5, 6]
    assert store.scores.numbers_by_top("m", 0.3, 0.4) == []


def test_numbers_become_ids_in_their_order(store: Store) -> None:
    ids = added(store, 600)
    wanted = [*range(600, 0, -1), 7]

    assert store.documents.ids_of_numbers(wanted) == [ids[number - 1] for number in wanted]
    assert store.documents.ids_of_numbers([]) == []
