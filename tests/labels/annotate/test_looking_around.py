"""What the screen shows beside the sentence: list, article, recent decisions, codebook; and keys that no label has."""

from __future__ import annotations

import pytest

from labels.annotate.adjudication import AdjudicationSession
from labels.annotate.tasks import LabellingSession
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.sampling.drawing import DrawRequest
from labels.sampling.suggestions import Suggester
from labels.store import Store
from tests.labels.annotate.conftest import NARROW, SENTENCES, OpenScreen, Screen, article, dispute, score
from tests.labels.store.builders import decision, model


@pytest.fixture
def screen(store: Store, codebook: Codebook, open_screen: OpenScreen) -> Screen:
    """The article in the order of its text."""
    return open_screen(LabellingSession(store, codebook, "ana", DrawRequest("document")))


def click(screen: Screen, text: str) -> None:
    """Click on the first row of the screen that has a text, in its middle."""
    row = next(number for number, row in enumerate(screen._rows()) if text in row)
    column = screen._rows()[row].index(text) + len(text) // 2
    screen._runner.run(screen._pilot.click(offset=(column, row)))


def test_the_list_shows_states_and_goes_to_a_sentence(screen: Screen) -> None:
    screen.press("a", "enter", "s", "ctrl+n", "n", "t", "f4")

    assert screen.shows("1 ✓ Talks began in Lindholm on Monday.")
    assert screen.shows("2 s Norland pledged")
    assert screen.shows("3 – The envoy")
    assert screen.shows("4 ✓ Rain kept")
    assert screen.shows("5 … Norland will")
    assert screen.shows("(not confirmed)")
    assert screen.shows("6 A second round")

    screen.press("up", "up", "enter")
    assert screen.text("sentence") == SENTENCES[2]
    screen.press("f4", "home", "x")
    assert screen.text("sentence") == SENTENCES[2]
    screen.press("f4")
    click(screen, "A second round")
    assert screen.text("sentence") == SENTENCES[5]


def test_keys_in_the_list_count_before_the_list_is_shown(screen: Screen) -> None:
    screen.press_at_once("f4", "down", "down", "enter")
    assert screen.text("sentence") == SENTENCES[2]


def test_recent_decisions_stand_at_the_side_of_a_wide_screen(screen: Screen) -> None:
    screen.press("a", "enter", "n")
    assert screen.text("recent").split("\n")[1:] == [
        "   2 none  Norland pledged 40 trucks and two clinics…",
        "   1 aid  Talks began in Lindholm on Monday.",
    ]

    screen.press("u")
    assert "none" not in screen.text("recent")
    screen.resize(100, 30)
    assert not screen.shows("Recent decisions")
    screen.resize(120, 30)
    assert screen.shows("1 aid Talks began", "recent")


def test_the_article_is_a_key_away_at_any_size(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    screen = open_screen(LabellingSession(store, codebook, "ana", DrawRequest("document")), size=NARROW)
    screen.press("n", "n", "f5")

    for sentence in SENTENCES:
        assert screen.shows(sentence)
    assert screen.shows("Talks in Lindholm  2026-03-02")
    screen.press("down", "pagedown", "up")
    screen.resize(60, 18)
    screen.press("n")
    assert not screen.shows(SENTENCES[5])
    assert len(store.events.all()) == 2


def test_find_goes_on_in_both_directions(screen: Screen) -> None:
    screen.press("f8")
    assert screen.text("message") == "Press / and type the words to find."

    screen.type_line("/", "norland")
    assert screen.text("sentence") == SENTENCES[1]
    places = []
    for key in ("f8", "f8", "f7", "f7"):
        screen.press(key)
        places.append(SENTENCES.index(screen.text("sentence")))
    assert places == [4, 1, 4, 1]


def test_a_search_in_the_codebook_narrows_it_while_typing(screen: Screen) -> None:
    screen.press("ctrl+f", *"truce is")
    assert screen.shows("A truce is asked for.", "codebook")
    assert not screen.shows("aid", "codebook")

    screen.press("enter")
    assert not screen.shows("aid", "codebook")
    assert screen.shows("Only what contains “truce is”. Esc shows all.", "codebook")
    screen.press("escape")
    assert screen.shows("aid", "codebook")
    assert not screen.shows("Esc shows all.", "codebook")


@pytest.mark.parametrize("key", ["f4", "f5"])
def test_the_keys_of_a_page_cover_the_keys_of_the_screen(screen: Screen, key: str) -> None:
    screen.press(key)

    shown = screen.app.screen
    assert shown.query_one("#close").region.width == shown.size.width
    assert shown.query_one("#close").region.bottom == shown.size.height


def test_a_click_ticks_a_label(screen: Screen) -> None:
    click(screen, "[ ] truce")
    assert "[x] truce" in screen.text("choices")
    click(screen, "[x] truce")
    assert "[x]" not in screen.text("choices")


def test_a_click_finds_its_label_among_many(store: Store, open_screen: OpenScreen) -> None:
    names = [{"name": f"topic_{number}"} for number in range(77)]
    book = codebook_from_dict({"name": "b", "labels": names}, "b")
    screen = open_screen(LabellingSession(store, book, "ana"), book, NARROW)
    sentence = screen.text("sentence")

    click(screen, "topic_7 ")
    assert screen.text("chosen") == "Chosen: topic_7"
    assert not screen.shows("topic_76", "labels")
    screen.press(*["ctrl+down"] * 30)
    assert screen.shows("topic_76", "labels")
    assert screen.shows(sentence, "page")


def test_a_capital_counts_as_small_where_it_is_no_labels_key(store: Store, open_screen: OpenScreen) -> None:
    labels = [{"name": "aid", "key": "a"}, {"name": "truce", "key": "N"}]
    book = codebook_from_dict({"name": "b", "labels": labels}, "b")
    screen = open_screen(LabellingSession(store, book, "ana"), book)

    screen.press("A", "N", "enter", "S")

    assert [(event.state, event.labels) for event in store.events.all()] == [
        ("reviewed", ("aid", "truce")),
        ("skipped", ()),
    ]


@pytest.mark.parametrize("key", ["ctrl+c", "Q"])
def test_control_c_quits_like_q(store: Store, screen: Screen, key: str) -> None:
    screen.press("!", "x", "ctrl+c")
    assert screen.app.is_running
    screen.press_at_once("a", key, "n")

    assert not screen.app.is_running
    assert store.events.all() == []


# -- suggestions


def suggesting(store: Store, codebook: Codebook, withheld: float) -> LabellingSession:
    score(store)
    return LabellingSession(store, codebook, "ana", suggester=Suggester(store, model(), "ana", withheld))


def test_one_key_accepts_a_suggestion_which_is_recorded(
    store: Store, codebook: Codebook, open_screen: OpenScreen
) -> None:
    screen = open_screen(suggesting(store, codebook, 0.0))
    screen.press("enter")
    assert screen.text("message") == (
        "Nothing is chosen: press Ctrl-Y to accept the suggestion, or a label's key, or n if no label applies."
    )

    screen.type_line("!", "clear")
    screen.press("ctrl+y", "a", "enter")

    accepted, chosen = store.events.all()
    assert (accepted.labels, accepted.suggestion, accepted.basis, accepted.note) == (
        ("aid",),
        ("aid",),
        "accepted",
        "clear",
    )
    assert (chosen.labels, chosen.basis) == (("aid",), "")


def test_a_withheld_suggestion_cannot_be_accepted(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    screen = open_screen(suggesting(store, codebook, 1.0))

    screen.press("ctrl+y")

    assert screen.text("message") == "The suggestion is withheld here. Press the label keys."
    assert store.events.all() == []


# -- adjudication


def test_a_digit_takes_the_whole_answer_of_a_coder(
    store: Store, codebook: Codebook, ids: dict[str, str], open_screen: OpenScreen
) -> None:
    dispute(store, ids)
    store.events.add([decision(ids["Norland will"], "zoe", state="not_a_sentence")])
    screen = open_screen(AdjudicationSession(store, codebook, "mia"), annotator="mia")
    assert screen.text("sentence").startswith("Norland pledged")

    screen.press("2")
    assert screen.text("remarks").split("\n") == [
        " 1  ana: aid, truce",
        " 2  ben: truce  ! fuel is named in passing",
        "eva: skipped",
        " 3  zoe: not a sentence",
    ]
    screen.press("4", "3")

    assert [(one.event, one.state, one.labels) for one in store.events.all()[-2:]] == [
        ("adjudicate", "reviewed", ()),
        ("adjudicate", "not_a_sentence", ()),
    ]


def test_coders_get_other_keys_where_labels_have_the_digits(
    store: Store, ids: dict[str, str], open_screen: OpenScreen
) -> None:
    dispute(store, ids)
    book = codebook_from_dict({"name": "b", "labels": [{"name": "aid"}, {"name": "truce"}]}, "b")
    screen = open_screen(AdjudicationSession(store, book, "mia"), book, annotator="mia")
    assert screen.text("remarks").split("\n")[0].startswith(" 3  ana: aid")

    screen.press("2", "3")

    assert store.events.all()[-1].labels == ("aid",)


def test_names_can_be_hidden_at_adjudication(
    store: Store, codebook: Codebook, ids: dict[str, str], open_screen: OpenScreen
) -> None:
    dispute(store, ids)
    screen = open_screen(AdjudicationSession(store, codebook, "mia", blind=True), annotator="mia")
    seen = ""
    for key in ("right", "left"):
        seen += screen.text("remarks") + screen.text("choices")
        screen.press(key)

    assert "coder 1" in seen
    assert not {"ana", "ben", "eva"} & {word.strip(":,") for word in seen.split()}


def test_a_document_without_a_title_shows_its_file_or_its_first_words(codebook: Codebook) -> None:
    from dataclasses import replace

    document, sentences = article()
    untitled = replace(document, title="", source="talks/day 1.txt")
    stated = replace(document, title="", source="The Coast Herald")
    with Store("untitled.db") as store:
        for one in (untitled, stated):
            store.documents.add([(one, [replace(sentence, document_id=one.id) for sentence in sentences])])
            (first, *_) = store.documents.sentences(document_id=one.id)
            title = store.documents.context(first).title
            assert title == (
                "day 1.txt" if one is untitled else "Talks began in Lindholm on Monday. Norland pledged 40 …"
            )


@pytest.mark.parametrize(
    ("clicks", "state"),
    [
        (["[ ] aid", "⏎ save"], ("reviewed", ("aid",))),
        (["n none"], ("reviewed", ())),
        (["F9 not a"], ("not_a_sentence", ())),
        (["? help", "skipped sentences come"], ("skipped", ())),
        (["? help", "Ctrl-N   not a"], ("not_a_sentence", ())),
    ],
)
def test_clicks_on_keys_do_without_a_keyboard(
    store: Store, codebook: Codebook, open_screen: OpenScreen, clicks: list[str], state: tuple[str, tuple[str, ...]]
) -> None:
    screen = open_screen(LabellingSession(store, codebook, "ana"))
    for text in clicks:
        click(screen, text)
    [event] = store.events.all()
    assert (event.state, event.labels) == state


def test_clicks_close_pages(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    screen = open_screen(LabellingSession(store, codebook, "ana"))
    pages = [("F5 article", "Any other key: back"), ("F4 list", "Esc: back"), ("? help", "label keys")]
    for opening, closing in pages:
        click(screen, opening)
        assert len(screen.app.screen_stack) == 2
        click(screen, closing)
        assert len(screen.app.screen_stack) == 1


def test_bottom_bar_names_the_keys_that_act_while_a_note_is_typed(
    store: Store, codebook: Codebook, open_screen: OpenScreen
) -> None:
    screen = open_screen(LabellingSession(store, codebook, "ana"))
    screen.press("!", *"vague")
    assert not screen.shows("n none")
    click(screen, "Esc cancel")
    assert not screen.shows("! vague")
    screen.press("!", *"unsure")
    click(screen, "⏎ save the note")
    assert screen.shows("! unsure")
    assert screen.shows("n none")
    assert store.events.all() == []


def test_bottom_bar_at_the_end_of_a_draw_names_only_keys_that_act(
    store: Store, codebook: Codebook, open_screen: OpenScreen
) -> None:
    screen = open_screen(LabellingSession(store, codebook, "ana", DrawRequest("document")), more=lambda: None)
    screen.press(*"nnnnnn")
    assert screen.text("keys") == "⏎ go on  u undo  ← back  F4 list  ? help  q quit"
    screen.press("left")
    assert screen.shows("n none")


def test_help_scrolls_on_a_small_screen(store: Store, codebook: Codebook, open_screen: OpenScreen) -> None:
    screen = open_screen(LabellingSession(store, codebook, "ana"), size=(60, 20))
    screen.press("?")
    assert screen.shows("up, down scroll; any other key closes")
    assert not screen.shows("Any key closes this page")
    screen.press("pagedown", "pagedown")
    assert screen.shows("Any key closes this page")
    screen.press("x")
    assert not screen.shows("Any key closes this page")


def test_long_rules_go_on_below_their_beginning(store: Store, open_screen: OpenScreen) -> None:
    rule = "A promise of " + ", ".join(["money"] * 20)
    label = {"name": "aid", "key": "a", "include": [rule]}
    book = codebook_from_dict({"name": "x", "labels": [label]}, "x")
    screen = open_screen(LabellingSession(store, book, "ana"), book)
    region = screen.app.query_one("#rules").content_region
    shown = [row[region.x : region.right].rstrip() for row in screen._rows()]
    first = next(number for number, row in enumerate(shown) if row.startswith(" + A promise"))
    assert [row[:4] for row in shown[first + 1 : first + 3]] == ["   m", "   m"]
