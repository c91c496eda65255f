from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.gold import kept_annotations, standing
from labels.records import Annotation, EventKind, State

_ids = count()


def event(
    kind: EventKind, *labels: str, sentence: str = "s1", annotator: str = "ana", at: str = "2026-01-01"
) -> Annotation:
    state: State | None = None if kind == "undo" else "reviewed"
    return Annotation(f"e{next(_ids)}", sentence, annotator, kind, state, labels, "hash", at)


def test_nothing_stands_without_events() -> None:
    stands = standing([])

    assert stands.annotations == {}
    assert stands.adjudications == {}


def test_the_last_decision_of_an_annotator_on_a_sentence_stands() -> None:
    first, second = event("annotate", "aid"), event("annotate", "truce")

    assert standing([first, second]).annotations == {("s1", "ana"): second}


def test_events_are_ordered_by_appending_not_by_time() -> None:
    early = event("annotate", "aid", at="2026-05-01")
    late = event("annotate", "truce", at="2026-01-01")

    assert standing([early, late]).annotations == {("s1", "ana"): late}


def test_annotators_and_sentences_are_kept_apart() -> None:
    rows = [
        event("annotate", "aid"),
        event("annotate", "truce", annotator="ben"),
        event("annotate", sentence="s2"),
    ]

    assert standing(rows).annotations == {("s1", "ana"): rows[0], ("s1", "ben"): rows[1], ("s2", "ana"): rows[2]}


def test_an_undo_makes_the_decision_before_it_stand_again() -> None:
    first = event("annotate", "aid")

    assert standing([first, event("annotate", "truce"), event("undo")]).annotations == {("s1", "ana"): first}


def test_undoing_the_only_decision_leaves_the_sentence_unseen() -> None:
    assert standing([event("annotate", "aid"), event("undo")]).annotations == {}


def test_an_undo_takes_back_only_ones_own_decision() -> None:
    first = event("annotate", "aid")

    assert standing([first, event("undo", annotator="ben")]).annotations == {("s1", "ana"): first}


def test_an_undo_without_a_decision_before_it_does_nothing() -> None:
    later = event("annotate", "aid")

    assert standing([event("undo"), later]).annotations == {("s1", "ana"): later}


def test_the_last_adjudication_stands_whoever_made_it() -> None:
    by_eva, by_ana = event("adjudicate", "aid", annotator="eva"), event("adjudicate", "truce", annotator="ana")

    assert standing([by_eva, by_ana]).adjudications == {"s1": by_ana}
    assert standing([by_ana, by_eva]).adjudications == {"s1": by_eva}


def test_an_adjudication_by_an_annotator_stands() -> None:
    by_eva, by_ana = event("adjudicate", "aid", annotator="eva"), event("adjudicate", "truce", annotator="ana")

    assert standing([event("annotate"), by_eva, by_ana]).adjudications == {"s1": by_ana}


def test_undoing_the_last_adjudication_restores_the_one_before() -> None:
    by_eva, by_ana = event("adjudicate", "aid", annotator="eva"), event("adjudicate", "truce")

    assert standing([by_eva, by_ana, event("undo")]).adjudications == {"s1": by_eva}


def test_an_adjudication_leaves_ones_own_annotation() -> None:
    decision, verdict = event("annotate", "aid"), event("adjudicate", "truce")

    stands = standing([decision, verdict])

    assert stands.annotations == {("s1", "ana"): decision}
    assert stands.adjudications == {"s1": verdict}
    assert standing([decision, verdict, event("undo")]).annotations == {("s1", "ana"): decision}
    assert standing([decision, verdict, event("undo")]).adjudications == {}


def of_draw(draw: str, kind: EventKind, *labels: str) -> Annotation:
    return replace(event(kind, *labels), draw_id=draw)


def test_an_undo_takes_back_a_decision_of_its_own_draw() -> None:
    label, verdict = of_draw("d1", "annotate", "aid"), event("adjudicate", "truce")

    stands = standing([label, verdict, of_draw("d1", "undo")])
    assert (stands.annotations, stands.adjudications) == ({}, {"s1": verdict})
    stands = standing([verdict, label, event("undo")])
    assert (stands.annotations, stands.adjudications) == ({("s1", "ana"): label}, {})


def test_an_undo_leaves_later_decisions_of_another_draw() -> None:
    first, later = of_draw("d1", "annotate", "aid"), of_draw("d2", "annotate", "truce")

    assert standing([first, later, of_draw("d1", "undo")]).annotations == {("s1", "ana"): later}


def test_an_undo_without_a_draw_takes_back_the_last_decision() -> None:
    first, later = of_draw("d1", "annotate", "aid"), of_draw("d2", "annotate", "truce")

    assert standing([first, later, event("undo")]).annotations == {("s1", "ana"): first}


AGAIN = pytest.mark.parametrize("strategy", ["retest", "relabel"])


def passed_over(strategy: str, draw: str = "again") -> Annotation:
    return replace(event("annotate"), state="skipped", strategy=strategy, draw_id=draw)


@AGAIN
def test_skipping_a_sentence_shown_again_keeps_the_review(strategy: str) -> None:
    review, skip = event("annotate", "aid"), passed_over(strategy)

    assert standing([review, skip]).annotations == {("s1", "ana"): review}
    assert kept_annotations([review, skip]) == [[review]]
    undo = replace(event("undo"), strategy=strategy, draw_id="again")
    assert standing([review, skip, undo]).annotations == {("s1", "ana"): review}
    assert standing([review, skip, undo, event("undo")]).annotations == {}


@AGAIN
def test_skipping_without_an_earlier_decision_is_a_skip(strategy: str) -> None:
    skip = passed_over(strategy)

    assert standing([skip]).annotations == {("s1", "ana"): skip}


@AGAIN
def test_a_new_review_corrected_to_a_skip_restores_the_old_one(strategy: str) -> None:
    first = event("annotate", "aid")
    slip = replace(event("annotate", "truce"), strategy=strategy, draw_id="again")

    assert standing([first, slip, passed_over(strategy)]).annotations == {("s1", "ana"): first}
    assert standing([first, slip, passed_over(strategy, "once more")]).annotations == {("s1", "ana"): slip}


@pytest.mark.parametrize("strategy", ["", "random", "audit"])
def test_a_skip_in_an_ordinary_draw_replaces_the_review(strategy: str) -> None:
    skip = passed_over(strategy)

    assert standing([event("annotate", "aid"), skip]).annotations == {("s1", "ana"): skip}


events = st.lists(
    st.builds(
        lambda kind, sentence, annotator: event(kind, sentence=sentence, annotator=annotator),
        st.sampled_from(["annotate", "undo", "adjudicate"]),
        st.sampled_from(["s1", "s2"]),
        st.sampled_from(["ana", "ben"]),
    ),
    max_size=12,
)


@given(events, st.sampled_from(["annotate", "adjudicate"]))
@settings(deadline=None, max_examples=100)
def test_deciding_and_undoing_restores_what_stood(rows: list[Annotation], kind: EventKind) -> None:
    decided = event(kind, "aid")
    taken_back = replace(decided, event_id="undone", event="undo", state=None, labels=())

    assert standing([*rows, decided, taken_back]) == standing(rows)
