from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labels.codebook.changes import Step
from labels.codebook.reading import Edge
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import CodebookError
from labels.gold import resolve
from labels.records import Annotation, Sentence
from labels.store import Store
from labels.store.codebook_migration import MigrationPlan, StepEffect, apply_migration, plan_migration


def book(labels: str, version: str = "1", **more: Any) -> Codebook:
    rows = [{"name": label} for label in labels.split()]
    return codebook_from_dict({"name": "small", "version": version, "labels": rows} | more, "small")


OLD, NEW = book("aid truce"), book("loan gift halt", "2")
SPLIT, RENAME = Step("split", ("aid",), ("loan", "gift")), Step("rename", ("truce",), ("halt",))
STEPS = (SPLIT, RENAME)
SENTENCES = [Sentence("d1", 10 * i, 10 * i + 9, f"Sentence {i}.") for i in range(4)]
IDS = [sentence.id for sentence in SENTENCES]


def made(number: int, annotator: str, *labels: str, by: Codebook | str = OLD, **more: Any) -> Annotation:
    version = by if isinstance(by, str) else by.hash
    identifier = f"{number}-{annotator}-{version}-{more.get('event', '')}"
    event = Annotation(identifier, IDS[number], annotator, "annotate", "reviewed", labels, version, "2026-01-01")
    return replace(event, **more)


@pytest.fixture
def store(isolated: Path) -> Iterator[Store]:
    """Four sentences: two labelled `aid` (one also `truce`), one `truce`, one none; ben read the first and the last."""
    with Store(isolated / "labels.db") as opened:
        opened.codebooks.add(OLD)
        opened.add_annotated(SENTENCES, [])
        opened.events.add(
            [
                made(0, "ana", "aid"),
                made(1, "ana", "aid", "truce"),
                made(2, "ana", "truce"),
                made(3, "ana"),
                made(0, "ben", "aid"),
                made(3, "ben", state="skipped"),
            ]
        )
        yield opened


def counts(plan: MigrationPlan) -> tuple[int, int, int]:
    return plan.count("unchanged"), plan.count("changed"), plan.count("undecided")


def contents(store: Store) -> tuple[Any, ...]:
    return store.events.all(), store.codebooks.all(), store.codebooks.migrations(), store.relabelling.waiting()


# -- planning


def test_a_plan_counts_outcomes_of_standing_annotations(store: Store) -> None:
    store.events.add([made(2, "eva", "aid"), made(2, "eva", event="undo", state=None)])
    plan = plan_migration(store, OLD, NEW, STEPS)

    assert counts(plan) == (1, 1, 3)
    assert plan.annotators == 2
    assert plan.effects == (StepEffect(SPLIT, 0, 3, 2), StepEffect(RENAME, 2, 0, 1))
    assert plan.edges == (Edge(OLD.hash, NEW.hash, STEPS),)
    assert not plan.recorded


def test_a_plan_writes_nothing(store: Store) -> None:
    before = contents(store)
    plan_migration(store, OLD, NEW, STEPS)

    assert contents(store) == before


def test_a_plan_shows_some_affected_sentences(store: Store) -> None:
    shown = plan_migration(store, OLD, NEW, STEPS).examples

    assert [(text, moved.outcome) for text, moved in shown] == [
        ("Sentence 2.", "changed"),
        ("Sentence 0.", "undecided"),
        ("Sentence 1.", "undecided"),
        ("Sentence 0.", "undecided"),
    ]


def test_undecided_sentences_are_queued_with_reason_and_old_labels(store: Store) -> None:
    reason = "'aid' is now 'loan' or 'gift'"

    assert sorted(plan_migration(store, OLD, NEW, STEPS).relabel) == sorted(
        [(IDS[0], reason, ("aid",)), (IDS[1], reason, ("aid", "truce"))]
    )


def test_an_adjudicated_sentence_shows_its_adjudication(store: Store) -> None:
    store.events.add([made(0, "eva", "aid", "truce", event="adjudicate")])
    plan = plan_migration(store, OLD, NEW, STEPS)

    assert {sentence: previous for sentence, _, previous in plan.relabel}[IDS[0]] == ("aid", "truce")
    assert counts(plan) == (1, 1, 4)


def test_sentences_decided_under_the_new_version_are_not_queued(store: Store) -> None:
    store.events.add([made(0, "eva", "gift", by=NEW)])

    assert [sentence for sentence, _, _ in plan_migration(store, OLD, NEW, STEPS).relabel] == [IDS[1]]


def test_an_added_label_leaves_every_sentence_undecided(store: Store) -> None:
    plan = plan_migration(store, OLD, book("aid truce threat", "2"), [Step("add", (), ("threat",))])

    assert counts(plan) == (0, 0, 5)
    assert {sentence: reason for sentence, reason, _ in plan.relabel} == dict.fromkeys(IDS, "'threat' is a new label")


def test_changed_flags_need_no_steps_and_say_so_as_the_reason(store: Store) -> None:
    plan = plan_migration(store, OLD, book("aid truce", "2", exclusive=True), ())

    assert counts(plan) == (4, 0, 1)
    assert plan.relabel == ((IDS[1], "version 2 of the codebook allows other sets of labels", ("aid", "truce")),)


def test_a_retired_label_of_an_exclusive_codebook_leaves_sentences_undecided() -> None:
    old, new = book("aid truce", exclusive=True), book("truce", "2", exclusive=True)
    with Store("one.db") as store:
        store.add_annotated(SENTENCES, [])
        store.events.add([made(0, "ana", "aid", by=old), made(1, "ana", "truce", by=old)])
        plan = plan_migration(store, old, new, [Step("retire", ("aid",), ())])

    assert plan.effects[0].undecided == 1
    assert plan.relabel == ((IDS[0], "'aid' is no longer a label", ("aid",)),)


def test_unexplained_changes_and_mere_rewordings_are_refused(store: Store) -> None:
    with pytest.raises(CodebookError, match=r"'aid' is not in the new version"):
        plan_migration(store, OLD, NEW, [RENAME])
    with pytest.raises(CodebookError, match="have the same labels and flags"):
        plan_migration(store, OLD, book("truce aid", "1.1"), [])


def test_annotations_of_an_unrelated_codebook_are_left_alone(store: Store) -> None:
    other = book("weather", "9", name="other")
    store.codebooks.add(other)
    store.events.add([made(0, "kim", "weather", by=other)])

    assert counts(plan_migration(store, OLD, NEW, STEPS)) == (1, 1, 3)


# -- applying


def test_applying_records_versions_and_steps_and_queues_what_is_undecided(store: Store) -> None:
    events = store.events.all()
    plan = plan_migration(store, OLD, NEW, STEPS)

    assert apply_migration(store, plan) == 2
    assert store.events.all() == events
    assert set(store.codebooks.all()) == {OLD.hash, NEW.hash}
    assert store.codebooks.history().edges == (Edge(OLD.hash, NEW.hash, STEPS),)
    assert {(entry.sentence_id, entry.reason, entry.previous) for entry in store.relabelling.waiting()} == set(
        plan.relabel
    )
    resolution = resolve(store.events.all(), NEW, store.codebooks.history())
    assert resolution.gold == {IDS[2]: ("halt",), IDS[3]: ()}
    assert set(resolution.undecided) == {IDS[0], IDS[1]}


def test_applying_twice_changes_nothing_more(store: Store) -> None:
    apply_migration(store, plan_migration(store, OLD, NEW, STEPS))
    before = contents(store)
    again = plan_migration(store, OLD, NEW, STEPS[::-1])

    assert (again.recorded, again.edges) == (True, ())
    assert apply_migration(store, again) == 0
    assert contents(store) == before


def test_an_interrupted_plan_can_be_completed(store: Store) -> None:
    plan = plan_migration(store, OLD, NEW, STEPS)
    apply_migration(store, replace(plan, relabel=()))

    assert apply_migration(store, plan_migration(store, OLD, NEW, STEPS)) == 2


def test_other_steps_for_a_recorded_change_are_refused(store: Store) -> None:
    apply_migration(store, plan_migration(store, OLD, NEW, STEPS))
    others = [Step("retire", ("aid",), ()), RENAME, Step("add", (), ("loan",)), Step("add", (), ("gift",))]
    for old, new in ((OLD, NEW), (book("truce aid", "1.1"), book("halt gift loan", "2.1"))):
        with pytest.raises(CodebookError, match=r"already recorded with other steps: --split aid=loan,gift"):
            plan_migration(store, old, new, others)


def test_a_further_change_carries_the_annotations_of_all_earlier_versions(store: Store) -> None:
    apply_migration(store, plan_migration(store, OLD, NEW, STEPS))
    store.events.add([made(0, "eva", "gift", by=NEW)])
    third = book("support halt", "3")
    plan = plan_migration(store, NEW, third, [Step("merge", ("loan", "gift"), ("support",))])

    assert len(plan.moved) == 6
    apply_migration(store, plan)
    # What was split and is merged again stays open: somebody may have found neither part.
    assert resolve(store.events.all(), third, store.codebooks.history()).gold == {
        IDS[0]: ("support",),
        IDS[2]: ("halt",),
        IDS[3]: (),
    }


# -- versions that the store does not know


def test_annotations_of_an_unknown_version_follow_the_version_they_fit(store: Store) -> None:
    store.events.add([made(2, "kim", "truce", by="imported"), made(1, "lea", "gift", by="elsewhere")])
    plan = plan_migration(store, OLD, NEW, STEPS)

    assert plan.adopted == 1
    assert counts(plan) == (1, 2, 3)
    apply_migration(store, plan)
    assert Edge("imported", OLD.hash) in store.codebooks.history().edges
    assert resolve(store.events.all(), NEW, store.codebooks.history()).gold[IDS[2]] == ("halt",)
    before = contents(store)
    assert apply_migration(store, plan_migration(store, OLD, NEW, STEPS)) == 0
    assert contents(store) == before


def test_annotations_of_an_unknown_version_leave_an_added_label_undecided(store: Store) -> None:
    store.events.add([made(2, "kim", by="imported")])
    new = book("aid truce threat", "2")
    apply_migration(store, plan_migration(store, OLD, new, [Step("add", (), ("threat",))]))

    assert resolve(store.events.all(), new, store.codebooks.history()).gold == {}
