"""The whole document of a sentence, cut into runs of text for the screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from labels.records import Sentence
from labels.store import Context, Store

Run = tuple[str, Literal["", "heading", "boilerplate"]]
"""A part of a document's text, and what it is."""


@dataclass(frozen=True)
class Article:
    """A document with its title and date, and its text in three parts: before, in and after a sentence."""

    title: str
    date: str
    before: tuple[Run, ...]
    sentence: str
    after: tuple[Run, ...]


def article_around(sentence: Sentence, context: Context, store: Store) -> Article:
    """Read the document of a sentence from the store.

    Of a document that the store does not have, only the sentences are known.
    """
    own = store.documents.sentences(document_id=sentence.document_id)
    stored = dict(store.documents.with_texts([sentence.document_id])).get(sentence.document_id)
    text = stored.text if stored else _joined(own)
    before = tuple(_runs(text, 0, sentence.start, own))
    after = tuple(_runs(text, sentence.end, len(text), own))
    return Article(context.title, context.date, before, sentence.text, after)


def _joined(sentences: Iterable[Sentence]) -> str:
    """The sentences at their offsets, with spaces between them."""
    text = ""
    for one in sentences:
        text = text[: one.start].ljust(one.start) + one.text
    return text


def _runs(text: str, start: int, end: int, sentences: Iterable[Sentence]) -> Iterator[Run]:
    at = start
    for one in sentences:
        if at <= one.start and one.end <= end and (one.heading or one.boilerplate):
            yield text[at : one.start], ""
            yield text[one.start : one.end], "heading" if one.heading else "boilerplate"
            at = one.end
    yield text[at:end], ""
