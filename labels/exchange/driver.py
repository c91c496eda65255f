"""Import and export of files in any format.

A format converts records to lines, and decisions to records. This module checks file extensions, counts records that
are not decisions, adds lines to the store (all or none), and selects and writes decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from labels.codebook.schema import Codebook
from labels.errors import DataError, InputError, did_you_mean
from labels.exchange.decisions import select
from labels.exchange.fields import KEY
from labels.exchange.foreign import LeftOut, Reader
from labels.exchange.formats import BUILTINS, PLUGINS, Format, Note, Placed, find_format
from labels.exchange.lines import Line, UnseenLine, check_measures
from labels.exchange.matching import matched, without_removed
from labels.exchange.people import similar_names, under_stored_names
from labels.gold import standing
from labels.output.text_files import check_text_folder, text_folder
from labels.records import CodebookMigration, Sentence, same_text
from labels.store import Store
from labels.text.rows import Row

REPLACED = "decisions that have since been replaced or undone (export again to change them)"
REPEATED = "repeated records"
REMOVED = "decisions on documents that were removed from the store (see `communique documents`)"
"""Reasons counted by this module: decisions in the store that no longer stand, records that occur twice, and decisions
on removed documents."""

_LISTED = 10
"""The maximum number of spellings listed in a note."""


@dataclass(frozen=True)
class Batch:
    """The contents of one file.

    - `unseen`: texts on which nobody decided in the file
    - `left_out`: numbers of records that are neither, by reason
    - `notes`: remarks on how the file was read
    - `format`: the format of the file
    - `codebooks`, `migrations`: codebook versions in the file, and the changes between them
    - `is_log`: whether the lines are a full history, including replaced and undone decisions
    """

    path: Path
    lines: Sequence[Line]
    left_out: Mapping[str, int] = field(default_factory=dict)
    codebooks: Sequence[Codebook] = ()
    migrations: Sequence[CodebookMigration] = ()
    is_log: bool = False
    unseen: Sequence[UnseenLine] = ()
    notes: Sequence[str] = ()
    format: Format | None = None


@dataclass(frozen=True)
class Imported:
    """The result of an import. It unpacks to `new, known, left_out`.

    - `new`, `known`: numbers of decisions that were added, and that were already in the store
    - `left_out`: numbers of records left out or without effect, by reason
    - `unseen`: numbers of records without a decision, by reason; their texts are now sentences of the store
    - `notes`: remarks on how the file was read, and on annotators with similar names
    - `texts`, `known_texts`: numbers of different sentences in the file, and of those that were already in the store
    """

    new: int
    known: int
    left_out: Mapping[str, int]
    unseen: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    texts: int = 0
    known_texts: int = 0

    def __iter__(self) -> Iterator[Any]:
        # Earlier versions returned a tuple of these three.
        return iter((self.new, self.known, self.left_out))


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
    store: Store,
    path: str | Path,
    codebook: Codebook,
    format: str = "jsonl",
    annotator: str = "",
    *,
    for_spreadsheet: bool = False,
    texts: str | Path | None = None,
) -> Exported:
    """Write the decisions in the store, or only the decisions of `annotator`, to a file or folder.

    The file or folder is written completely or not at all. With `for_spreadsheet`, cells of a CSV file that a
    spreadsheet would execute get an apostrophe, which importing the file removes again. `texts` is a folder for the
    texts of the documents that the decisions belong to (see `labels.output.text_files`).

    Raises:
        InputError: the format is unknown, the file has the wrong extension, an output cannot be written, or
            `for_spreadsheet` is true for a file that is not CSV; also as for `labels.exchange.decisions.select`.
    """
    path, found = Path(path), find_format(format)
    ending = _checked_ending(path, found)
    if texts is not None:
        check_text_folder(Path(texts))
    selection = select(store, codebook, found.carries, annotator, skipped=found.carries_skipped)
    with PLUGINS.blaming(format):
        write = found.write_for_spreadsheet if for_spreadsheet else found.write
        write(path, found.build(selection, ending), codebook)
    if texts is not None:
        with text_folder(Path(texts)) as write_text:
            for identifier, document in store.documents.with_texts(one.document_id for _, one in selection.decisions):
                write_text(identifier, document)
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
    named = find_format(format)
    _checked_ending(path, named)
    with PLUGINS.blaming(format):
        found = named.for_file(path)
        _check_options(options, found)
        reader = Reader(path, found.name, codebook, annotator, found.default_annotator(path), **options)
        # Read the whole file before storing anything, because even the last line may be invalid.
        contents = list(found.parse(_of_this_tool(found.read(path), found, format), reader))
    is_log = found.carries == "events"
    notes = [*(content.text for content in contents if isinstance(content, Note)), *_spelling_notes(reader.spellings)]
    lines = [content for content in contents if isinstance(content, Line)]
    if is_log:
        _refuse_repeated_events(lines, path)
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
        unseen=[content for content in contents if isinstance(content, UnseenLine)],
        notes=list(dict.fromkeys(notes)),
        format=found,
    )


def _spelling_notes(spellings: Counter[tuple[str, str]]) -> Iterator[str]:
    if spellings:
        shown = [f"'{value}' as {name} ({count})" for (value, name), count in spellings.most_common(_LISTED)]
        more = f", and {len(spellings) - _LISTED} more" if len(spellings) > _LISTED else ""
        yield f"values in another spelling than the names of labels were read: {', '.join(shown)}{more}"


def _of_this_tool(placed: Iterable[Placed], format: Format, named: str) -> Iterator[Placed]:
    """The records, after checking that they are not those of another tool, whose answers this format would misread.

    Records of plug-in formats are not checked, and native lines need no check: they have columns of their own.

    Args:
        named: the name that the user gave for the format.
    """
    checked = format.name in BUILTINS and format.carries != "events"
    others = [find_format(name) for name in BUILTINS if name != format.name] if checked else []
    for place, record in placed:
        if KEY not in record and not format.is_own(record):
            _refuse_record_of(others, record, place, named)
        yield place, record


def _refuse_record_of(others: Iterable[Format], record: Row, place: str, named: str) -> None:
    for other in others:
        if other.is_own(record):
            repair = f"Import the file with `--format {other.name}`, or remove the keys of this format."
            if other.name == named:
                repair = "The first record of the file is not. Import records of two kinds in separate files."
            raise DataError(f"{place}: this record is in the format {other.name}. {repair}")


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
        DataError: a sentence has a different text in the store, a required sentence is not in the store, an event id
            occurs twice in the file, or a new event of a native file has an invalid time or duration.
    """
    # Checked before the transaction, where messages can name the file.
    lines, unseen = matched(store, batch.lines, batch.unseen, batch.path)
    lines, same_people = under_stored_names(store, lines, batch.format)
    read = len(lines)
    lines = lines if batch.is_log else _without_repeats(lines)
    distinct = len(lines)
    lines, unseen = without_removed(store, lines), without_removed(store, unseen)
    texts: list[Line | UnseenLine] = [*lines, *unseen]
    _refuse_repeated_events(lines, batch.path)
    known_texts = _refuse_other_texts(store, [line.sentence for line in texts], batch.path)
    names = {line.event.annotator for line in lines}
    notes = (*batch.notes, *same_people, *(similar_names(names, store.events.annotators()) if names else ()))
    if batch.is_log:
        _check_new_events(store, lines)
    # A log always contains undone and replaced events, so they count as already known.
    replaced = 0 if batch.is_log else _count_replaced(store, lines)
    new = store.add_annotated(
        [line.sentence for line in texts],
        [line.event for line in lines],
        documents=[line.document for line in texts if line.document is not None],
        codebooks=[*batch.codebooks, codebook],
        migrations=batch.migrations,
    )
    counts = Counter(batch.left_out)
    counts.update({REPEATED: read - distinct, REMOVED: distinct - len(lines), REPLACED: replaced})
    reasons = Counter(line.reason for line in unseen)
    sizes = (len({line.sentence.id for line in texts}), known_texts)
    return Imported(new, len(lines) - new - replaced, +counts, reasons, notes, *sizes)


def _check_new_events(store: Store, lines: Sequence[Line]) -> None:
    """Check times and durations of native lines, except those that this store already has from an earlier version."""
    known = store.events.known(line.event.event_id for line in lines)
    for line in lines:
        if line.event.event_id not in known:
            check_measures(line.event, line.place)


def _count_replaced(store: Store, lines: Sequence[Line]) -> int:
    """The number of lines whose event no longer stands in the store, replaced or undone by an event not in the file."""
    events = store.events.all(sentence_ids={line.event.sentence_id for line in lines})
    replaced_ids = {event.event_id for event in events} - standing(events).event_ids
    in_file: dict[tuple[str, str, str], set[str]] = {}
    for event in (line.event for line in lines):
        in_file.setdefault((event.sentence_id, event.annotator, event.event), set()).add(event.event_id)
    # If one event of a group still stands, the other events are only its history.
    return sum(len(ids) for ids in in_file.values() if ids <= replaced_ids)


def _refuse_repeated_events(lines: Iterable[Line], path: Path) -> None:
    seen: set[str] = set()
    for line in lines:
        if line.event.event_id in seen:
            raise DataError(f"{path}: event_id '{line.event.event_id}' occurs twice. Keep one of the lines.")
        seen.add(line.event.event_id)


def _refuse_other_texts(store: Store, sentences: Iterable[Sentence], path: Path) -> int:
    """Check that each sentence has one text; returns the number of different sentences that are in the store."""
    texts: dict[str, str] = {}
    for sentence in sentences:
        if not same_text(texts.setdefault(sentence.id, sentence.text), sentence.text):
            raise DataError(
                f"{path}: sentence {sentence.id} has the text '{texts[sentence.id][:60]}' in one line and "
                f"'{sentence.text[:60]}' in another line. Keep only the lines from one version of the document."
            )
    stored = store.documents.sentences(texts)
    for sentence in stored:
        if not same_text(sentence.text, texts[sentence.id]):
            raise DataError(
                f"{path}: sentence {sentence.id} has the text '{texts[sentence.id][:60]}' in the file, but "
                f"'{sentence.text[:60]}' in the store. Use the file for the version of the document in the store."
            )
    return len(stored)
