"""Lines on their way between a file and the store: what was read, what is added, what was left out.

How a file's records become lines is its format's business; here they go into the store, all or none.

Which endings the files of a format have, so that no file says by its name that it is of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.gold import standing
from labels.records import Annotation, Document, Sentence
from labels.settings import command
from labels.store import CodebookMigration, Store


def check_ending(path: Path, endings: Sequence[str], format: str) -> str:
    """The file's ending in lower case.

    Raises:
        DataError: it is none of `endings`.
    """
    ending = path.suffix.lower()
    if ending not in endings:
        known = " or ".join(endings)
        raise DataError(
            f"{path}: a file of format {format} ends in {known}, not '{path.suffix}'. Rename the file, or "
            "choose its format with --format."
        )
    return ending


REPLACED = "decisions that were replaced or undone since (export again to change them)"
"""How an import counts what the store knows and what stands there no longer."""


@dataclass(frozen=True)
class Line:
    """One event and the sentence that it is about.

    `document` is there where the file brought a text that was none of our sentences. `stored_id` names a sentence of
    the store that the line may be about instead; with `must_be_stored` it has to be, and `sentence` lacks its text.
    `place` is the file and the row.
    """

    event: Annotation
    sentence: Sentence
    document: Document | None = None
    place: str = ""
    stored_id: str = ""
    must_be_stored: bool = False


@dataclass(frozen=True)
class Batch:
    """What was read from one file. `left_out` counts by kind what is in it and is no decision.

    `codebooks` and `migrations` are the versions that it brings along, and the changes between them. `is_log`: its
    lines are all that happened, replaced decisions and undoing among it, and not only what stood when it was written.
    """

    path: Path
    lines: Sequence[Line]
    left_out: Mapping[str, int] = field(default_factory=dict)
    codebooks: Sequence[Codebook] = ()
    migrations: Sequence[CodebookMigration] = ()
    is_log: bool = False


class Imported(NamedTuple):
    """How many decisions were new, how many were there already, and what was left out or has no effect, by kind."""

    new: int
    known: int
    left_out: Mapping[str, int]


class Exported(NamedTuple):
    """How many decisions were written, and what was left out, by kind."""

    written: int
    left_out: Mapping[str, int]


def add_batch(store: Store, batch: Batch, codebook: Codebook) -> Imported:
    """Append what was read from a file to the store, all or none; a second time adds nothing.

    A decision that the store knows and that stands there no longer stays as it is, and is counted: where it is what was
    exported, nobody changed it in the file, and the one that took its place is the newer word.

    Raises:
        DataError: a sentence stands in the store with another text or must be there and is not, or an event id occurs
            twice in the file.
    """
    lines = _about_stored_sentences(store, batch.lines)
    _refuse_repeated_events(lines, str(batch.path))
    _refuse_other_texts(store, lines, str(batch.path))
    replaced = 0 if batch.is_log else _count_replaced(store, lines)
    new = store.add_annotated(
        [line.sentence for line in lines],
        [line.event for line in lines],
        documents=[line.document for line in lines if line.document is not None],
        codebooks=[*batch.codebooks, codebook],
        migrations=batch.migrations,
    )
    left_out = {**batch.left_out, **({REPLACED: replaced} if replaced else {})}
    return Imported(new, len(lines) - new - replaced, left_out)


def _count_replaced(store: Store, lines: Sequence[Line]) -> int:
    """How many lines are events of the store in whose place stands something that the file does not say."""
    events = store.events.all(sentence_ids={line.event.sentence_id for line in lines})
    replaced_ids = {event.event_id for event in events} - standing(events).event_ids
    told: dict[tuple[str, str, str], set[str]] = {}
    for event in (line.event for line in lines):
        told.setdefault((event.sentence_id, event.annotator, event.event), set()).add(event.event_id)
    return sum(len(ids) for ids in told.values() if ids <= replaced_ids)


def _about_stored_sentences(store: Store, lines: Sequence[Line]) -> list[Line]:
    ids = {line.stored_id for line in lines if line.stored_id}
    stored = {sentence.id: sentence for sentence in store.documents.sentences(ids)}
    return [_about(line, stored.get(line.stored_id), store) for line in lines]


def _about(line: Line, stored: Sentence | None, store: Store) -> Line:
    """The line with the sentence of the store that it names, where it is that one."""
    if stored is None and line.must_be_stored:
        raise DataError(
            f"{line.place}: sentence {line.stored_id} is not in the store, and this file bears no texts. "
            f"Read the documents in first with `{command('ingest', 'PATH', store=store.name)}`."
        )
    if stored is None or not (line.must_be_stored or stored.text == line.sentence.text):
        return line
    return Line(replace(line.event, sentence_id=stored.id), stored, place=line.place)


def _refuse_repeated_events(lines: Iterable[Line], path: str) -> None:
    seen: set[str] = set()
    for line in lines:
        if line.event.event_id in seen:
            raise DataError(f"{path}: event_id '{line.event.event_id}' occurs twice. Keep one of the lines.")
        seen.add(line.event.event_id)


def _refuse_other_texts(store: Store, lines: Iterable[Line], path: str) -> None:
    texts: dict[str, str] = {}
    for line in lines:
        if texts.setdefault(line.sentence.id, line.sentence.text) != line.sentence.text:
            raise DataError(
                f"{path}: sentence {line.sentence.id} reads '{texts[line.sentence.id][:60]}' in one line and "
                f"'{line.sentence.text[:60]}' in another. Keep the lines of one version of the document."
            )
    for sentence in store.documents.sentences(texts):
        if sentence.text != texts[sentence.id]:
            raise DataError(
                f"{path}: sentence {sentence.id} reads '{texts[sentence.id][:60]}' here, but "
                f"'{sentence.text[:60]}' in the store. The file belongs to another version of the document."
            )
