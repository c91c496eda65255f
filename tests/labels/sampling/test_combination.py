from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from labels.codebook.schema import codebook_from_dict
from labels.errors import DataError, InputError
from labels.exchange.driver import export_file, import_file
from labels.sampling.combination import CENSUS, Design, design_of
from labels.sampling.drawing import DrawRequest
from labels.sampling.strategies import Assignment, next_assignment
from labels.store import Store, now
from tests.labels.store.builders import added, decision, draw, score_all

BOOK = codebook_from_dict({"name": "small", "labels": [{"name": "aid"}, {"name": "truce"}]}, "small")


@pytest.fixture
def store() -> Iterator[Store]:
    """Forty sentences of four documents."""
    with Store("store.db") as opened:
        for number in range(4):
            added(opened, 10, f"d{number}")
        yield opened


def drawn(store: Store, size: int, strategy: str = "random", annotator: str = "ana", **more: object) -> Assignment:
    request = DrawRequest(strategy=strategy, size=size, seed=1, **more)  # type: ignore[arg-type]
    found = next_assignment(store, annotator, request)
    assert found is not None
    return found


def decide(store: Store, assignment: Assignment, count: int | None = None) -> list[str]:
    """Decide on the first sentences of an assignment; all of them unless a number is given."""
    items = [(one, item) for one in assignment.draws for item in one.items]
    items.sort(key=lambda pair: pair[1].position or 0)
    chosen = items[:count]
    for one, item in chosen:
        made = decision(item.sentence_id, one.annotator, draw_id=one.id, created_at=now())
        store.events.add([made])
    return [item.sentence_id for _, item in chosen]


def outline(design: Design) -> list[tuple[str, int, int, int]]:
    """Each stratum with its size, the number drawn and the number of its sentences in the corpus."""
    return [
        (one.name, one.size, one.drawn, sum(unit.stratum == place for unit in design.units))
        for place, one in enumerate(design.strata)
    ]


def test_a_random_draw_is_a_sample_of_what_was_undecided(store: Store) -> None:
    before = store.unseen.ids()[:6]
    store.events.add([decision(one) for one in before])
    decide(store, drawn(store, 5))

    design = design_of(store)

    assert outline(design) == [(CENSUS, 6, 6, 6), ("", 34, 5, 5)]
    assert {unit.sentence_id for unit in design.units if not unit.stratum} == set(before)
    assert (len(design.corpus), design.added, design.withdrawn) == (40, 0, 0)


def test_only_the_part_that_was_served_counts(store: Store) -> None:
    reached = decide(store, drawn(store, 10), 4)

    design = design_of(store)

    assert outline(design) == [("", 40, 4, 4)]
    assert {unit.sentence_id for unit in design.units} == set(reached)


def test_random_draws_after_one_another_are_one_sample(store: Store) -> None:
    decide(store, drawn(store, 5))
    decide(store, drawn(store, 7, annotator="ben"))

    assert outline(design_of(store)) == [("", 40, 12, 12)]


def test_what_was_chosen_in_between_starts_a_new_round(store: Store) -> None:
    first = decide(store, drawn(store, 5))
    chosen = store.unseen.ids()[:3]
    store.events.add([decision(one) for one in chosen])
    decide(store, drawn(store, 15))

    design = design_of(store)

    assert outline(design) == [("", 40, 5, 5), (CENSUS, 8, 8, 8), ("", 32, 15, 15)]
    assert [one.weight for one in design.strata] == [5 / 20, 15 / 20, 15 / 20]
    assert {unit.sentence_id for unit in design.units if unit.stratum == 1} == {*first, *chosen}
    assert "2 rounds" in design.rule


def test_one_draw_can_be_chosen(store: Store) -> None:
    decide(store, drawn(store, 5))
    store.events.add([decision(store.unseen.ids()[0])])
    second = drawn(store, 15)
    decide(store, second)

    assert outline(design_of(store, [second.draws[0].id])) == [(CENSUS, 6, 6, 6), ("", 34, 15, 15)]
    with pytest.raises(InputError, match="no probability sample 'x'"):
        design_of(store, ["x"])


def test_second_readings_are_not_drawn_twice(store: Store) -> None:
    decide(store, drawn(store, 10, overlap=0.5))
    decide(store, drawn(store, 6, annotator="ben", overlap=1.0))

    ids = [unit.sentence_id for unit in design_of(store).units]

    assert len(ids) == len(set(ids))


def test_an_audit_covers_what_was_decided_too(store: Store) -> None:
    store.events.add([decision(one) for one in store.unseen.ids()[:6]])
    score_all(store, [0.01, 0.05, 0.5, 0.95])
    decide(store, drawn(store, 12, "audit", model_id="m"))

    design = design_of(store)

    assert sorted(outline(design)) == [("0-0.02", 10, 3, 3), ("0.02-0.1", 10, 3, 3), ("0.3-0.6", 10, 3, 3),
                                       ("0.9-1", 10, 3, 3)]  # fmt: skip


def test_a_stratum_that_was_not_reached_is_not_forgotten(store: Store) -> None:
    score_all(store, [0.01, 0.05, 0.5, 0.95])
    decide(store, drawn(store, 12, "audit", model_id="m"), 2)

    with pytest.raises(InputError, match=r"no sentence of stratum .* has been reached"):
        design_of(store)


def test_an_audit_needs_no_model(store: Store) -> None:
    store.events.add([decision(one) for one in store.unseen.ids()[:6]])
    decide(store, drawn(store, 12, "audit"))

    assert outline(design_of(store)) == [("", 40, 12, 12)]


def test_articles_are_drawn_as_clusters(store: Store) -> None:
    assignment = drawn(store, 20, "document")
    decide(store, assignment, 15)

    design = design_of(store)

    # Of two articles, the second was not finished.
    assert outline(design) == [("", 4, 1, 10)]
    assert len({unit.cluster for unit in design.units}) == 1


def test_documents_added_or_removed_since_are_named(store: Store) -> None:
    decide(store, drawn(store, 20))
    added(store, 3, "late")
    store.removals.remove(["d1"])

    design = design_of(store)

    assert (design.added, design.added_documents) == (3, ["late"])
    assert (design.withdrawn, design.removed_documents) == (10, ["d1"])
    ((_, size, number, units),) = outline(design)
    assert (size, number) == (40, 20)
    assert units < 20
    assert {one.document_id for one in design.corpus} == {"d0", "d2", "d3"}


@pytest.mark.parametrize("labelled", [False, True])
def test_a_store_without_a_sample_says_how_to_draw_one(store: Store, labelled: bool) -> None:
    if labelled:
        store.events.add([decision(store.unseen.ids()[0])])
    with pytest.raises(InputError, match="communique label --strategy audit"):
        design_of(store)


def test_a_sample_of_which_nothing_is_labelled_says_so(store: Store) -> None:
    drawn(store, 5)
    with pytest.raises(InputError, match="has been labelled yet"):
        design_of(store)


def test_draws_of_earlier_releases_are_read_by_their_times(store: Store) -> None:
    ids = store.unseen.ids()
    store.events.add([decision(one, created_at="2026-01-01T00:00:00.000000+00:00") for one in ids[:10]])
    made = draw("ana", ids[10:20], frame_size=30, created_at="2026-02-01T00:00:00.000000+00:00")
    store.draws.add([made], expires_at=now())
    decide(store, Assignment((made,), frozenset()))

    assert outline(design_of(store)) == [(CENSUS, 10, 10, 10), ("", 30, 10, 10)]
    added(store, 1, "late")
    with pytest.raises(InputError, match="documents were added since"):
        design_of(store)


# -- to another store


def _moved(store: Store, annotators: Sequence[str] = ("",)) -> Store:
    other = Store("other.db")
    for number in range(4):
        added(other, 10, f"d{number}")
    for name in annotators:
        path = Path(f"{name or 'all'}.jsonl")
        export_file(store, path, BOOK, annotator=name)
        import_file(other, path, BOOK)
    return other


def test_the_native_file_carries_the_design(store: Store) -> None:
    store.events.add([decision(one, created_at=now()) for one in store.unseen.ids()[:6]])
    decide(store, drawn(store, 5), 3)
    score_all(store, [0.01, 0.5])
    decide(store, drawn(store, 12, "audit", "ben", model_id="m"))

    with _moved(store) as other:
        assert outline(design_of(other)) == outline(design_of(store))
        # A second import changes nothing.
        import_file(other, Path("all.jsonl"), BOOK)
        assert outline(design_of(other)) == outline(design_of(store))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame_size": "many"}, "`draw.frame_size`"),
        ({"items": [{"sentence_id": "x", "inclusion_probability": 0.0}]}, r"must be in \(0, 1\]"),
    ],
)
def test_a_wrong_draw_is_refused(store: Store, changes: dict[str, object], message: str) -> None:
    import json

    decide(store, drawn(store, 5))
    path = Path("out.jsonl")
    export_file(store, path, BOOK)
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    content = json.loads(first)
    path.write_text("\n".join([json.dumps({"draw": content["draw"] | changes}), *rest]), encoding="utf-8")

    with Store("other.db") as other, pytest.raises(DataError, match=message):
        import_file(other, path, BOOK)
