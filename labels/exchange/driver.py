"""Import and export of files in any format.

A format converts records to lines, and decisions to records; `labels.exchange.batches` reads the lines of a file. This
module adds them to the store (all or none), and selects and writes decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from labels.codebook.schema import Codebook
from labels.errors import DataError, counted
from labels.exchange.batches import (
    REPEATED,
    Batch,
    checked_ending,
    in_order_of_time,
    read_file,
    refuse_repeated_events,
    without_repeats,
)
from labels.exchange.decisions import select
from labels.exchange.formats import PLUGINS, find_format
from labels.exchange.lines import Line, UnseenLine, check_measures
from labels.exchange.matching import matched, without_removed
from labels.exchange.people import similar_names, under_new_names, under_stored_names
from labels.gold import standing
from labels.output.folders import check_text_folder, text_folder
from labels.records import Sentence, same_text
from labels.store import Repeats, Store

REPLACED = "decisions that have since been replaced or undone (export again to change them)"
REMOVED = "decisions on documents that were removed from the store (see `communique documents`)"
"""Reasons counted by this module: decisions in the store that no longer stand, and decisions on removed documents."""


@dataclass(frozen=True)
class Imported:
    """The result of an import, which unpacks to `new, known, left_out`.

    - `new`, `known`: numbers of decisions that were added, and that were already in the store
    - `left_out`: numbers of records left out or without effect, by reason
    - `unseen`: numbers of records without a decision, by reason; their texts are now sentences of the store
    - `notes`: remarks on how the file was read, and on annotators with similar names
    - `texts`, `known_texts`: numbers of different sentences in the file, and of those that were already in the store
    - `batch`: the id under which `store.imports.undo` withdraws the new events; empty without new events
    """

    new: int
    known: int
    left_out: Mapping[str, int]
    unseen: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    texts: int = 0
    known_texts: int = 0
    batch: str = ""

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
    texts of the documents that the decisions belong to (see `labels.output.folders`).

    Raises:
        InputError: the format is unknown, the file has the wrong extension, an output cannot be written, or
            `for_spreadsheet` is true for a file that is not CSV; also as for `labels.exchange.decisions.select`.
    """
    path, found = Path(path), find_format(format)
    ending = checked_ending(path, found)
    if texts is not None:
        check_text_folder(Path(texts))
    selection = select(store, codebook, found.carries, annotator, states=found.states)
    with PLUGINS.blaming(format):
        write = found.write_for_spreadsheet if for_spreadsheet else found.write
        write(path, found.build(selection, ending), codebook)
    if texts is not None:
        with text_folder(Path(texts)) as write_text:
            for identifier, document in store.documents.with_texts(one.document_id for _, one in selection.decisions):
                write_text(identifier, document)
    return Exported(len(selection.decisions), selection.left_out)


def add_batch(store: Store, batch: Batch, codebook: Codebook) -> Imported:
    """Add the contents of a file to the store, all or none; adding the same batch again changes nothing.

    Re-importing unchanged records never reverts newer decisions: a decision that has been replaced or undone in the
    store is only counted.

    Raises:
        DataError: a sentence has a different text in the store, a required sentence is not in the store, an event id
            occurs twice in the file, or a new event of a native file has an invalid time or duration.
    """
    # Checked before the transaction, where messages can name the file.
    lines, unseen, repeats = matched(store, batch.lines, batch.unseen, batch.path)
    lines, renamed = under_new_names(store, lines)
    lines, same_people = under_stored_names(store, lines, batch.format)
    read = len(lines)
    lines = lines if batch.is_log else in_order_of_time(without_repeats(lines))
    distinct = len(lines)
    lines = without_removed(store, lines, repeats.links)
    unseen = without_removed(store, unseen, repeats.links)
    texts: list[Line | UnseenLine] = [*lines, *unseen]
    refuse_repeated_events(lines, batch.path)
    known_texts = _refuse_other_texts(store, [line.sentence for line in texts], batch.path)
    names = {line.event.annotator for line in lines}
    similar = similar_names(names, store.events.annotators()) if names else ()
    notes = (*batch.notes, *_repeat_notes(repeats), *renamed, *same_people, *similar)
    if batch.is_log:
        _check_new_events(store, lines)
    # A log always contains undone and replaced events, so they count as already known.
    replaced = 0 if batch.is_log else _count_replaced(store, lines)
    added = store.add_annotated(
        [line.sentence for line in texts],
        [line.event for line in lines],
        documents=[line.document for line in texts if line.document is not None],
        codebooks=[*batch.codebooks, codebook],
        migrations=batch.migrations,
        draws=batch.draws,
        repeats=repeats,
        source=batch.path.name,
        format=batch.format.name if batch.format else "",
    )
    new = added.events
    counts = Counter(batch.left_out)
    counts.update({REPEATED: read - distinct, REMOVED: distinct - len(lines), REPLACED: replaced})
    reasons = Counter(line.reason for line in unseen)
    sizes = (len({line.sentence.id for line in texts}), known_texts)
    return Imported(new, len(lines) - new - replaced, +counts, reasons, notes, *sizes, added.id)


def _repeat_notes(repeats: Repeats) -> Iterator[str]:
    if repeats.sentences:
        what = counted(len(repeats.sentences), "sentence of the file was", "sentences of the file were")
        yield f"{what} found in another version of the document; the decisions were added there"


def _check_new_events(store: Store, lines: Sequence[Line]) -> None:
    """Check times and durations of native lines, except lines that this store already has from an earlier version."""
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
