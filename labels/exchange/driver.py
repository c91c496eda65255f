"""Import and export of files in any format.

A format converts records to lines, and decisions to records. This module checks file extensions, counts records that
are not decisions, adds lines to the store (all or none), and selects and writes decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from labels.codebook.schema import Codebook
from labels.errors import DataError, InputError, did_you_mean
from labels.exchange.decisions import select
from labels.exchange.foreign import LeftOut, Reader
from labels.exchange.formats import PLUGINS, Format, Note, find_format
from labels.exchange.lines import Line
from labels.gold import standing
from labels.records import CodebookMigration, Sentence
from labels.settings import command
from labels.store import Store

REPLACED = "decisions that have since been replaced or undone (export again to change them)"
REPEATED = "repeated records"
"""Reasons counted by this module: decisions in the store that no longer stand, and records that occur twice."""


@dataclass(frozen=True)
class Batch:
    """The contents of one file.

    - `left_out`: numbers of records that are not decisions, by reason
    - `codebooks`, `migrations`: codebook versions in the file, and the changes between them
    - `notes`: remarks on how the file was read
    - `is_log`: whether the lines are a full history, including replaced and undone decisions
    """

    path: Path
    lines: Sequence[Line]
    left_out: Mapping[str, int] = field(default_factory=dict)
    codebooks: Sequence[Codebook] = ()
    migrations: Sequence[CodebookMigration] = ()
    is_log: bool = False
    notes: Sequence[str] = ()


class Imported(NamedTuple):
    """Numbers of new and already known decisions, and of records left out or without effect, by reason."""

    new: int
    known: int
    left_out: Mapping[str, int]


class Exported(NamedTuple):
    """The number of written decisions, and the numbers of decisions or sentences left out, by reason."""

    written: int
    left_out: Mapping[str, int]


def import_file(
    store: Store, path: str | Path, codebook: Codebook, format: str = "jsonl", annotator: str = "", **options: str
) -> Imported:
    """Add the contents of a file to the store, all or none; importing the file again adds nothing.

    Raises:
        InputError: as for `read_file` and `add_batch`.
    """
    return add_batch(store, read_file(Path(path), codebook, format, annotator, **options), codebook)


def export_file(
    store: Store, path: str | Path, codebook: Codebook, format: str = "jsonl", annotator: str = ""
) -> Exported:
    """Write the decisions in the store, or only the decisions of `annotator`, to a file or folder.

    The file or folder is written completely or not at all.

    Raises:
        InputError: the format is unknown, or the file has the wrong extension or cannot be written; also as for
            `labels.exchange.decisions.select`.
    """
    path, found = Path(path), find_format(format)
    ending = _checked_ending(path, found)
    selection = select(store, codebook, found.carries, annotator, skipped=found.carries_skipped)
    with PLUGINS.blaming(format):
        found.write(path, found.build(selection, ending), codebook)
    return Exported(len(selection.decisions), selection.left_out)


def read_file(path: Path, codebook: Codebook, format: str = "jsonl", annotator: str = "", **options: str) -> Batch:
    """Read a file or folder.

    Args:
        annotator: annotator to record if the records do not name one.
        options: values for the format's own options.

    Raises:
        InputError: the format or an option is unknown, the file has the wrong extension or cannot be read, or a record
            is invalid; the message names file and row.
    """
    found = find_format(format)
    _checked_ending(path, found)
    _check_options(options, found)
    with PLUGINS.blaming(format):
        reader = Reader(path, format, codebook, annotator, found.default_annotator(path), **options)
        # Read the whole file before storing anything, because even the last line may be invalid.
        contents = list(found.parse(found.read(path), reader))
    is_log = found.carries == "events"
    lines = [content for content in contents if isinstance(content, Line)]
    left_out = Counter(content.reason for content in contents if isinstance(content, LeftOut))
    # A repeated event id is an error in a log, but only a copied record in other formats.
    kept = lines if is_log else _without_repeats(lines)
    if len(kept) < len(lines):
        left_out[REPEATED] = len(lines) - len(kept)
    return Batch(
        path,
        kept,
        left_out,
        codebooks=[content for content in contents if isinstance(content, Codebook)],
        migrations=[content for content in contents if isinstance(content, CodebookMigration)],
        is_log=is_log,
        notes=[content.text for content in contents if isinstance(content, Note)],
    )


def _without_repeats(lines: Iterable[Line]) -> list[Line]:
    first: dict[str, Line] = {}
    for line in lines:
        first.setdefault(line.event.event_id, line)
    return list(first.values())


def _checked_ending(path: Path, format: Format) -> str:
    ending = path.suffix.lower()
    if format.endings and ending not in format.endings:
        raise DataError(
            f"{path}: files in format {format.name} have the extension {' or '.join(format.endings)}, not "
            f"'{path.suffix}'. Rename the file, or choose its format with --format."
        )
    return ending


def _check_options(options: Mapping[str, str], format: Format) -> None:
    for name in options:
        if name not in format.options:
            known = ", ".join(format.options) or "none"
            near = did_you_mean(name, format.options)
            raise InputError(f"format {format.name} has no option '{name}'{near}. Available options: {known}.")


def add_batch(store: Store, batch: Batch, codebook: Codebook) -> Imported:
    """Add the contents of a file to the store, all or none; adding the same batch again changes nothing.

    Re-importing unchanged records never reverts newer decisions: a decision that has been replaced or undone in the
    store is only counted.

    Raises:
        DataError: a sentence has a different text in the store, a required sentence is not in the store, or an event id
            occurs twice in the file.
    """
    # Checked before the transaction, where messages can name the file.
    lines = _about_stored_sentences(store, batch.lines)
    _refuse_repeated_events(lines, batch.path)
    _refuse_other_texts(store, lines, batch.path)
    # A log always contains undone and replaced events, so they count as already known.
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
    """The number of lines whose event no longer stands in the store, replaced or undone by an event not in the file."""
    events = store.events.all(sentence_ids={line.event.sentence_id for line in lines})
    replaced_ids = {event.event_id for event in events} - standing(events).event_ids
    in_file: dict[tuple[str, str, str], set[str]] = {}
    for event in (line.event for line in lines):
        in_file.setdefault((event.sentence_id, event.annotator, event.event), set()).add(event.event_id)
    # If one event of a group still stands, the other events are only its history.
    return sum(len(ids) for ids in in_file.values() if ids <= replaced_ids)


def _about_stored_sentences(store: Store, lines: Sequence[Line]) -> list[Line]:
    ids = {line.stored_id for line in lines if line.stored_id}
    stored = {sentence.id: sentence for sentence in store.documents.sentences(ids)}
    return [_about(line, stored.get(line.stored_id), store) for line in lines]


def _about(line: Line, stored: Sentence | None, store: Store) -> Line:
    """The line with the stored sentence that it refers to, if the texts are equal; otherwise the line unchanged."""
    if stored is None and line.must_be_stored:
        raise DataError(
            f"{line.place}: sentence {line.stored_id} is not in the store, and this file has no texts. "
            f"First add the documents with `{command('ingest', 'PATH', store=store.name)}`."
        )
    # An id alone may be copied or reused; the sentence is the same only if the text is also equal.
    if stored is None or not (line.must_be_stored or stored.text == line.sentence.text):
        return line
    return Line(replace(line.event, sentence_id=stored.id), stored, place=line.place)


def _refuse_repeated_events(lines: Iterable[Line], path: Path) -> None:
    seen: set[str] = set()
    for line in lines:
        if line.event.event_id in seen:
            raise DataError(f"{path}: event_id '{line.event.event_id}' occurs twice. Keep one of the lines.")
        seen.add(line.event.event_id)


def _refuse_other_texts(store: Store, lines: Iterable[Line], path: Path) -> None:
    texts: dict[str, str] = {}
    for line in lines:
        if texts.setdefault(line.sentence.id, line.sentence.text) != line.sentence.text:
            raise DataError(
                f"{path}: sentence {line.sentence.id} has the text '{texts[line.sentence.id][:60]}' in one line and "
                f"'{line.sentence.text[:60]}' in another line. Keep only the lines from one version of the document."
            )
    for sentence in store.documents.sentences(texts):
        if sentence.text != texts[sentence.id]:
            raise DataError(
                f"{path}: sentence {sentence.id} has the text '{texts[sentence.id][:60]}' in the file, but "
                f"'{sentence.text[:60]}' in the store. Use the file for the version of the document in the store."
            )
