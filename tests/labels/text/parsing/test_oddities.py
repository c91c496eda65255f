"""Traces of other programs in texts are reported once per file and kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from labels.text.documents import read_file
from labels.text.parsing.recognition import Oddities


def seen(*texts: object) -> list[str]:
    oddities = Oddities()
    for text in texts:
        oddities.see(text)
    return list(oddities.notes("a.csv"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<p>Guns fell.</p>", "HTML tags, such as '<p>'"),
        ("Guns fell.<br/>Rain fell.", "HTML tags, such as '<br/>'"),
        ("Aid &amp; loans", "HTML entities, such as '&amp;'"),
        ("It&#8217;s good.", "HTML entities, such as '&#8217;'"),
        ("â€œAidâ€\x9d", "characters of a wrong encoding, such as 'â€œ'"),
        ("cafÃ©", "characters of a wrong encoding, such as 'Ã©'"),
        ("Guns fell.\\nRain fell.", "escaped line breaks, such as '\\\\n'"),
        ("| a | b |\n|---|---|\n| c | d |", "rows of a table, such as '|---|---|'"),
    ],
)
def test_a_trace_is_reported(text: str, kind: str) -> None:
    assert seen(text, "Rain fell.", None) == [f"a.csv: 1 text contains {kind}, which are read as part of the text"]


def test_texts_are_counted_by_kind() -> None:
    assert [note.partition(",")[0] for note in seen("<b>a</b> &lt;", "<i>b</i>")] == [
        "a.csv: 2 texts contain HTML tags",
        "a.csv: 1 text contains HTML entities",
    ]


@pytest.mark.parametrize(
    "text", ["AT&T & Co", "a < b > c", "São Paulo, NÃO", "C:\\new", "aid | truce", "<aid@oslo.no>"]
)
def test_plain_text_has_no_note(text: str) -> None:
    assert seen(text) == []


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.csv"])
def test_every_reader_reports_them(isolated: Path, name: str) -> None:
    header = "text\n" if name == "a.csv" else ""
    Path(name).write_text(f"{header}Aid &amp;amp; loans.\n", encoding="utf-8")
    notes: list[str] = []
    list(read_file(Path(name), notes.append, note=notes.append))
    assert notes == [f"{name}: 1 text contains HTML entities, such as '&amp;', which are read as part of the text"]
