"""Match the lines of a file with the sentences and events that the store has, regardless of their ids in the file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from labels.errors import DataError
from labels.exchange.lines import Line, UnseenLine
from labels.output.apostrophes import is_safe_form
from labels.records import Sentence, same_text
from labels.settings import command
from labels.store import Store

_Text = TypeVar("_Text", Line, UnseenLine)


def matched(
    store: Store, lines: Sequence[Line], unseen: Sequence[UnseenLine], path: Path
) -> tuple[list[Line], list[UnseenLine]]:
    """The lines of a file with the ids by which the store knows their sentences and events.

    Raises:
        DataError: a required sentence is not in the store.
    """
    texts: list[Line | UnseenLine] = [*lines, *unseen]
    moved = store.documents.stored([(line.document, line.sentence) for line in texts])
    stored = _stored_sentences(store, texts)
    n = len(lines)
    required = zip(lines, moved[:n], strict=True)
    absent = [own for line, own in required if line.must_be_stored and line.stored_id not in stored]
    # An earlier version of the splitter may have cut the document at other places.
    passages = {one.id: one for one in store.documents.with_passages(absent)}
    found = [
        _about(line.about(sentence), stored.get(line.stored_id) or passages.get(sentence.id), store)
        for line, sentence in zip(lines, moved[:n], strict=True)
    ]
    found_texts = [
        _text_about(replace(line, sentence=sentence), stored.get(line.stored_id))
        for line, sentence in zip(unseen, moved[n:], strict=True)
    ]
    ids = [line.event_ids(after.sentence) for line, after in zip(lines, found, strict=True)]
    taken = store.events.known(identifier for own in ids for identifier in own)
    return [line.with_event_id(own, taken, path) for line, own in zip(found, ids, strict=True)], found_texts


def without_removed(store: Store, lines: Sequence[_Text]) -> list[_Text]:
    """The lines on documents that were not removed from the store."""
    removed = store.removals.among({line.sentence.document_id for line in lines})
    return [line for line in lines if line.sentence.document_id not in removed]


def _stored_sentences(store: Store, lines: Iterable[Line | UnseenLine]) -> dict[str, Sentence]:
    ids = {line.stored_id for line in lines if line.stored_id}
    stored = {sentence.id: sentence for sentence in store.documents.sentences(ids)}
    other = store.documents.resolve(ids - stored.keys())
    by_id = {sentence.id: sentence for sentence in store.documents.sentences(other.values())}
    return stored | {alias: by_id[one] for alias, one in other.items()}


def _about(line: Line, stored: Sentence | None, store: Store) -> Line:
    """The line with the stored sentence that it refers to, if the texts are equal; otherwise the line unchanged."""
    if stored is None and line.must_be_stored:
        raise DataError(
            f"{line.place}: sentence {line.stored_id} is not in the store, and this file has no texts. "
            f"First add the documents with `{command('ingest', 'PATH', store=store.name)}`."
        )
    # An id alone may be copied or reused; the sentence is the same only if the text is also equal.
    if stored is None or not (line.must_be_stored or _is_text_of(stored, line)):
        return line
    return replace(line.about(stored), document=None)


def _text_about(line: UnseenLine, stored: Sentence | None) -> UnseenLine:
    """Like `_about`, for a text without a decision."""
    if stored is None or not _is_text_of(stored, line):
        return line
    return replace(line, sentence=stored, document=None)


def _is_text_of(stored: Sentence, line: Line | UnseenLine) -> bool:
    # A file for spreadsheets may have lost the column that lists its apostrophes.
    return same_text(stored.text, line.sentence.text) or is_safe_form(line.sentence.text, stored.text)
