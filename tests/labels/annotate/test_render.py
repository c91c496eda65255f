from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from labels.annotate import render
from labels.annotate.items import Item, Opinion
from labels.annotate.screen.overlays import HELP
from labels.annotate.screen.panels import book_text, found_text
from labels.annotate.session import Session
from labels.annotate.tasks import LabellingSession
from labels.codebook.reading import Reading
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.records import Annotation, Sentence
from labels.sampling.suggestions import Suggestion
from labels.store import Context, Draft, Store
from tests.labels.store.builders import decision


def sentence(text: str, start: int = 0) -> Sentence:
    return Sentence("d1", start, start + len(text), text)


def item(**more: Any) -> Item:
    """The sentence "C." with two sentences on each side, all in one paragraph."""
    around = Context((sentence("A.", 0), sentence("B.", 3)), (sentence("D.", 9), sentence("E.", 12)), "Title", "2026")
    values: dict[str, Any] = {"context": around, "breaks": (False,) * 4, "position": 1, "draft": Draft()}
    return Item(sentence("C.", 6), **(values | more))


def says(annotator: str, *labels: str, **more: Any) -> Annotation:
    return decision("s1", annotator, labels=labels, **more)


def opinion(annotator: str, *labels: str, **more: Any) -> Opinion:
    values: dict[str, Any] = {"event": "annotate", "state": "reviewed"}
    return Opinion(annotator, labels=labels, **(values | more))


def marked(text: Text) -> list[str]:
    """The stretches that are marked as cues."""
    return [text.plain[span.start : span.end] for span in text.spans if span.style == render.CUE_STYLE]


def book(n: int, **more: Any) -> Codebook:
    return codebook_from_dict({"name": "b", "labels": [{"name": f"label{i}"} for i in range(n)], **more}, "b")


# -- the sentence and what is around it


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Oslo pledged 40 trucks.", ["pledged"]),
        ("PLEDGES, pledges!", ["PLEDGES", "pledges"]),
        ("It will  send fuel.", ["will  send"]),
        ("They called for a real truce.", ["called for a real truce"]),
        ("It unpledged nothing.", []),
    ],
)
def test_cues_are_marked_where_they_stand(codebook: Codebook, text: str, found: list[str]) -> None:
    result = render.CueMarker(codebook).mark(text)

    assert result.plain == text
    assert marked(result) == found


@pytest.mark.parametrize(
    ("text", "shown", "found"),
    [
        ("It \x1b[31mpledged\x1b[0m aid.", "It ␛[31mpledged␛[0m aid.", []),
        ("\u202eIt\b pledged\r aid.", "\\u202eIt␈ pledged␍ aid.", ["pledged"]),
        ("\u202e\x85ﬁne: it plﬆ pled\u00adged.", "\\u202e␤ﬁne: it plﬆ pled\u00adged.", ["pled\u00adged"]),
        ("\x07“Oslo” will\u00a0send ﬂour.", "␇“Oslo” will\u00a0send ﬂour.", ["will\u00a0send"]),
    ],
)
def test_cues_are_marked_in_their_place_beside_control_characters(
    codebook: Codebook, text: str, shown: str, found: list[str]
) -> None:
    result = render.CueMarker(codebook).mark(text)

    assert result.plain == shown
    assert marked(result) == found


def test_a_typographic_apostrophe_does_not_hide_a_cue() -> None:
    label = {"name": "dismissal", "cues": ["won't", "cease-fire"]}
    marker = render.CueMarker(codebook_from_dict({"name": "b", "labels": [label]}, "b"))

    assert marked(marker.mark("“They won’t keep the cease‑ﬁre.”")) == ["won’t", "cease‑ﬁre"]


def test_brackets_in_a_sentence_are_no_markup(codebook: Codebook) -> None:
    assert render.CueMarker(codebook).mark("It [red]pledged[/red] aid.").plain == "It [red]pledged[/red] aid."


def test_neighbours_of_one_paragraph_stand_in_a_row() -> None:
    assert (render.before(item()).plain, render.after(item()).plain) == ("A. B.", "D. E.")


@pytest.mark.parametrize(
    ("place", "before", "after"),
    [(0, "A.\nB.", "D. E."), (1, "A. B.", "D. E."), (2, "A. B.", "D. E."), (3, "A. B.", "D.\nE.")],
)
def test_a_line_is_broken_where_a_paragraph_begins(place: int, before: str, after: str) -> None:
    broken = item(breaks=tuple(gap == place for gap in range(4)))

    assert (render.before(broken).plain, render.after(broken).plain) == (before, after)


def test_breaks_inside_a_neighbour_are_spaces() -> None:
    shown = item(context=Context((sentence("A\n a."),), (), "", ""), breaks=(False,))

    assert (render.before(shown).plain, render.after(shown).plain) == ("A a.", "")


def test_the_heading_has_number_title_and_date() -> None:
    elsewhere = item(context=Context((), (), "", ""), breaks=(), position=7)

    assert render.heading(item()).plain == "1 · Title  2026"
    assert render.heading(elsewhere).plain == "7 · document d1"


# -- remarks


def test_a_sentence_with_nothing_to_remark_on_has_no_remarks() -> None:
    assert render.remarks(item(), "").plain == ""


def test_remarks_stand_one_a_line_in_a_fixed_order() -> None:
    full = item(
        news="Much has happened.",
        previous=("aid",),
        reason="split of aid",
        opinions=(
            opinion("ana", "aid", note="clear"),
            opinion("ben"),
            opinion("eva", state="skipped"),
            opinion("eva", "aid", event="adjudicate"),
        ),
        decision=says("ana", "aid", "truce"),
        suggestion=Suggestion(("truce",), {"aid": 0.1, "truce": 0.9}, "m", blind=False),
    )

    assert render.remarks(full, "ask Ben").plain.split("\n") == [
        "Much has happened.",
        "Label again (split of aid). Earlier labels: aid",
        "ana: aid  ! clear",
        "ben: none",
        "eva: skipped",
        "eva, adjudicating: aid",
        "Your earlier decision: aid, truce",
        "A model suggests: truce (Ctrl-Y accepts)",
        "! ask Ben",
    ]


@pytest.mark.parametrize(
    ("reading", "shown"),
    [
        (Reading(("truce", "aid")), "Your earlier decision: aid, truce"),
        (Reading(("aid",)), "Your earlier decision: aid, truce, now aid"),
        (Reading(()), "Your earlier decision: aid, truce, now none"),
        (Reading((), ("loan", "gift")), "Your earlier decision: aid, truce, now undecided: loan, gift"),
        (Reading(("truce",), ("loan",)), "Your earlier decision: aid, truce, now truce; undecided: loan"),
    ],
)
def test_a_decision_shows_how_it_reads_now(reading: Reading, shown: str) -> None:
    decided = item(decision=says("ana", "aid", "truce"), reading=reading)

    assert render.remarks(decided, "").plain == shown


def test_a_skipped_sentence_reads_as_skipped() -> None:
    skipped = item(decision=says("ana", state="skipped"), reading=Reading((), ("loan",)))

    assert render.remarks(skipped, "").plain == "Your earlier decision: skipped"


@pytest.mark.parametrize(
    ("reading", "shown"),
    [
        (Reading(("aid",)), "ana: aid  ! clear"),
        (Reading((), ("loan", "gift")), "ana: aid, now undecided: loan, gift  ! clear"),
        (None, "ana: aid  ! clear"),
    ],
)
def test_an_opinion_names_its_undecided_labels(reading: Reading | None, shown: str) -> None:
    said = item(opinions=(opinion("ana", "aid", note="clear", reading=reading),))

    assert render.remarks(said, "").plain == shown


def test_earlier_none_differs_from_no_earlier_labels() -> None:
    assert render.remarks(item(previous=()), "").plain == "Label again. Earlier labels: none"


def test_a_model_that_suggests_nothing_says_none() -> None:
    suggested = item(suggestion=Suggestion((), {"aid": 0.1}, "m", blind=False))

    assert render.remarks(suggested, "").plain == "A model suggests: none (Ctrl-Y accepts)"


# -- labels to choose


def test_each_label_stands_on_a_line_with_its_key(codebook: Codebook) -> None:
    assert printed(render.choices(item(), codebook, ["truce"]), 80) == [" a  [ ] aid", " t  [x] truce"]


def test_probabilities_and_opinions_stand_beside_their_labels(codebook: Codebook) -> None:
    full = item(
        suggestion=Suggestion(("aid",), {"aid": 0.914, "truce": 0.08}, "m", blind=False),
        opinions=(opinion("ana", "aid"), opinion("ben", "aid", "truce")),
    )

    assert printed(render.choices(full, codebook, []), 80) == [
        " a  [ ] aid  0.91  model  ana, ben",
        " t  [ ] truce  0.08  ben",
    ]


def test_an_undecided_label_of_an_opinion_has_a_question_mark(codebook: Codebook) -> None:
    partly, skipped = Reading(("aid",), ("truce",)), Reading((), ("aid", "truce"))
    opinions = (opinion("ana", "help", reading=partly), opinion("ben", state="skipped", reading=skipped))

    assert printed(render.choices(item(opinions=opinions), codebook, []), 80) == [
        " a  [ ] aid  ana",
        " t  [ ] truce  ana?",
    ]


def printed(content: RenderableType, width: int) -> list[str]:
    console = Console(width=width, file=StringIO(), color_system=None)
    console.print(content)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize(("n", "rows"), [(12, 12), (13, 4), (57, 15), (77, 20)])
def test_many_labels_stand_in_columns_each_beside_its_key(n: int, rows: int) -> None:
    found = book(n)

    lines = printed(render.choices(item(), found, ["label3"]), 80)

    assert len(lines) == rows
    for name, key in found.shown_keys.items():
        tick = "x" if name == "label3" else " "
        assert any(re.search(rf" {key}  \[{tick}\] {name}\b", line) for line in lines), name


def test_chosen_labels_are_listed_beside_many_labels(codebook: Codebook) -> None:
    assert render.chosen_line(book(13), ["label3", "label9"]) == "Chosen: label3, label9"
    assert render.chosen_line(book(13), []) == "Nothing is chosen yet."
    assert render.chosen_line(codebook, ["aid"]) == ""


def test_labels_are_narrowed_to_those_whose_names_begin_as_typed() -> None:
    assert printed(render.choices(item(), book(77), ["label7"], "LABEL75"), 80) == [" #  [ ] label75"]
    assert printed(render.choices(item(), book(20), ["label2"], "label2"), 80) == [" 3  [x] label2"]
    assert printed(render.choices(item(), book(20), [], "x"), 80) == ["No label's name begins with 'x'."]


# -- the codebook


def test_the_full_codebook_holds_rules_and_examples() -> None:
    label = {
        "name": "aid",
        "key": "a",
        "definition": "Help is promised.",
        "include": ["Loans"],
        "exclude": ["Thanks"],
        "examples": [{"text": "Oslo pledged fuel.", "why": "a promise"}],
        "counterexamples": [{"text": "Oslo sent fuel."}],
    }
    found = codebook_from_dict({"name": "b", "version": "3", "rules": ["Read the clause."], "labels": [label]}, "b")

    assert book_text(found, full=True).plain.split("\n") == [
        "b 3",
        "",
        " a  aid",
        "Help is promised.",
        " + Loans",
        " - Thanks",
        " yes: “Oslo pledged fuel.” a promise",
        " no: “Oslo sent fuel.”",
        "",
        "For all",
        " - Read the clause.",
        "",
    ]
    assert book_text(found, full=False).plain == "b 3\n\n a  aid\nHelp is promised.\n"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("LOANS", " a  aid\n + Loans\n"),
        ("aid", " a  aid\nHelp is promised.\n + Loans\n - Thanks\n"),
        ("clause", "For all\n - Read the clause.\n"),
        ("loans thanks", "Nothing in the codebook contains 'loans thanks'."),
    ],
)
def test_a_search_in_the_codebook_leaves_the_lines_with_all_words(words: str, found: str) -> None:
    label = {"name": "aid", "key": "a", "definition": "Help is promised.", "include": ["Loans"], "exclude": ["Thanks"]}
    other = {"name": "truce", "definition": "A halt."}
    page = codebook_from_dict({"name": "b", "rules": ["Read the clause."], "labels": [label, other]}, "b")

    assert found_text(page, words).plain == found


def test_a_label_without_a_key_is_listed_with_the_name_key() -> None:
    page = book_text(book(77), full=True).plain

    assert " 1  label0\nNo definition yet." in page
    assert " #  label76\n" in page


# -- bars


@pytest.fixture
def session(codebook: Codebook) -> Session:
    """Four sentences; every decision takes the clock from one full minute to the next."""
    store = Store("sqlite://")
    store.add_annotated([sentence(f"Text {i}", 10 * i) for i in range(4)], [])
    minutes = iter(range(0, 6000, 60))
    return LabellingSession(store, codebook, "ana", clock=lambda: next(minutes))


def test_the_top_bar_before_the_first_decision_knows_no_pace(session: Session) -> None:
    assert render.top_bar(session, "ana").plain == f"ana · random  {'━' * 16} 0/4  –/h  today 0"


@pytest.mark.parametrize(("decided", "filled"), [(0, 0), (1, 4), (2, 8), (4, 16)])
def test_the_top_bar_fills_with_what_is_decided(session: Session, decided: int, filled: int) -> None:
    for _ in range(decided):
        session.current()
        session.review([])

    bar = render.top_bar(session, "ana")

    (green,) = [span for span in bar.spans if span.style == "green"] or [None]
    assert (green.end - green.start if green else 0) == filled
    assert f" {decided}/4  " in bar.plain
    assert bar.plain.endswith(f"today {decided}")


def test_the_pace_is_that_of_the_median_decision(session: Session) -> None:
    session.current()
    session.review([])

    assert "  60/h  " in render.top_bar(session, "ana").plain


def test_decisions_without_time_to_read_have_no_pace(store: Store, codebook: Codebook, ids: list[str]) -> None:
    times = iter(range(10))
    quick = LabellingSession(store, codebook, "ana", clock=lambda: next(times) / 10)
    quick.current()
    quick.review([])

    assert " 1/6  –/h  today 1" in render.top_bar(quick, "ana").plain


def test_an_empty_session_has_a_bar(codebook: Codebook) -> None:
    with Store("sqlite://") as store:
        empty = LabellingSession(store, codebook, "ana")

        assert " 0/0  –/h  today 0" in render.top_bar(empty, "ana").plain


def keys_bar(found: Codebook, task: str = "random", width: int = 78) -> str:
    return render.keys_bar(found, task=task, width=width).plain


def test_the_keys_bar_follows_the_codebook_and_the_task(codebook: Codebook) -> None:
    exclusive = codebook.model_copy(update={"exclusive": True})

    assert "⏎ save  n none  s skip" in keys_bar(codebook)
    assert "s leave" in keys_bar(codebook, "adjudicating")
    assert "save" not in keys_bar(exclusive)
    assert "n none" in keys_bar(exclusive)
    demanding = exclusive.model_copy(update={"allow_none": False})
    assert "n none" not in keys_bar(demanding)


def test_the_keys_bar_names_the_key_for_names_where_it_is_needed(codebook: Codebook) -> None:
    assert "# name" in keys_bar(book(77))
    assert "# name" not in keys_bar(codebook)


@pytest.mark.parametrize("width", [20, 78, 98, 138])
@pytest.mark.parametrize("n", [2, 77])
def test_the_keys_bar_fits_and_always_names_help(n: int, width: int) -> None:
    shown = keys_bar(book(n), width=width)

    assert len(shown) <= width
    assert shown.endswith("? help  q quit")
    assert ("F5 article" in shown) == (width > 80)


def test_help_names_every_reserved_key_and_fits_its_frame() -> None:
    named = {word.rstrip(",") for line in HELP.splitlines() for word in line[:12].split()}

    assert {"n", "s", "u", "q", "!", ":", "/", "#", "Enter", "Tab", "End", "left", "up"} <= named
    assert {"F2", "F3", "F4", "F5", "F7", "F8", "Ctrl-N", "Ctrl-Y", "Ctrl-F", "Ctrl-C"} <= named
    assert max(map(len, HELP.splitlines())) <= 72
