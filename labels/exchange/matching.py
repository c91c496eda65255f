"""Match the lines of a file with the sentences and events that the store has, regardless of their ids in the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from labels.environment.settings import command
from labels.errors import DataError
from labels.exchange.lines import Line, UnseenLine
from labels.output.table_files import is_safe_form
from labels.records import Sentence, same_text
from labels.store import Repeats, Store

_Text = TypeVar("_Text", Line, UnseenLine)


class Matched(NamedTuple):
    """The lines of a file, and the sentences that stand in other versions of their documents."""

    lines: list[Line]
    unseen: list[UnseenLine]
    repeats: Repeats


def matched(store: Store, lines: Sequence[Line], unseen: Sequence[UnseenLine], path: Path) -> Matched:
    """The lines of a file with the ids by which the store knows their sentences and events.

    Raises:
        DataError: a required sentence is not in the store.
    """
    texts: list[Line | UnseenLine] = [*lines, *unseen]
    moved = store.documents.stored([(line.document, line.sentence) for line in texts])
    # Sentences that come with a document are whole texts, not parts of an article.
    exported = [one for line, one in zip(texts, moved, strict=True) if line.document is None]
    repeats = store.documents.repeats(exported)
    moved = [repeats.sentences.get(one.id, one) for one in moved]
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
    named = [line.with_event_id(own, taken, path) for line, own in zip(found, ids, strict=True)]
    return Matched(named, found_texts, repeats)


def without_removed(store: Store, lines: Sequence[_Text], links: Mapping[str, str]) -> list[_Text]:
    """The lines on documents that were not removed from the store, and that are not versions of removed documents.

    Args:
        links: id of a document that is not in the store -> id of the first version.
    """
    documents = {line.sentence.document_id for line in lines}
    removed = store.removals.among(documents | set(links.values()))
    gone = {one for one in documents if one in removed or links.get(one) in removed}
    return [line for line in lines if line.sentence.document_id not in gone]


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
