"""The native form: one annotation event a line, lossless both ways; also the form of `seeds/annotations/`.

Lines of the native form that are no events: the codebook versions of a store, and the changes between them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

from labels.codebook.changes import step_from_json
from labels.codebook.schema import Codebook, dump_codebook, parse_codebook
from labels.errors import CodebookError, DataError, InputError, did_you_mean
from labels.exchange.decisions import events_of
from labels.exchange.lines import Batch, Exported, Line, add_batch, check_ending
from labels.files import write_whole
from labels.records import Annotation, Sentence
from labels.store import CodebookMigration, Store
from labels.text.rows import Row, is_unicode, read_rows

CODEBOOK, MIGRATION = "codebook", "codebook_migration"
"""The key by which such a line is known, and under which it holds its content."""


def codebook_lines(store: Store, events: Iterable[Annotation]) -> Iterator[Row]:
    """The lines that go before `events`; none where all of them were made under one version and nothing was changed."""
    kept, migrations = store.codebooks.all(), store.codebooks.migrations()
    used = {event.codebook_hash for event in events} & kept.keys()
    if len(used) < 2 and not migrations:
        return
    for version in kept.values():
        yield {CODEBOOK: dump_codebook(version)}
    for migration in migrations:
        steps = [dict(step) for step in migration.steps]
        yield {
            MIGRATION: {
                "old_hash": migration.old_hash,
                "new_hash": migration.new_hash,
                "steps": steps,
                "created_at": migration.created_at,
            }
        }


def parse_codebook_line(row: Row, place: str) -> Codebook | CodebookMigration | None:
    """The codebook or the change that a line holds; None for a line that holds neither.

    Raises:
        DataError: it is not what was written there.
    """
    if isinstance(row.get(CODEBOOK), str):
        try:
            return parse_codebook(row[CODEBOOK], place)
        except CodebookError as error:
            raise DataError(str(error)) from None
    if MIGRATION not in row:
        return None
    try:
        content = row[MIGRATION]
        steps = tuple(content["steps"])
        for step in steps:
            step_from_json(step)
        return CodebookMigration(str(content["old_hash"]), str(content["new_hash"]), steps, str(content["created_at"]))
    except InputError as error:
        raise DataError(f"{place}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{place}: `{MIGRATION}` must hold old_hash, new_hash, steps and created_at ({error}). Export it again."
        ) from None


FORMAT = "jsonl"
UNIT = "events"
LOST: tuple[str, ...] = (
    "documents: a sentence goes without the text around it",
    "scores of models, and of draws all but strategy and inclusion probability",
)

COLUMNS = (
    "event_id",
    "sentence_id",
    "document_id",
    "start",
    "end",
    "text",
    "annotator",
    "event",
    "state",
    "labels",
    "note",
    "seconds",
    "codebook_hash",
    "suggestion",
    "blind",
    "strategy",
    "inclusion_probability",
    "created_at",
    "synthetic",
    "extra",
)
OPTIONAL = frozenset(
    {"note", "seconds", "suggestion", "blind", "strategy", "inclusion_probability", "synthetic", "extra"}
)
_TYPES: dict[str, tuple[type, ...]] = {
    "start": (int,),
    "end": (int,),
    "labels": (list,),
    "blind": (bool,),
    "synthetic": (bool,),
    "seconds": (int, float, type(None)),
    "inclusion_probability": (int, float, type(None)),
    "suggestion": (list, type(None)),
    "state": (str, type(None)),
    "extra": (dict, type(None)),
}

_LONGEST_DOCUMENT = 2**31 - 1
_STATES: dict[str, tuple[str | None, ...]] = {
    "annotate": ("reviewed", "skipped"),
    "adjudicate": ("reviewed",),
    "undo": (None,),
}


def read_annotations(path: Path, codebook: Codebook) -> Iterator[Line]:
    """Yield the lines of a native file that are events.

    Raises:
        DataError: a line lacks a column, has one of the wrong type, an id that does not fit its span, or a label
            that its codebook version lacks; the message names file, line and column.
    """
    for content in _read(path, codebook):
        if isinstance(content, Line):
            yield content


def _read(path: Path, codebook: Codebook, *, texts: bool = True) -> Iterator[Line | Codebook | CodebookMigration]:
    """What each line holds. Labels are checked against the version they were given under, where the file brings it."""
    versions: dict[Any, Codebook] = {}
    for number, row in read_rows(path):
        place = DataError.place(path, number)
        content = parse_codebook_line(row, place)
        if isinstance(content, Codebook):
            versions[content.hash] = content
        known = versions.get(str(row.get("codebook_hash")), codebook)
        yield content or parse_line(row if texts else row | {"text": ""}, place, known)


def read_file(path: Path, codebook: Codebook, annotator: str = "") -> Batch:
    """The events of a native file; each names its annotator, so that `annotator` is not asked.

    Raises:
        DataError: the file is of another ending, or as `read_annotations`.
    """
    check_ending(path, (".jsonl",), FORMAT)
    return read_lines(path, codebook)


def read_lines(path: Path, codebook: Codebook, *, texts: bool = True) -> Batch:
    """All lines of a file; without `texts` the column `text` is missing and stays empty.

    Raises:
        DataError: as `read_annotations`.
    """
    contents = list(_read(path, codebook, texts=texts))
    return Batch(
        path,
        [content for content in contents if isinstance(content, Line)],
        codebooks=[content for content in contents if isinstance(content, Codebook)],
        migrations=[content for content in contents if isinstance(content, CodebookMigration)],
        is_log=True,
    )


def write_file(store: Store, path: Path, codebook: Codebook, annotator: str = "") -> Exported:
    """Write the events of the store to a native file: all, or those of `annotator`.

    Raises:
        DataError: the file cannot be written or is of another ending, or `annotator` decided nothing.
    """
    check_ending(path, (".jsonl",), FORMAT)
    events = events_of(store, annotator)
    sentences = {
        sentence.id: sentence for sentence in store.documents.sentences({event.sentence_id for event in events})
    }
    rows = (format_line(Line(event, sentences[event.sentence_id])) for event in events)
    lines = chain(codebook_lines(store, events), rows)
    write_whole(path, (json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return Exported(len(events), {})


def import_annotations(store: Store, path: Path, codebook: Codebook) -> tuple[int, int]:
    """Append the events of a native file to the store, all or none; importing twice adds nothing.

    Returns:
        How many events were new, and how many were there already.

    Raises:
        DataError: as `read_file` and `labels.exchange.lines.add_batch`.
    """
    added = add_batch(store, read_file(path, codebook), codebook)
    return added.new, added.known


def format_line(line: Line) -> Row:
    """The line as a row with the columns of `COLUMNS`, in their order."""
    event, sentence = line.event, line.sentence
    values: dict[str, Any] = {field.name: getattr(event, field.name) for field in fields(event)}
    values |= {"document_id": sentence.document_id, "start": sentence.start, "end": sentence.end, "text": sentence.text}
    values["synthetic"] = sentence.synthetic
    values["labels"] = list(event.labels)
    values["suggestion"] = None if event.suggestion is None else list(event.suggestion)
    values["extra"] = None if event.extra is None else dict(event.extra)
    return {column: values[column] for column in COLUMNS}


def parse_line(row: Row, place: str, codebook: Codebook) -> Line:
    """The line that a row with the columns of `COLUMNS` says; `place` is its file and row number.

    Raises:
        DataError: as `read_annotations`.
    """
    for column in COLUMNS:
        if column not in row and column not in OPTIONAL:
            near = did_you_mean(column, row)
            raise DataError(f"{place}: column `{column}` is missing{near}. A native line has: {', '.join(COLUMNS)}.")
        expected = _TYPES.get(column, (str,))
        if column in row and (type(row[column]) not in expected):
            names = " or ".join(kind.__name__.replace("NoneType", "null") for kind in expected)
            raise DataError(f"{place}: `{column}` must be {names}, not {type(row[column]).__name__}. Fix the line.")
    _check_values(row, place)
    _check_storable(row, place)
    synthetic = row.get("synthetic", False)
    sentence = Sentence(row["document_id"], row["start"], row["end"], row["text"], synthetic=synthetic)
    if sentence.id != row["sentence_id"]:
        raise DataError(
            f"{place}: sentence_id '{row['sentence_id']}' is not that of its document_id, start and end "
            f"('{sentence.id}'). The line was altered; export it again."
        )
    try:
        labels = codebook.check_labels(row["labels"], place) if row["state"] == "reviewed" else ()
    except CodebookError as error:
        raise DataError(str(error)) from None
    return Line(_event(row, labels), sentence, place=place)


def _check_values(row: Row, place: str) -> None:
    allowed = _STATES.get(row["event"])
    if allowed is None:
        raise DataError(f"{place}: `event` is {' or '.join(_STATES)}, not '{row['event']}'. Fix the line.")
    if row["state"] not in allowed:
        raise DataError(
            f"{place}: `state` of an event '{row['event']}' is {' or '.join(map(str, allowed))}, "
            f"not '{row['state']}'. Fix the line."
        )
    if row["labels"] and row["state"] != "reviewed":
        raise DataError(f"{place}: a line with `state` {row['state']} bears no labels. Fix the line.")
    for name in ("labels", "suggestion"):
        for label in row.get(name) or ():
            if not isinstance(label, str):
                raise DataError(f"{place}: `{name}` holds label names (strings), not {label!r}. Fix the line.")
    probability = row.get("inclusion_probability")
    if probability is not None and not 0 < probability <= 1:
        raise DataError(f"{place}: `inclusion_probability` lies in (0, 1], not {probability}. Fix the line.")


def _check_storable(row: Row, place: str) -> None:
    """Refuse what JSON can write and no database can hold."""
    if not 0 <= row["start"] <= row["end"] <= _LONGEST_DOCUMENT:
        raise DataError(
            f"{place}: `start` and `end` must be offsets, 0 <= start <= end, "
            f"not {row['start']} and {row['end']}. Fix the line."
        )
    for column in ("seconds", "inclusion_probability"):
        if row.get(column) is not None and not math.isfinite(row[column]):
            raise DataError(f"{place}: `{column}` must be a finite number or null, not {row[column]}. Fix the line.")
    for column, value in row.items():
        if column in COLUMNS and isinstance(value, str) and not is_unicode(value):
            raise DataError(f"{place}: `{column}` contains an unpaired surrogate. Fix the line.")
    for column in ("suggestion", "extra"):
        try:
            content = json.dumps(row.get(column), ensure_ascii=False, allow_nan=False)
        except ValueError:
            raise DataError(f"{place}: `{column}` holds a number that is not finite. Fix the line.") from None
        if not is_unicode(content):
            raise DataError(f"{place}: `{column}` contains an unpaired surrogate. Fix the line.")


def _event(row: Row, labels: tuple[str, ...]) -> Annotation:
    suggestion = row.get("suggestion")
    return Annotation(
        event_id=row["event_id"],
        sentence_id=row["sentence_id"],
        annotator=row["annotator"],
        event=row["event"],
        state=row["state"],
        labels=labels,
        codebook_hash=row["codebook_hash"],
        created_at=row["created_at"],
        note=row.get("note", ""),
        seconds=row.get("seconds"),
        suggestion=None if suggestion is None else tuple(suggestion),
        blind=row.get("blind", False),
        strategy=row.get("strategy", ""),
        inclusion_probability=row.get("inclusion_probability"),
        extra=row.get("extra"),
    )
