"""Texts on which a quadratic algorithm would take minutes; the linear one takes a fraction of a second.

There is no assertion about time: a quadratic algorithm would hang here. The units are those on which earlier versions
were quadratic. `experiments/benchmarks/hostile_text.py` measures many more.
"""

from __future__ import annotations

import pytest

from labels.codebook.cues import Cue
from labels.records import Document
from labels.text.parsing.markup import html_fragment_text, markdown_text
from labels.text.sentences import split_sentences
from labels.unicode import Folded

LENGTH = 200_000


def hostile(unit: str) -> str:
    return f"Text {unit * (LENGTH // len(unit))} end."


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("unit", ["“", "`", "' ", "U.S. ", "<![a]]>", "A.", "para. 7 ", "((A.) ", "“a” b\r\n"])
def test_hostile_paragraphs_are_split_in_linear_time(unit: str, language: str) -> None:
    sentences = split_sentences(Document("test", hostile(unit), language=language))
    assert sentences[0].text.startswith("Text")
    assert sentences[-1].text.endswith("end.")


def test_a_long_paragraph_in_prose_lines_is_split_in_linear_time() -> None:
    text = "the envoy told the council that both\nsides had agreed to talk about this.\n" * (LENGTH // 75)
    assert split_sentences(Document("test", text))


@pytest.mark.parametrize("unit", ["<a b=", "<!--", "</", "<?", "<b>", "<p>x"])
def test_hostile_html_is_read_in_linear_time(unit: str) -> None:
    assert html_fragment_text(hostile(unit)).startswith("Text")


@pytest.mark.parametrize("unit", [" ", "\t", "\u00a0"])
def test_hostile_markdown_is_read_in_linear_time(unit: str) -> None:
    assert markdown_text(hostile(unit)).startswith("Text")


@pytest.mark.parametrize("unit", ["pledge ", "pledge" + " " * 1000, "pledge, " * 6 + "x" * 1000])
def test_cues_are_looked_for_in_linear_time(unit: str) -> None:
    assert Cue("pledg* ... million").spans(Folded(hostile(unit))) == []


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Guns fell <!-- an unclosed comment", "Guns fell <!-- an unclosed comment"),
        ("Guns <!-- closed --> fell <b", "Guns fell <b"),
        ("Guns <!-- closed --> fell <![CDATA[ and rose", "Guns fell <![CDATA[ and rose"),
    ],
)
def test_words_after_unfinished_html_are_kept(content: str, text: str) -> None:
    assert html_fragment_text(content) == text
