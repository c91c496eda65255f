from __future__ import annotations

import pytest

from labels.text.parsing.pdf_prose import Line, prose


def lines(*texts: str, top: float = 700, left: float = 70, size: float = 12, bold: bool = False) -> list[Line]:
    """Lines of a column of 60 letters, each 6 points wide, 14 points apart."""
    return [Line(text, left, left + 6 * len(text), top - 14 * i, size, bold) for i, text in enumerate(texts)]


FULL = "word " * 11 + "ends"
END = "word " * 11 + "end."


@pytest.mark.parametrize(
    ("above", "below", "text"),
    [
        (FULL, "the sentence.", f"{FULL} the sentence."),
        (FULL[:-4] + "huma-", "nitarian aid.", f"{FULL[:-4]}humanitarian aid."),
        (FULL[:-4] + "long-", "range guns. A long-range gun.", f"{FULL[:-4]}long-range guns. A long-range gun."),
        (FULL[:-4] + "word-", "range. A word-game on any range.", f"{FULL[:-4]}word-range. A word-game on any range."),
        (FULL[:-5] + "Anglo-", "French guns.", f"{FULL[:-5]}Anglo-French guns."),
        (FULL[:-5] + "2025-", "2026 guns.", f"{FULL[:-5]}2025-2026 guns."),
        (FULL[:-4] + "of\u2014", "guns.", f"{FULL[:-4]}of\u2014 guns."),
        ("\ufb01rst " + FULL[6:], "of\ufb01cer.", f"first {FULL[6:]} officer."),
        ("A short line", "Then another line.", "A short line\n\nThen another line."),
        (END, "• An item.", f"{END}\n\n• An item."),
        (END, "2. An item.", f"{END}\n\n2. An item."),
    ],
    ids=["wrapped", "hyphen", "known", "words", "name", "years", "dash", "ligature", "short", "bullet", "number"],
)
def test_lines_are_joined_unless_the_break_is_deliberate(above: str, below: str, text: str) -> None:
    assert prose([lines(FULL, END, above, below)]) == f"{FULL} {END} {text}\n"


def test_another_size_weight_gap_or_indent_begins_a_paragraph() -> None:
    page = [
        *lines("Aid", "and truce", size=16),
        *lines(FULL, END, top=660),
        *lines("Next steps", top=632, bold=True),
        *lines(FULL, END, top=618),
        *lines(FULL, END, top=570),
        *lines(FULL[10:], top=542, left=100),
        *lines(END, top=528),
    ]
    paragraph = f"{FULL} {END}"
    assert prose([page]).split("\n\n") == [
        "Aid and truce",
        paragraph,
        "Next steps",
        paragraph,
        paragraph,
        f"{FULL[10:]} {END}\n",
    ]


@pytest.mark.parametrize(
    ("last", "first", "gap"),
    [(FULL, "word goes on.", " "), (FULL, "Oslo goes on.", " "), (END, "Oslo spoke.", "\n\n")],
    ids=["small", "capital", "ended"],
)
def test_a_sentence_goes_on_over_a_page(last: str, first: str, gap: str) -> None:
    assert prose([lines(FULL, last), lines(first)]) == f"{FULL} {last}{gap}{first}\n"


BODIES = [[FULL.replace("word", word).capitalize(), END, FULL, END] for word in ("word", "cash", "arms")]


def test_what_repeats_at_the_edge_of_pages_is_left_out() -> None:
    footers = [[*lines("Ministry", top=60), *lines(f"- {number} -", top=30)] for number in (1, 2, 3)]
    headers = [lines(f"Release {day} May", "Tarn", top=780) for day in (3, 14, 25)]
    pages = [[*header, *lines(*body), *footer] for header, body, footer in zip(headers, BODIES, footers, strict=True)]
    assert prose(pages) == "\n\n".join(" ".join(body) for body in BODIES) + "\n"


def test_a_line_that_repeats_within_the_text_stays() -> None:
    pages = [[*lines("Header", top=780), *lines("He declined.", *body)] for body in BODIES]
    assert prose(pages).count("He declined.") == 3


def test_a_number_is_left_out_only_as_the_number_of_its_page() -> None:
    assert prose([[*lines(END), *lines("1", top=40)]]) == f"{END}\n"
    assert prose([[*lines(END), *lines("1979", top=40)]]) == f"{END}\n\n1979\n"


def test_pages_without_lines_have_no_text() -> None:
    assert prose([[], []]) == ""
