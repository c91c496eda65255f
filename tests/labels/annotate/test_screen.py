"""The screen by its keys: what it shows and what is in the store afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from labels.annotate.adjudication import AdjudicationSession
from labels.annotate.tasks import LabellingSession
from labels.codebook.changes import Step
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.records import Document, Sentence
from labels.sampling.drawing import DrawRequest
from labels.sampling.suggestions import Suggester
from labels.store import Draft, Store
from labels.store.codebook_migration import apply_migration, plan_migration
from tests.labels.annotate.conftest import (
    NARROW,
    SENTENCES,
    WIDE,
    OpenScreen,
    Screen,
    article,
    database,
    dispute,
    score,
)
from tests.labels.store.builders import PAST, added, decision, model

Stored = list[tuple[str, str | None, tuple[str, ...]]]


@pytest.fixture
def session(store: Store, codebook: Codebook) -> LabellingSession:
    """All six sentences, drawn for ana."""
    return LabellingSession(store, codebook, "ana")


@pytest.fixture
def screen(session: LabellingSession, open_screen: OpenScreen) -> Screen:
    """A wide screen on that session."""
    return open_screen(session)


def stored(store: Store) -> Stored:
    return [(event.event, event.state, event.labels) for event in store.events.all()]


def drafts(store: Store) -> list[Draft]:
    """Every draft of ana's."""
    return [
        draft
        for sentence in store.documents.sentences()
        if (draft := store.events.draft(sentence.id, "ana")) != Draft()
    ]


# -- deciding


def test_the_first_sentence_is_shown_in_its_context(store: Store, screen: Screen) -> None:
    place = SENTENCES.index(screen.text("sentence"))

    around = [SENTENCES[i] for i in range(place - 2, place + 3) if 0 <= i < len(SENTENCES) and i != place]
    shown = f"{screen.text('before')} {screen.text('after')}".split()
    assert shown == " ".join(around).split()
    assert screen.text("heading") == "1 · Talks in Lindholm  2026-03-02"


def test_texts_titles_names_and_notes_cannot_control_the_terminal(codebook: Codebook, open_screen: OpenScreen) -> None:
    hostile = "\x1b[2J\u202e\x9b[bold]"
    text = f"Oslo {hostile} pledged aid. Rain {hostile} fell."
    cut = text.index("Rain")
    with Store("hostile.db") as store:
        document = Document("x", text, title=f"Title {hostile}")
        spans = [(0, cut - 1), (cut, len(text))]
        rows = [Sentence(document.id, left, right, text[left:right]) for left, right in spans]
        store.documents.add([(document, rows)])
        decisions = [decision(rows[0].id, name, note=f"why {hostile}") for name in (f"ana {hostile}", "ben")]
        store.events.add([replace(decisions[0], labels=("aid",)), decisions[1]])
        screen = open_screen(AdjudicationSession(store, codebook, f"eva {hostile}"), annotator=f"eva {hostile}")
        screen.type_line("!", "a note")
        screen.press("!", "\x1b")
        picture = screen.picture()

        shown = "␛[2J\\u202e\\x9b[bold]"
        assert screen.text("sentence") == f"Oslo {shown} pledged aid."
        assert screen.text("after") == f"Rain {shown} fell."
        assert screen.text("heading") == f"1 · Title {shown}"
        assert f"ana {shown}: aid  ! why {shown}" in screen.text("remarks")
        assert screen.text("top").startswith(f"eva {shown} ")
        assert not set(picture) & set("\x1b\u202e\x9b")


def test_the_line_of_text_shows_control_characters_and_keeps_them(
    store: Store, codebook: Codebook, open_screen: OpenScreen
) -> None:
    session = LabellingSession(store, codebook, "ana")
    session.current()
    session.keep_draft((), "a \x1b[2Jnote")
    screen = open_screen(session)
    screen.press("!")

    assert screen.shows("a ␛[2Jnote", "line")
    screen.press("enter")
    assert session.current() is not None
    assert drafts(store) == [Draft((), "a \x1b[2Jnote")]


def test_label_keys_choose_and_unchoose(store: Store, screen: Screen) -> None:
    screen.press("t", "a")
    assert screen.text("choices").split("\n") == [" a  [x] aid", " t  [x] truce"]

    screen.press("t")
    assert screen.text("choices").split("\n") == [" a  [x] aid", " t  [ ] truce"]
    assert stored(store) == []


def test_enter_saves_what_is_chosen_and_shows_the_next(store: Store, screen: Screen) -> None:
    first = screen.text("sentence")

    screen.press("t", "a", "enter")

    (event,) = store.events.all()
    assert (event.annotator, event.state, event.labels) == ("ana", "reviewed", ("aid", "truce"))
    assert store.documents.sentences([event.sentence_id])[0].text == first
    assert screen.text("sentence") != first
    assert "[x]" not in screen.text("choices")
    assert " 1/6 " in screen.text("top")


def test_enter_with_nothing_chosen_is_refused(store: Store, screen: Screen) -> None:
    screen.press("enter")

    assert "Nothing is chosen" in screen.text("message")
    assert stored(store) == []

    screen.press("a")
    assert screen.text("message") == ""


@pytest.mark.parametrize(("key", "state"), [("n", "reviewed"), ("s", "skipped")])
def test_none_and_skip_decide_at_once_whatever_is_chosen(store: Store, screen: Screen, key: str, state: str) -> None:
    screen.press("a", key)

    assert stored(store) == [("annotate", state, ())]
    assert "[x]" not in screen.text("choices")


def test_undo_takes_decisions_back_one_by_one(store: Store, screen: Screen) -> None:
    first = screen.text("sentence")
    screen.press("n")
    second = screen.text("sentence")
    screen.press("a", "enter", "u")
    assert screen.text("sentence") == second

    screen.press("u")
    assert screen.text("sentence") == first
    assert [kind for kind, _, _ in stored(store)] == ["annotate", "annotate", "undo", "undo"]

    screen.press("u")
    assert screen.text("message") == "Nothing to undo."


def test_a_key_that_means_nothing_is_named(store: Store, screen: Screen) -> None:
    screen.press("x")

    assert screen.text("message") == "'x' is not one of the keys; ? lists all keys."
    assert stored(store) == []


def test_fast_keys_count_in_order(store: Store, screen: Screen) -> None:
    screen.press_at_once("t", "enter", "a", "t", "enter", "n", "u", "s")

    assert stored(store) == [
        ("annotate", "reviewed", ("truce",)),
        ("annotate", "reviewed", ("aid", "truce")),
        ("annotate", "reviewed", ()),
        ("undo", None, ()),
        ("annotate", "skipped", ()),
    ]


def test_q_ends_the_app_and_later_keys_decide_nothing(store: Store, screen: Screen) -> None:
    screen.press_at_once("a", "q", "n", "enter")

    assert not screen.app.is_running
    assert stored(store) == []
    assert drafts(store) == [Draft(("aid",))]


def test_an_exclusive_codebook_decides_at_once(
    store: Store, exclusive_codebook: Codebook, open_screen: OpenScreen
) -> None:
    screen = open_screen(LabellingSession(store, exclusive_codebook, "ana"), exclusive_codebook)

    screen.press("2", "n", "1")

    assert [labels for _, _, labels in stored(store)] == [("truce",), (), ("aid",)]


def test_none_is_refused_where_the_codebook_demands_a_label(store: Store, open_screen: OpenScreen) -> None:
    labels = [{"name": "aid"}, {"name": "truce"}]
    book = codebook_from_dict({"name": "b", "exclusive": True, "allow_none": False, "labels": labels}, "b")
    screen = open_screen(LabellingSession(store, book, "ana"), book, NARROW)

    screen.press("n")

    assert "codebook 'b' requires a label, but none is given" in screen.text("message")
    assert screen.shows("Add the label, or set `allow_none = true`.")
    assert stored(store) == []


# -- moving


def test_arrows_show_decided_sentences_with_their_labels(store: Store, screen: Screen) -> None:
    first = screen.text("sentence")
    screen.press("t", "enter")
    second = screen.text("sentence")

    screen.press("left")
    assert screen.text("sentence") == first
    assert "Your earlier decision: truce" in screen.text("remarks")
    assert "[x] truce" in screen.text("choices")

    screen.press("right")
    assert screen.text("sentence") == second
    assert "[x]" not in screen.text("choices")


def test_deciding_again_leaves_both_decisions_and_goes_on(store: Store, screen: Screen) -> None:
    screen.press("t", "enter", "n")
    third = screen.text("sentence")

    screen.press("left", "left", "a", "enter")

    first, _, again = store.events.all()
    assert again.sentence_id == first.sentence_id
    assert again.labels == ("aid", "truce")
    assert screen.text("sentence") == third
    assert " 2/6 " in screen.text("top")


def test_an_unsaved_change_of_a_decided_sentence_is_shown(screen: Screen) -> None:
    screen.press("t", "enter", "left")
    screen.type_line("!", "sure?")
    screen.press("t", "right", "left")

    assert "[x]" not in screen.text("choices")
    assert "Your earlier decision: truce" in screen.text("remarks")


def renamed(store: Store, codebook: Codebook) -> Codebook:
    """The next version of the codebook, in which `truce` is called `halt`; the store knows the change."""
    aid, truce = (label.model_dump() for label in codebook.labels)
    content = codebook.model_dump() | {"version": "2", "labels": [aid, truce | {"name": "halt"}]}
    book = codebook_from_dict(content, "small")
    apply_migration(store, plan_migration(store, codebook, book, [Step("rename", ("truce",), ("halt",))]))
    return book


def test_a_decision_under_an_older_codebook_is_shown_in_new_labels(
    store: Store, codebook: Codebook, open_screen: OpenScreen
) -> None:
    open_screen(LabellingSession(store, codebook, "ana")).press("t", "enter")
    book = renamed(store, codebook)
    screen = open_screen(LabellingSession(store, book, "ana"), book)

    screen.press("left")
    assert screen.text("remarks") == "Your earlier decision: truce, now halt"
    assert screen.text("choices").split("\n") == [" a  [ ] aid", " t  [x] halt"]

    screen.press("a", "enter")
    assert [event.labels for event in store.events.all()] == [("truce",), ("aid", "halt")]


def test_a_draft_forgets_labels_that_the_codebook_lacks(
    store: Store, codebook: Codebook, open_screen: OpenScreen
) -> None:
    open_screen(LabellingSession(store, codebook, "ana")).press("t", "a")
    book = renamed(store, codebook)

    screen = open_screen(LabellingSession(store, book, "ana"), book)
    assert screen.text("choices").split("\n") == [" a  [x] aid", " t  [ ] halt"]

    screen.press("enter")
    assert [event.labels for event in store.events.all()] == [("aid",)]


def test_a_decision_under_an_unrelated_codebook_chooses_nothing(
    store: Store, codebook: Codebook, open_screen: OpenScreen
) -> None:
    open_screen(LabellingSession(store, codebook, "ana")).press("t", "enter")
    book = codebook_from_dict({"name": "other", "labels": [{"name": "threat"}]}, "other")
    screen = open_screen(LabellingSession(store, book, "ana"), book)

    screen.press("left")
    assert screen.text("remarks") == "Your earlier decision: truce"

    screen.press("1", "enter")
    assert store.events.all()[-1].labels == ("threat",)


def test_moving_stops_at_both_ends(screen: Screen) -> None:
    first = screen.text("sentence")
    screen.press("left")
    assert screen.text("message") == "There are no more sentences in that direction."
    assert screen.text("sentence") == first

    screen.press(*["right"] * 5)
    assert screen.text("message") == ""
    screen.press("right")
    assert screen.text("message") == "There are no more sentences in that direction."


def test_end_goes_to_the_next_undecided_sentence(screen: Screen) -> None:
    screen.press("n", "n")
    third = screen.text("sentence")

    screen.press("left", "left", "end")

    assert screen.text("sentence") == third


@pytest.mark.parametrize("words", ["FERRIES", "the ferries in"])
def test_find_goes_to_the_sentence_that_holds_the_words(screen: Screen, words: str) -> None:
    screen.type_line("/", words)

    assert screen.text("sentence") == "Rain kept the ferries in port."


def test_finding_again_goes_round(screen: Screen) -> None:
    found = []
    for _ in range(3):
        screen.type_line("/", "Norland")
        found.append(screen.text("sentence"))

    assert found[0] == found[2] != found[1]
    assert all("Norland" in text for text in found)


def test_what_cannot_be_found_is_named(screen: Screen) -> None:
    first = screen.text("sentence")

    screen.type_line("/", "zebra")

    assert screen.text("message") == "No sentence of this draw contains 'zebra'."
    assert screen.text("sentence") == first


def test_a_sentence_is_jumped_to_by_its_number(screen: Screen) -> None:
    screen.press("right", "right")
    third = screen.text("sentence")
    screen.press("left", "left")

    screen.type_line(":", "3")

    assert screen.text("sentence") == third
    assert screen.text("heading").startswith("3 · ")


def test_a_number_that_no_sentence_has_is_named(screen: Screen) -> None:
    first = screen.text("sentence")

    for number in ("0", "7", "-1", "two", "3.5", "²"):
        screen.type_line(":", number)
        assert screen.text("message") == f"There is no sentence {number} in this draw."
        assert screen.text("sentence") == first


@pytest.mark.parametrize("key", ["/", ":", "#"])
def test_an_empty_answer_changes_nothing(screen: Screen, key: str) -> None:
    first = screen.text("sentence")

    screen.type_line(key, " ")

    assert (screen.text("sentence"), screen.text("message")) == (first, "")


# -- labels by name


def test_a_label_is_toggled_by_the_beginning_of_its_name(store: Store, screen: Screen) -> None:
    screen.type_line("#", "TR")
    assert screen.text("choices").split("\n") == [" a  [ ] aid", " t  [x] truce"]

    screen.type_line("#", "ai")
    screen.type_line("#", "truce")
    screen.press("enter")
    assert [event.labels for event in store.events.all()] == [("aid",)]


def test_a_label_without_a_key_is_decided_on_by_its_name(store: Store, open_screen: OpenScreen) -> None:
    names = [{"name": f"topic_{number}"} for number in range(77)]
    book = codebook_from_dict({"name": "b", "exclusive": True, "labels": names}, "b")
    screen = open_screen(LabellingSession(store, book, "ana"), book, NARROW)
    assert screen.shows("# name", "keys")

    screen.type_line("#", "topic_76")

    assert [event.labels for event in store.events.all()] == [("topic_76",)]


def test_the_labels_shown_narrow_with_what_is_typed(screen: Screen) -> None:
    screen.press("#", "t")
    assert screen.text("choices") == " t  [ ] truce"

    screen.press("backspace")
    assert screen.text("choices").split("\n") == [" a  [ ] aid", " t  [ ] truce"]

    screen.press("x")
    assert screen.text("choices") == "No label's name begins with 'x'."

    screen.press("escape")
    assert screen.text("choices").split("\n") == [" a  [ ] aid", " t  [ ] truce"]


def test_tab_completes_a_name_as_far_as_it_is_sure(store: Store, open_screen: OpenScreen) -> None:
    names = ("card_lost", "card_late", "cash")
    book = codebook_from_dict({"name": "b", "labels": [{"name": name} for name in names]}, "b")
    screen = open_screen(LabellingSession(store, book, "ana"), book)

    screen.press("#", "C", "tab")
    assert screen.line.value == "ca"
    screen.press("r", "tab")
    assert screen.line.value == "card_l"
    screen.press("tab", "o", "tab")
    assert screen.line.value == "card_lost"
    screen.press("x", "tab")
    assert screen.line.value == "card_lostx"

    screen.press("backspace", "enter", "enter")
    assert [event.labels for event in store.events.all()] == [("card_lost",)]


def test_a_name_that_is_not_one_label_is_said_and_can_be_typed_on(
    store: Store, exclusive_codebook: Codebook, open_screen: OpenScreen
) -> None:
    screen = open_screen(LabellingSession(store, exclusive_codebook, "ana"), exclusive_codebook)

    screen.press("#", "t", "enter")
    assert screen.text("message") == "2 label names begin with 't'. Type more of the name: truce, threat"
    assert screen.line.display

    screen.press("h")
    assert screen.text("message") == ""
    screen.press("enter")
    assert [event.labels for event in store.events.all()] == [("threat",)]
    assert not screen.line.display


def test_no_label_is_asked_for_where_there_is_no_sentence(screen: Screen) -> None:
    screen.press(*["n"] * 6, "#")

    assert not screen.line.display


# -- notes and drafts


def test_a_note_is_kept_with_the_decision(store: Store, screen: Screen) -> None:
    screen.type_line("!", "ask Ben")
    assert "! ask Ben" in screen.text("remarks")

    screen.press("a", "enter")

    (event,) = store.events.all()
    assert (event.labels, event.note) == (("aid",), "ask Ben")
    assert "ask Ben" not in screen.text("remarks")


@pytest.mark.parametrize("key", ["n", "s"])
def test_none_and_skip_keep_the_note_too(store: Store, screen: Screen, key: str) -> None:
    screen.type_line("!", "cut off")
    screen.press(key)

    assert [event.note for event in store.events.all()] == ["cut off"]


@pytest.mark.parametrize("fast", [False, True])
def test_characters_typed_into_a_note_are_no_commands(store: Store, screen: Screen, fast: bool) -> None:
    typed = ["!", *"nsuqat?!/:x", "enter"]

    screen.press_at_once(*typed) if fast else screen.press(*typed)

    assert stored(store) == []
    assert drafts(store) == [Draft((), "nsuqat?!/:x")]
    assert screen.app.is_running
    assert not screen.line.display


def test_keys_pressed_right_after_a_note_are_commands_again(store: Store, screen: Screen) -> None:
    screen.press_at_once("!", "h", "m", "enter", "a", "enter")

    assert [(event.labels, event.note) for event in store.events.all()] == [(("aid",), "hm")]


def test_a_note_is_edited_where_it_ended(store: Store, screen: Screen) -> None:
    screen.type_line("!", "ask")
    screen.type_line("!", " Ben")
    assert "! ask Ben" in screen.text("remarks")

    screen.press_at_once("!", *["backspace"] * 4, "enter")
    assert "! ask" in screen.text("remarks")
    assert drafts(store) == [Draft((), "ask")]


def test_the_cursor_moves_within_a_note(store: Store, screen: Screen) -> None:
    screen.press("!", "b", "left", "a", "right", "c", "home", "!", "enter")

    assert drafts(store) == [Draft((), "!abc")]
    assert stored(store) == []


def test_escape_leaves_a_note_as_it_was(store: Store, screen: Screen) -> None:
    screen.type_line("!", "ask")

    screen.press("!", "x", "escape")

    assert drafts(store) == [Draft((), "ask")]
    assert not screen.line.display
    screen.press("n")
    assert [event.note for event in store.events.all()] == ["ask"]


def test_an_emptied_note_is_gone(store: Store, screen: Screen) -> None:
    screen.type_line("!", "ab")

    screen.press("!", "backspace", "backspace", "enter")

    assert "!" not in screen.text("remarks")
    assert drafts(store) == []


def test_each_key_press_is_in_the_store_before_it_is_confirmed(store: Store, screen: Screen) -> None:
    seen = []
    for key in ("t", "a", "t"):
        screen.press(key)
        with Store("store.db") as another:
            seen += drafts(another)

    assert seen == [Draft(("truce",)), Draft(("truce", "aid")), Draft(("aid",))]
    assert stored(store) == []


def test_what_was_not_confirmed_comes_back_in_a_new_app(
    store: Store, codebook: Codebook, open_screen: OpenScreen
) -> None:
    first = open_screen(LabellingSession(store, codebook, "ana"))
    first.press("n", "t")
    first.type_line("!", "sure?")
    text = first.text("sentence")
    first.close()

    second = open_screen(LabellingSession(store, codebook, "ana"))

    assert second.text("sentence") == text
    assert "[x] truce" in second.text("choices")
    assert "! sure?" in second.text("remarks")
    second.press("enter")
    assert [(event.labels, event.note) for event in store.events.all()[1:]] == [(("truce",), "sure?")]
    assert drafts(store) == []


def test_a_draft_is_shown_on_coming_back(screen: Screen) -> None:
    screen.press("a", "right", "left")

    assert "[x] aid" in screen.text("choices")


# -- the codebook


def test_tab_folds_the_codebook_in_three_steps_beside_the_text(screen: Screen) -> None:
    page = screen.app.query_one("#page")
    book = screen.app.query_one("#codebook")
    states = []
    for _ in range(4):
        states.append((page.display, book.display, "small 1" in screen.text("rules")))
        screen.press("tab")

    assert states == [(True, True, True), (True, True, True), (True, False, True), (True, True, True)]


def test_the_second_step_leaves_definitions_only(store: Store, open_screen: OpenScreen) -> None:
    label = {"name": "aid", "key": "a", "definition": "Help is promised.", "include": ["Loans"]}
    book = codebook_from_dict({"name": "b", "labels": [label]}, "b")
    screen = open_screen(LabellingSession(store, book, "ana"), book)
    assert screen.shows("+ Loans")

    screen.press("tab")

    assert screen.shows("Help is promised.")
    assert not screen.shows("+ Loans")


@pytest.mark.parametrize("size", [NARROW, (100, 30), WIDE])
def test_the_sentence_stays_in_view_whatever_is_open(
    session: LabellingSession, open_screen: OpenScreen, size: tuple[int, int]
) -> None:
    screen = open_screen(session, size=size)
    sentence = screen.text("sentence")
    for keys in (("f2",), ("f3",), ("tab",), ("ctrl+f", "t"), ("escape",), ("!", "n", "o"), ("enter",), ("f3",)):
        screen.press(*keys)
        assert screen.shows(sentence, "page"), keys
        assert screen.shows("[ ] truce", "page"), keys
    for other in (NARROW, (70, 20), WIDE, (100, 30), (60, 18)):
        screen.resize(*other)
        assert screen.shows(sentence, "page"), other


def test_the_codebook_opens_below_the_sentence_on_a_narrow_screen_and_keys_still_decide(
    store: Store, session: LabellingSession, open_screen: OpenScreen
) -> None:
    screen = open_screen(session, size=NARROW)
    assert not screen.shows("A truce is asked for.")

    screen.press("f2")
    assert screen.shows("A truce is asked for.", "codebook")
    screen.press("t", "enter")
    assert [labels for _, _, labels in stored(store)] == [("truce",)]

    screen.press("f2")
    assert not screen.shows("A truce is asked for.")


def test_widening_shows_the_codebook_and_keeps_choices(session: LabellingSession, open_screen: OpenScreen) -> None:
    screen = open_screen(session, size=NARROW)
    screen.press("t")

    screen.resize(*WIDE)
    assert screen.shows("A truce is asked for.")
    assert screen.shows("[x] truce")

    screen.resize(*NARROW)
    assert not screen.shows("A truce is asked for.")
    assert screen.shows("[x] truce")


@pytest.mark.parametrize("folds", [1, 2])
def test_narrowing_shows_the_text(screen: Screen, folds: int) -> None:
    screen.press(*["tab"] * folds)

    screen.resize(*NARROW)

    assert screen.shows("[ ] truce")


def test_arrows_scroll_a_codebook_that_is_too_long(store: Store, open_screen: OpenScreen) -> None:
    labels = [{"name": f"label{i}", "definition": "Long. " * 20} for i in range(30)]
    book = codebook_from_dict({"name": "b", "labels": labels}, "b")
    screen = open_screen(LabellingSession(store, book, "ana"), book)
    assert screen.shows("label0 Long.", "codebook")
    assert not screen.shows("label9 Long.", "codebook")

    screen.press(*["pagedown"] * 3)
    assert not screen.shows("label0 Long.", "codebook")
    screen.press(*["pageup"] * 3)
    assert screen.shows("label0 Long.", "codebook")


# -- help


def test_any_key_closes_help_and_does_nothing_else(store: Store, screen: Screen) -> None:
    for key in ("n", "enter", "?", "tab"):
        screen.press("?")
        assert screen.shows("undo the last decision; press again for earlier decisions")
        screen.press(key)
        assert not screen.shows("undo the last decision")

    assert stored(store) == []
    assert screen.shows("small 1")


def test_help_closed_before_it_is_drawn_does_no_harm(store: Store, screen: Screen) -> None:
    screen.press_at_once("?", "n", "?", "n", "n")

    assert stored(store) == [("annotate", "reviewed", ())]


@pytest.mark.parametrize("size", [NARROW, (60, 20)])
def test_help_fits_a_small_screen(session: LabellingSession, open_screen: OpenScreen, size: tuple[int, int]) -> None:
    screen = open_screen(session, size=size)

    screen.press("?")

    assert screen.shows("label keys choose a label")
    if size == NARROW:
        assert screen.shows("Any key closes this page.")


# -- a draw that is done


def test_a_finished_draw_says_so_and_undo_reopens_it(store: Store, screen: Screen) -> None:
    screen.press(*"nnnnn")
    last = screen.text("sentence")
    screen.press("n")
    assert screen.text("sentence") == "All 6 are decided. u undoes the last decision; q quits."
    assert screen.text("choices") == screen.text("before") == ""

    screen.press("a", "n", "s", "!", "enter")
    assert len(store.events.all()) == 6
    assert not screen.line.display

    screen.press("u")
    assert screen.text("sentence") == last


def test_enter_after_a_draw_draws_more(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    request = DrawRequest(size=3)
    more = lambda: LabellingSession(store, codebook, "ana", request)  # noqa: E731
    screen = open_screen(more(), more=more)
    screen.press(*"nnn")
    assert "Enter draws more" in screen.text("sentence")

    screen.press("enter", "a", "enter")

    assert " 1/3 " in screen.text("top")
    assert len({event.sentence_id for event in store.events.all()}) == 4
    assert len({event.draw_id for event in store.events.all()}) == 2


def test_enter_after_a_draw_says_if_nothing_is_left(
    store: Store, session: LabellingSession, open_screen: OpenScreen
) -> None:
    screen = open_screen(session, more=lambda: None)

    screen.press(*"nnnnnn", "enter")

    assert screen.text("message") == "Nothing is left to draw."


def test_a_draw_that_fails_is_said_and_can_be_tried_again(
    store: Store, codebook: Codebook, open_screen: OpenScreen
) -> None:
    more = lambda: LabellingSession(store, codebook, "ana", DrawRequest(size=2))  # noqa: E731
    screen = open_screen(more(), more=more)
    screen.press("n", "n")

    database("ALTER TABLE sentences RENAME TO hidden")
    screen.press("enter")
    assert "store could not be" in screen.text("message")

    database("ALTER TABLE hidden RENAME TO sentences")
    screen.press("enter")
    assert screen.text("sentence") in SENTENCES


# -- suggestions, sentences seen before, adjudication


def suggesting(store: Store, codebook: Codebook, blind_share: float) -> LabellingSession:
    score(store)
    return LabellingSession(store, codebook, "ana", suggester=Suggester(store, model(), "ana", blind_share))


def test_a_suggestion_is_shown_and_not_ticked(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    screen = open_screen(suggesting(store, codebook, 0.0))

    assert "A model suggests: aid" in screen.text("remarks")
    assert screen.text("choices").split("\n") == [" a  [ ] aid  0.91  model", " t  [ ] truce  0.12"]
    screen.press("enter")
    assert "Nothing is chosen" in screen.text("message")
    screen.press("t", "enter")
    (event,) = store.events.all()
    assert (event.labels, event.suggestion, event.blind) == (("truce",), ("aid",), False)


def test_a_suggestion_that_is_withheld_is_not_shown(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    screen = open_screen(suggesting(store, codebook, 1.0))

    assert screen.text("remarks") == "A model's suggestion is withheld here."
    assert screen.text("choices").split("\n") == [" a  [ ] aid", " t  [ ] truce"]
    screen.press("t", "enter")
    (event,) = store.events.all()
    assert (event.suggestion, event.blind) == (("aid",), True)


def test_a_relabelled_sentence_shows_reason_and_earlier_labels(
    store: Store, codebook: Codebook, ids: dict[str, str], open_screen: OpenScreen
) -> None:
    store.relabelling.add([(ids["Rain kept"], "aid was split", ("aid",))], source="test")

    screen = open_screen(LabellingSession(store, codebook, "ana", DrawRequest("relabel")))

    assert screen.text("sentence") == "Rain kept the ferries in port."
    assert screen.text("remarks") == "Label again (aid was split). Earlier labels: aid"
    assert "[x]" not in screen.text("choices")


def test_a_retest_does_not_show_what_was_decided(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    first = LabellingSession(store, codebook, "ana", DrawRequest(size=1))
    first.review(["aid"], "a note")

    request = DrawRequest("retest", retest_after=timedelta(0))
    screen = open_screen(LabellingSession(store, codebook, "ana", request))

    assert screen.text("remarks") == ""
    assert "[x]" not in screen.text("choices")


def test_adjudication_shows_opinions_with_their_notes(
    store: Store, codebook: Codebook, ids: dict[str, str], open_screen: OpenScreen
) -> None:
    dispute(store, ids)

    screen = open_screen(AdjudicationSession(store, codebook, "ana"))

    assert screen.text("remarks").split("\n") == [" 1  ana: aid  ! a promise, with numbers", " 2  ben: none"]
    assert screen.text("choices").split("\n") == [" a  [ ] aid  ana", " t  [ ] truce"]
    assert "s leave" in screen.text("keys")


def test_a_skipped_dispute_counts_as_undecided(
    store: Store, codebook: Codebook, ids: dict[str, str], open_screen: OpenScreen
) -> None:
    dispute(store, ids)
    screen = open_screen(AdjudicationSession(store, codebook, "eva"))

    screen.press("s", "s")
    assert screen.text("sentence") == "2 of 2 left undecided. End goes to them, q quits."

    screen.press("end", "a", "enter", "n")
    assert screen.text("sentence").startswith("All 2 are decided.")
    assert [event for event, _, _ in stored(store)[-2:]] == ["adjudicate", "adjudicate"]


@pytest.mark.parametrize("keys", [("a", "enter"), ("n",)])
def test_a_concurrent_adjudication_is_shown_before_overruling(
    store: Store, codebook: Codebook, ids: dict[str, str], open_screen: OpenScreen, keys: tuple[str, ...]
) -> None:
    dispute(store, ids)
    screen = open_screen(AdjudicationSession(store, codebook, "eva"))
    store.events.add([decision(ids["Norland pledged"], "mia", "adjudicate", labels=("truce",))])

    screen.press(*keys)
    assert screen.text("message").startswith("mia decided this sentence in the meantime: truce.")
    assert screen.text("remarks").endswith("mia, adjudicating: truce")
    assert screen.text("choices").split("\n")[1] == " t  [ ] truce  mia"
    assert store.events.all()[-1].annotator == "mia"

    screen.press(keys[-1])
    assert (store.events.all()[-1].annotator, store.events.all()[-1].labels) == ("eva", keys[:-1] and ("aid",))


def test_disputes_decided_by_others_are_passed_over_with_news(
    store: Store, codebook: Codebook, ids: dict[str, str], open_screen: OpenScreen
) -> None:
    dispute(store, ids)
    screen = open_screen(AdjudicationSession(store, codebook, "eva"))
    store.events.add([decision(ids["Norland pledged"], "mia", "adjudicate", labels=("truce",))])

    screen.press("end")

    assert screen.text("sentence").startswith("Norland will")
    assert screen.text("remarks").startswith(
        "Disputed sentences that mia decided in the meantime: 1. They are not shown again.\n"
    )
    assert " 1/2 " in screen.text("top")


# -- when the store fails


def test_a_decision_the_store_refuses_stays_on_the_screen(store: Store, screen: Screen) -> None:
    text = screen.text("sentence")
    screen.press("t")
    screen.type_line("!", "sure?")
    database("CREATE TRIGGER refuse BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")

    screen.press("enter")

    assert "the store could not be written (the disk is full)" in screen.text("message")
    assert screen.shows("the disk is full")
    assert (screen.text("sentence"), screen.text("remarks")) == (text, "! sure?")
    assert "[x] truce" in screen.text("choices")
    assert stored(store) == []
    assert drafts(store) == [Draft(("truce",), "sure?")]

    database("DROP TRIGGER refuse")
    screen.press("enter")
    assert [(event.labels, event.note) for event in store.events.all()] == [(("truce",), "sure?")]
    assert screen.text("message") == ""


@pytest.mark.parametrize("key", ["n", "s", "u"])
def test_commands_the_store_refuses_show_why(store: Store, screen: Screen, key: str) -> None:
    screen.press("n")
    text = screen.text("sentence")
    database("CREATE TRIGGER refuse BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")

    screen.press(key)

    assert "the disk is full" in screen.text("message")
    assert screen.text("sentence") == text
    assert len(store.events.all()) == 1


def test_a_note_that_the_store_refuses_is_kept_on_the_screen(store: Store, screen: Screen) -> None:
    database("CREATE TRIGGER refuse BEFORE INSERT ON drafts BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
    screen.type_line("!", "long and dear")
    assert "the disk is full" in screen.text("message")
    assert "! long and dear" in screen.text("remarks")

    screen.press("n")
    assert [event.note for event in store.events.all()] == ["long and dear"]


def test_a_label_that_the_store_refuses_is_not_ticked(store: Store, screen: Screen) -> None:
    database("CREATE TRIGGER refuse BEFORE INSERT ON drafts BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")

    screen.press("a")

    assert "the disk is full" in screen.text("message")
    assert "[x]" not in screen.text("choices")


def test_no_key_decides_on_a_sentence_that_could_not_be_shown(store: Store, screen: Screen) -> None:
    first = screen.text("sentence")
    database("ALTER TABLE documents RENAME TO hidden")

    screen.press("s", "t", "n", "s", "!", "enter")

    assert stored(store) == [("annotate", "skipped", ())]
    assert screen.text("sentence") == "This sentence could not be read. Press Enter to try again."
    assert "[x]" not in screen.text("choices")

    database("ALTER TABLE hidden RENAME TO documents")
    screen.press("enter")
    assert screen.text("sentence") in set(SENTENCES) - {first}
    assert len(store.events.all()) == 1


def test_a_store_that_fails_from_the_start_is_said_on_the_screen(
    store: Store, session: LabellingSession, open_screen: OpenScreen
) -> None:
    database("ALTER TABLE documents RENAME TO hidden")

    screen = open_screen(session)

    assert "the store could not be read" in screen.text("message")


# -- extremes


@pytest.mark.parametrize("size", [WIDE, NARROW, (40, 16)])
def test_a_very_long_sentence_can_be_read_to_its_end(
    codebook: Codebook, open_screen: OpenScreen, size: tuple[int, int]
) -> None:
    text = " ".join(f"word{i}" for i in range(800)) + " pledged fin."
    with Store("long.db") as store:
        store.documents.add([article(text, (text,))])
        screen = open_screen(LabellingSession(store, codebook, "ana"), size=size)
        if size == WIDE:
            screen.press("tab", "tab")
        assert screen.shows("word0 word1")
        assert not screen.shows("pledged fin.")

        screen.press_at_once(*["pagedown"] * (1200 // size[0]))

        assert screen.shows("pledged fin.")


def test_a_terminal_without_room_for_anything_still_takes_keys(
    store: Store, session: LabellingSession, open_screen: OpenScreen
) -> None:
    screen = open_screen(session, size=(12, 3))

    screen.press("?", "x", "a", "enter", "tab", "tab", "n")

    assert [labels for _, _, labels in stored(store)] == [("aid",), ()]


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_a_codebook_of_77_labels_can_be_labelled_with(
    store: Store, open_screen: OpenScreen, size: tuple[int, int]
) -> None:
    labels = [{"name": f"a_rather_long_label_{i}", "definition": "Words. " * 9} for i in range(77)]
    book = codebook_from_dict({"name": "many", "labels": labels}, "many")
    screen = open_screen(LabellingSession(store, book, "ana"), book, size)
    key = next(key for key, name in book.keys.items() if name.endswith("_50"))

    screen.press("3", key, "tab", "down", "tab", "ctrl+down", "tab", "enter")

    assert [event.labels for event in store.events.all()] == [("a_rather_long_label_2", "a_rather_long_label_50")]


def test_text_that_looks_like_markup_is_shown_as_it_is(codebook: Codebook, open_screen: OpenScreen) -> None:
    text = "It [bold]pledged[/bold] [link=x]aid[/] \\[now]."
    with Store("markup.db") as store:
        store.documents.add([article(text, (text,))])
        screen = open_screen(LabellingSession(store, codebook, "ana"))
        assert screen.shows(text)

        screen.type_line("!", "[red]why[/red] [")

        assert screen.shows("! [red]why[/red] [")


def test_a_sentence_whose_document_is_elsewhere_can_be_labelled(codebook: Codebook, open_screen: OpenScreen) -> None:
    with Store("elsewhere.db") as store:
        added(store, 1, "d9")
        screen = open_screen(LabellingSession(store, codebook, "ana"))
        assert screen.text("heading") == "1 · document d9"

        screen.press("a", "enter")

        assert [event.labels for event in store.events.all()] == [("aid",)]


def test_old_decisions_do_not_count_as_today(
    store: Store, codebook: Codebook, ids: dict[str, str], open_screen: OpenScreen
) -> None:
    store.events.add([replace(decision(ids["Rain kept"]), created_at=PAST)])

    screen = open_screen(LabellingSession(store, codebook, "ana"))

    assert screen.text("top").endswith("today 0")
    screen.press("n")
    assert screen.text("top").endswith("today 1")
