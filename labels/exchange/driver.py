"""Files in, files out: what importing and exporting have in common, whatever the format.

A format turns records into lines and decisions into records. Here the endings of files are checked, records that are
not decisions are counted, lines enter the store (all or none), and decisions are selected and written.
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
from labels.exchange.formats import PLUGINS, Format, find_format
from labels.exchange.lines import Line
from labels.exchange.records import LeftOut, Reader
from labels.gold import standing
from labels.records import CodebookMigration, Sentence
from labels.settings import command
from labels.store import Store

REPLACED = "decisions that were replaced or undone since (export again to change them)"
REPEATED = "repeated records"
"""Reasons that the driver itself counts: decisions of the store that no longer stand, and records that occur twice."""


@dataclass(frozen=True)
class Batch:
    """What was read from one file. `left_out` counts by reason the records that are not decisions.

    `codebooks` and `migrations` are the versions that the file brings along, and the changes between them. `is_log`:
    its lines are all that happened, replaced and undone decisions among them, not only what stood when it was written.
    """

    path: Path
    lines: Sequence[Line]
    left_out: Mapping[str, int] = field(default_factory=dict)
    codebooks: Sequence[Codebook] = ()
    migrations: Sequence[CodebookMigration] = ()
    is_log: bool = False


class Imported(NamedTuple):
    """How many decisions were new, how many were already there, and what was left out or has no effect, by reason."""

    new: int
    known: int
    left_out: Mapping[str, int]


class Exported(NamedTuple):
    """How many decisions were written, and what was left out, by reason."""

    written: int
    left_out: Mapping[str, int]


def import_file(
    store: Store, path: str | Path, codebook: Codebook, format: str = "jsonl", annotator: str = "", **options: str
) -> Imported:
    """Add what a file holds to the store, all or none; importing twice adds nothing.

    Raises:
        InputError: as `read_file` and `add_batch`.
    """
    return add_batch(store, read_file(Path(path), codebook, format, annotator, **options), codebook)


def export_file(
    store: Store, path: str | Path, codebook: Codebook, format: str = "jsonl", annotator: str = ""
) -> Exported:
    """Write the decisions of the store, or those of `annotator`, to a file or folder, whole or not at all.

    Raises:
        InputError: there is no such format, the file has another ending or cannot be written, or as
            `labels.exchange.decisions.select`.
    """
    path, found = Path(path), find_format(format)
    ending = _checked_ending(path, found)
    selection = select(store, codebook, found.carries, annotator, skipped=found.carries_skipped)
    with PLUGINS.blaming(format):
        found.write(path, found.build(selection, ending), codebook)
    return Exported(len(selection.decisions), selection.left_out)


def read_file(path: Path, codebook: Codebook, format: str = "jsonl", annotator: str = "", **options: str) -> Batch:
    """What a file or folder holds.

    Args:
        annotator: who decided, where the records do not say.
        options: values of options that the format has of its own.

    Raises:
        InputError: there is no such format or option, the file has another ending or cannot be read, or a record
            cannot be understood; the message names file and row.
    """
    found = find_format(format)
    _checked_ending(path, found)
    _check_options(options, found)
    with PLUGINS.blaming(format):
        reader = Reader(path, format, codebook, annotator, found.default_annotator(path), **options)
        # All of the file is read before anything is stored: its last line may be the one that is refused.
        contents = list(found.parse(found.read(path), reader))
    is_log = found.carries == "events"
    lines = [content for content in contents if isinstance(content, Line)]
    left_out = Counter(content.reason for content in contents if isinstance(content, LeftOut))
    # In a log an event id that occurs twice is an error. Elsewhere it is a copy of a record.
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
            f"{path}: a file of format {format.name} ends in {' or '.join(format.endings)}, not '{path.suffix}'. "
            "Rename the file, or choose its format with --format."
        )
    return ending


def _check_options(options: Mapping[str, str], format: Format) -> None:
    for name in options:
        if name not in format.options:
            known = ", ".join(format.options) or "none"
            near = did_you_mean(name, format.options)
            raise InputError(f"format {format.name} has no option '{name}'{near}. Its options: {known}.")


def add_batch(store: Store, batch: Batch, codebook: Codebook) -> Imported:
    """Append what was read from a file to the store, all or none; a second time adds nothing.

    Re-importing unchanged records never reverts newer decisions: a decision that was replaced or undone in the store
    since is counted, and nothing else happens.

    Raises:
        DataError: a sentence has another text in the store or must be there and is not, or an event id occurs twice in
            the file.
    """
    # Checked before the transaction, so that messages can name the file.
    lines = _about_stored_sentences(store, batch.lines)
    _refuse_repeated_events(lines, batch.path)
    _refuse_other_texts(store, lines, batch.path)
    # A log has undone and replaced events by nature; they are simply known.
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
    """How many lines are events of the store that something else replaced, which the file does not have."""
    events = store.events.all(sentence_ids={line.event.sentence_id for line in lines})
    replaced_ids = {event.event_id for event in events} - standing(events).event_ids
    in_file: dict[tuple[str, str, str], set[str]] = {}
    for event in (line.event for line in lines):
        in_file.setdefault((event.sentence_id, event.annotator, event.event), set()).add(event.event_id)
    # Where one of them still stands, the others are only its history.
    return sum(len(ids) for ids in in_file.values() if ids <= replaced_ids)


def _about_stored_sentences(store: Store, lines: Sequence[Line]) -> list[Line]:
    ids = {line.stored_id for line in lines if line.stored_id}
    stored = {sentence.id: sentence for sentence in store.documents.sentences(ids)}
    return [_about(line, stored.get(line.stored_id), store) for line in lines]


def _about(line: Line, stored: Sentence | None, store: Store) -> Line:
    """The line with the sentence of the store that it names, if the text is that sentence's."""
    if stored is None and line.must_be_stored:
        raise DataError(
            f"{line.place}: sentence {line.stored_id} is not in the store, and this file has no texts. "
            f"Read the documents in first with `{command('ingest', 'PATH', store=store.name)}`."
        )
    # An id alone may be copied or reused; with the same text it is the same sentence.
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
                f"{path}: sentence {line.sentence.id} reads '{texts[line.sentence.id][:60]}' in one line and "
                f"'{line.sentence.text[:60]}' in another. Keep the lines of one version of the document."
            )
    for sentence in store.documents.sentences(texts):
        if sentence.text != texts[sentence.id]:
            raise DataError(
                f"{path}: sentence {sentence.id} reads '{texts[sentence.id][:60]}' here, but "
                f"'{sentence.text[:60]}' in the store. The file belongs to another version of the document."
            )
