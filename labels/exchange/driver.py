"""Import and export of files in any format.

A format converts records to lines, and decisions to records; `labels.exchange.batches` reads the lines of a file. This
module adds them to the store (all or none), selects and writes decisions, and writes sentences to label as tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from labels.codebook.schema import Codebook
from labels.errors import DataError, InputError, counted
from labels.exchange.batches import (
    REPEATED,
    Batch,
    checked_ending,
    in_order_of_time,
    read_file,
    refuse_repeated_events,
    seconds_of,
    without_repeats,
)
from labels.exchange.decisions import select
from labels.exchange.formats import BUILTINS, PLUGINS, Format, find_format
from labels.exchange.lines import Line, UnseenLine, check_measures
from labels.exchange.matching import matched, without_removed
from labels.exchange.people import similar_names, under_new_names, under_stored_names
from labels.exchange.stamps import in_order, tasks_of
from labels.gold import standing
from labels.output.drafts import check_file, write_whole
from labels.output.folders import check_text_folder, text_folder
from labels.records import same_text
from labels.sampling.drawing import DrawRequest
from labels.sampling.exhausted import explain
from labels.sampling.strategies import lease_end, next_assignment
from labels.store import Draw, Repeats, Store

REPLACED = "decisions that have since been replaced or undone (export again to change them)"
REMOVED = "decisions on documents that were removed from the store (see `communique documents`)"
OVERRULED = "answers to tasks on which their annotator has decided here since (the later decision stands)"
"""Reasons counted by this module: decisions in the store that no longer stand, decisions on removed documents, and
answers of tasks that came too late."""


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


@dataclass(frozen=True)
class WrittenTasks:
    """The number of sentences written as tasks, their reservation, and the file that the tool needs beside them.

    `until` is the end of the reservation (ISO 8601 in UTC); empty if the sentences were not drawn for anybody.
    `continues` is true if they are the rest of an unfinished draw.
    """

    tasks: int
    project: Path
    until: str = ""
    continues: bool = False


def export_tasks(
    store: Store,
    path: str | Path,
    codebook: Codebook,
    format: str,
    annotator: str = "",
    request: DrawRequest | None = None,
    *,
    held: timedelta = timedelta(days=7),
) -> WrittenTasks:
    """Write sentences to label as tasks for a tool, and the tool's project file beside them.

    With an annotator, the sentences of the annotator's unfinished draw, or of a new one, are written and reserved for
    the time `held`. Without, all sentences without a decision are written that nobody holds.

    Raises:
        InputError: the format has no tasks, no sentence is left, or a file cannot be written; as for `next_assignment`.
    """
    path, found = Path(path), find_format(format)
    if not found.takes_tasks:
        known = [name for name in BUILTINS if find_format(name).takes_tasks]
        raise InputError(f"--format: {format} has no tasks. Use one of {', '.join(known)}.")
    checked_ending(path, found)
    project, content = project_file(path, found, codebook)
    for file in (path, project):
        check_file(file)  # before sentences are drawn and reserved
    chosen = _drawn(store, annotator, request or DrawRequest(size=0), held) if annotator else _free(store)
    with PLUGINS.blaming(format):
        tasks = tasks_of(store, chosen.draws, chosen.ids)
        found.write(path, [found.task(task, codebook) for task in tasks], codebook)
    write_whole(project, [content])
    return WrittenTasks(len(chosen.ids), project, chosen.until, chosen.continues)


def project_file(path: Path, format: Format, codebook: Codebook) -> tuple[Path, str]:
    """The file that a tool needs beside the tasks in `path`, and its content."""
    ending, content = format.project(codebook)
    return path.with_name(f"{path.stem}.{ending}"), content


class _Chosen(NamedTuple):
    """Sentences for tasks, in order, and their draws with the end of the reservation."""

    draws: Sequence[Draw]
    ids: list[str]
    until: str = ""
    continues: bool = False


def _drawn(store: Store, annotator: str, request: DrawRequest, held: timedelta) -> _Chosen:
    assignment = next_assignment(store, annotator, request)
    if assignment is None:
        reason = explain(store, annotator, request).reason
        raise InputError(f"{store.name}: there is nothing to label for {annotator}. {reason}")
    until = lease_end(held)
    pending = store.draws.hold_pending(assignment.draws, expires_at=until)
    return _Chosen(assignment.draws, in_order(assignment.draws, frozenset(pending)), until, assignment.continues)


def _free(store: Store) -> _Chosen:
    ids = store.unseen.ids()
    if not ids:
        raise InputError(f"{store.name}: there is nothing to label: every sentence is decided or reserved.")
    return _Chosen((), ids)


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
    lines = _without_overruled(store, _in_known_draws(store, lines, batch.draws))
    in_time = len(lines)
    lines = without_removed(store, lines, repeats.links)
    unseen = without_removed(store, unseen, repeats.links)
    texts: list[Line | UnseenLine] = [*lines, *unseen]
    refuse_repeated_events(lines, batch.path)
    known_texts = _refuse_other_texts(store, texts)
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
    counts.update({REPEATED: read - distinct, OVERRULED: distinct - in_time})
    counts.update({REMOVED: in_time - len(lines), REPLACED: replaced})
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


def _in_known_draws(store: Store, lines: Sequence[Line], draws: Iterable[Draw]) -> list[Line]:
    """The lines. Without its draw, which is in another store, a line itself says how its sentence was drawn."""
    ids = {line.event.draw_id for line in lines if line.event.draw_id}
    known = {"", *store.draws.among(ids), *(draw.id for draw in draws)}
    return [
        line if line.event.draw_id in known else replace(line, event=replace(line.event, draw_id="")) for line in lines
    ]


def _without_overruled(store: Store, lines: Sequence[Line]) -> list[Line]:
    """The lines without new answers to tasks on which their annotator decided in the store after the answer.

    Without a time of the answer, decisions in the store since the task was written overrule it.
    """
    asked = [line for line in lines if line.asked_at]
    if not asked:
        return list(lines)
    known = store.events.known(line.event.event_id for line in asked)
    stands = standing(store.events.all(sentence_ids={line.event.sentence_id for line in asked})).annotations
    late = {
        line.event.event_id
        for line in asked
        if line.event.event_id not in known
        and (own := stands.get((line.event.sentence_id, line.event.annotator))) is not None
        and seconds_of(own.created_at) > seconds_of(line.asked_at)
    }
    return [line for line in lines if line.event.event_id not in late]


def _refuse_other_texts(store: Store, lines: Iterable[Line | UnseenLine]) -> int:
    """Check that each sentence has one text; returns the number of different sentences that are in the store."""
    first: dict[str, Line | UnseenLine] = {}
    for line in lines:
        identifier, text = line.sentence.id, line.sentence.text
        other = first.setdefault(identifier, line).sentence.text
        if not same_text(other, text):
            first_text, second_text = _difference(other, text)
            raise DataError(
                f"{line.place}: sentence {identifier} has the text '{first_text}' in one line and '{second_text}' in "
                "another line. Keep only the lines from one version of the document."
            )
    stored = store.documents.sentences(first)
    for sentence in stored:
        line = first[sentence.id]
        if not same_text(sentence.text, line.sentence.text):
            in_file, in_store = _difference(line.sentence.text, sentence.text)
            raise DataError(
                f"{line.place}: sentence {sentence.id} has the text '{in_file}' in the file, but "
                f"'{in_store}' in the store. Use the file for the version of the document in the store. If "
                "the text of a record was edited, restore it."
            )
    return len(stored)


def _difference(one: str, other: str) -> tuple[str, str]:
    """At most 60 characters of each of two texts, around the first difference."""
    pairs = enumerate(zip(one, other, strict=False))
    same = next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
    start = max(0, same - 20) if max(len(one), len(other)) > 60 else 0

    def excerpt(text: str) -> str:
        return "…" * (start > 0) + text[start : start + 60] + "…" * (len(text) > start + 60)

    return excerpt(one), excerpt(other)
