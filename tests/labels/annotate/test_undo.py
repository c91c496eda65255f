"""Undo gives the decision back as a draft; leftover drafts and second windows are shown; retests leave gold alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from rich.text import Text
from textual.widgets import Static

from labels.agreement.report import retest_agreement
from labels.annotate.tasks import LabellingSession
from labels.codebook.schema import Codebook
from labels.gold import resolve, standing
from labels.sampling.drawing import DrawRequest
from labels.store import Draft, Store
from tests.labels.annotate.conftest import OpenScreen
from tests.labels.annotate.test_skips import typed
from tests.labels.store.builders import decision

ALL = DrawRequest(size=6)
AGAIN = DrawRequest("retest", retest_after=timedelta(0))


def session(store: Store, codebook: Codebook, request: DrawRequest = ALL) -> LabellingSession:
    return LabellingSession(store, codebook, "ana", request)


def test_undo_gives_labels_and_note_back_as_a_draft(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    screen = open_screen(session(store, codebook))
    screen.press("a", "t")
    screen.type_line("!", "two acts")
    screen.press("enter", "u")

    assert screen.text("choices").count("[x]") == 2
    assert screen.shows("! two acts")
    assert standing(store.events.all()).annotations == {}
    screen.press("enter")
    assert [(one.event, one.labels, one.note) for one in store.events.all()][::2] == [
        ("annotate", ("aid", "truce"), "two acts")
    ] * 2


def test_undo_lets_the_decision_before_stand_again(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    made = session(store, codebook)
    made.review(["aid"], "first")
    made.move(-1)
    made.review([])
    screen = open_screen(made)
    screen.press("u")

    (first,) = standing(store.events.all()).annotations.values()
    assert (first.labels, first.note) == (("aid",), "first")
    assert "[x]" not in screen.text("choices")  # as it was when "none" was confirmed
    assert screen.shows("Your earlier decision: aid")


def test_the_prompt_shows_what_was_undone(store: Store, codebook: Codebook) -> None:
    said = typed(session(store, codebook), codebook, "!why", "a", "u")

    assert "    undone, not confirmed: labels aid, note why" in said


@pytest.mark.parametrize("left", [0, 1])
def test_drafts_left_behind_are_shown_at_the_end(
    store: Store, codebook: Codebook, open_screen: OpenScreen, left: int
) -> None:
    made = session(store, codebook)
    screen = open_screen(made)
    screen.press(*"nnnnnn")
    if left:
        screen.press("left", "a", "end")
    assert screen.shows("Choices or notes not confirmed yet: 1.") == bool(left)
    assert made.drafts == left


# -- two windows of one annotator


def stands(store: Store) -> dict[str, tuple[str, ...]]:
    return {sentence: one.labels for (sentence, _), one in standing(store.events.all()).annotations.items()}


def test_undo_in_one_window_leaves_what_the_other_decided(store: Store, codebook: Codebook) -> None:
    first, second = session(store, codebook), session(store, codebook)
    sentence = first.current().sentence.id  # type: ignore[union-attr]
    first.review(["aid"])
    second.review(["truce"])  # on the same sentence

    assert first.undo()

    assert stands(store) == {sentence: ("truce",)}
    item = first.current()
    assert item is not None
    assert item.decision is not None
    assert (item.decision.labels, item.news) == (("truce",), "You decided on this sentence in another window.")
    assert not first.undo()
    assert second.undo()
    assert stands(store) == {}


def test_undo_of_what_stands_last_names_no_event_so_that_earlier_releases_read_it(
    store: Store, codebook: Codebook
) -> None:
    made = session(store, codebook)
    made.review(["aid"])
    made.undo()

    assert [one.undoes for one in store.events.all()] == ["", ""]


def test_a_decision_undone_in_one_window_is_not_undone_again_in_the_other(store: Store, codebook: Codebook) -> None:
    session(store, codebook).review(["aid"])
    first, second = session(store, codebook), session(store, codebook)
    assert first.undo()
    assert second.undo()

    assert [one.event for one in store.events.all()] == ["annotate", "undo"]
    assert second.current().news == "This decision was already undone in another window."  # type: ignore[union-attr]


def test_an_undo_of_a_decision_made_before_the_window_was_opened_says_so(
    store: Store, codebook: Codebook, open_screen: OpenScreen
) -> None:
    session(store, codebook).review(["aid"])
    screen = open_screen(session(store, codebook))
    screen.press("n", "u")
    assert "before this window" not in screen.text("remarks")
    screen.press("u")
    assert "made before this window was opened." in screen.text("remarks")


def test_a_sentence_decided_in_another_window_is_shown_with_the_decision(store: Store, codebook: Codebook) -> None:
    first, second = session(store, codebook), session(store, codebook)
    first.review(["aid"])

    item = second.current()
    assert item is not None
    assert item.decision is not None
    assert item.decision.labels == ("aid",)


def test_a_second_window_is_reported_while_it_is_open(store: Store) -> None:
    with store.windows.open("ana") as none, store.windows.open("ana") as one, store.windows.open("ben") as others:
        assert (none, len(one), others) == ([], 1, [])
    with store.windows.open("ana") as later:
        assert later == []


def test_the_screen_warns_of_a_second_window(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    screen = open_screen(session(store, codebook), notice="ana has another window open")

    assert screen.shows("ana has another window open")


@pytest.mark.parametrize(("notice", "is_red"), [("Warning: another window", True), ("Your open draw continues", False)])
def test_only_a_warning_is_red(
    store: Store, codebook: Codebook, open_screen: OpenScreen, notice: str, is_red: bool
) -> None:
    screen = open_screen(session(store, codebook), notice=notice)

    content = screen.app.query_one("#message", Static).content
    assert isinstance(content, Text)
    assert ("red" in str(content.style)) == is_red


# -- retests


def test_a_retest_does_not_change_gold(store: Store, codebook: Codebook) -> None:
    typed(session(store, codebook), codebook, *"aaaaaa")
    typed(session(store, codebook, AGAIN), codebook, *"tttttt")

    events = store.events.all()
    assert {event.strategy for event in events} == {"random", "retest-only"}
    assert set(resolve(events, codebook).gold.values()) == {("aid",)}
    assert store.counts.label_sets() == {("aid",): 6}
    sentences = store.documents.by_first_version({event.sentence_id for event in events})
    (measured,) = retest_agreement(events, sentences, codebook)
    assert (measured.figures.n_sentences, measured.figures.exact_agreement.value) == (6, 0.0)
    progress = {one.strategy: one.reviewed for one in store.counts.strategies()}
    assert progress == {"random": 6, "retest-only": 6}


def test_a_retested_sentence_is_not_tested_again(store: Store, codebook: Codebook) -> None:
    typed(session(store, codebook), codebook, *"aaaaaa")
    typed(session(store, codebook, AGAIN), codebook, *"tttttt")

    assert session(store, codebook, AGAIN).total == 0


def test_retests_of_earlier_releases_read_as_before(codebook: Codebook) -> None:
    events = [decision("s", labels=("aid",), strategy="random"), decision("s", labels=("truce",), strategy="retest")]

    assert resolve(events, codebook).gold == {"s": ("truce",)}


def test_an_undone_retest_leaves_a_draft_only(store: Store, codebook: Codebook) -> None:
    typed(session(store, codebook), codebook, *"aaaaaa")
    made = session(store, codebook, AGAIN)
    item = made.current()
    assert item is not None
    made.review(["truce"])
    made.undo()

    assert store.events.draft(item.sentence.id, "ana") == Draft(("truce",))
    assert set(resolve(store.events.all(), codebook).gold.values()) == {("aid",)}
