"""The contents of a file, read as a whole before anything is stored: even its last line may be invalid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from labels.codebook.schema import Codebook
from labels.errors import DataError, InputError, did_you_mean
from labels.exchange.foreign import LeftOut, Reader
from labels.exchange.formats import BUILTINS, PLUGINS, Format, Note, Placed, find_format
from labels.exchange.lines import Line, UnseenLine
from labels.exchange.people import answered_by_others, refuse_other_people
from labels.exchange.stamps import decoded, is_task
from labels.records import CodebookMigration, Draw
from labels.text.rows import Row

REPEATED = "repeated records"
"""Reason for records that occur twice in a file."""

_LISTED = 10
"""The maximum number of spellings listed in a note."""


@dataclass(frozen=True)
class Batch:
    """The contents of one file.

    - `unseen`: texts on which nobody decided in the file
    - `left_out`: numbers of records that are neither, by reason
    - `notes`: remarks on how the file was read
    - `format`: the format of the file
    - `codebooks`, `migrations`, `draws`: codebook versions in the file, the changes between them, and samples
    - `is_log`: whether the lines are a full history, including replaced and undone decisions
    """

    path: Path
    lines: Sequence[Line]
    left_out: Mapping[str, int] = field(default_factory=dict)
    codebooks: Sequence[Codebook] = ()
    migrations: Sequence[CodebookMigration] = ()
    draws: Sequence[Draw] = ()
    is_log: bool = False
    unseen: Sequence[UnseenLine] = ()
    notes: Sequence[str] = ()
    format: Format | None = None


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
    if path.exists():  # a file that is missing is reported by the reader
        checked_ending(path, named)
    with PLUGINS.blaming(format):
        found = named.for_file(path)
        _check_options(options, found)
        reader = Reader(path, found.name, codebook, annotator, found.default_annotator(path), **options)
        reader.hides_outside = not found.carries_not_a_sentence
        # Read the whole file before storing anything, because even the last line may be invalid.
        contents = list(found.parse(_of_this_tool(path, found, format), reader))
    refuse_other_people(reader)
    is_log = found.carries == "events"
    notes = [*(content.text for content in contents if isinstance(content, Note)), *_spelling_notes(reader.spellings)]
    notes += answered_by_others(reader)
    lines = [content for content in contents if isinstance(content, Line)]
    if is_log:
        refuse_repeated_events(lines, path)
    left_out = Counter(content.reason for content in contents if isinstance(content, LeftOut))
    # A repeated event id is an error in a log, but only a copied record in other formats.
    kept = lines if is_log else without_repeats(lines)
    if len(kept) < len(lines):
        left_out[REPEATED] = len(lines) - len(kept)
    return Batch(
        path,
        kept,
        left_out,
        codebooks=[content for content in contents if isinstance(content, Codebook)],
        migrations=[content for content in contents if isinstance(content, CodebookMigration)],
        draws=[content for content in contents if isinstance(content, Draw)],
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


def _of_this_tool(path: Path, format: Format, named: str) -> Iterator[Placed]:
    """The records of a file. Refuse records of another tool, because this format would misread its answers.

    Records of plug-in formats are not checked, and native lines need no check: they have columns of their own.

    Args:
        named: the name that the user gave for the format.
    """
    checked = format.name in BUILTINS and format.carries != "events"
    others = [find_format(name) for name in BUILTINS if name != format.name] if checked else []
    for place, record in format.read(path):
        stamp = format.stamp_in(record)
        # A task says nothing about labels: its answer is where the tool puts it.
        if (stamp is None or is_task(decoded(stamp))) and not format.is_own(record):
            _refuse_record_of(others, record, place, path.suffix.lower(), named)
        yield place, record


def _refuse_record_of(others: Iterable[Format], record: Row, place: str, ending: str, named: str) -> None:
    for other in others:
        if other.is_own(record):
            convert = "" if ending in other.endings else f"Convert the file to {other.endings[0]}. "
            repair = f"{convert}Import the file with `--format {other.name}`, or remove the keys of this format."
            if other.name == named:
                repair = "The first record of the file is in another format. Use a separate file for each format."
            raise DataError(f"{place}: this record is in the format {other.name}. {repair}")


def without_repeats(lines: Iterable[Line]) -> list[Line]:
    """The first line of each event."""
    first: dict[str, Line] = {}
    for line in lines:
        first.setdefault(line.event.event_id, line)
    return list(first.values())


def in_order_of_time(lines: list[Line]) -> list[Line]:
    """The lines with each annotator's decisions on a sentence in the order of their times: the last decision stands.

    Label Studio's JSON_MIN begins with the newest annotation of a task.
    """
    positions: dict[tuple[str, str, str], list[int]] = {}
    for position, line in enumerate(lines):
        event = line.event
        positions.setdefault((event.sentence_id, event.annotator, event.event), []).append(position)
    ordered = list(lines)
    for own in positions.values():
        dated = sorted((lines[place] for place in own), key=lambda line: seconds_of(line.event.created_at))
        for position, line in zip(own, dated, strict=True):
            ordered[position] = line
    return ordered


def seconds_of(created_at: str) -> float:
    """A time in ISO 8601 as seconds since 1970; 0 for other texts, which exports of earlier versions can have."""
    try:
        moment = datetime.fromisoformat(created_at)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def checked_ending(path: Path, format: Format) -> str:
    """The extension of a file in lower case.

    Raises:
        DataError: the format does not have this extension.
    """
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


def refuse_repeated_events(lines: Iterable[Line], path: Path) -> None:
    """Refuse lines of which two have the same event.

    Raises:
        DataError: an event id occurs twice.
    """
    seen: set[str] = set()
    for line in lines:
        if line.event.event_id in seen:
            raise DataError(f"{path}: event_id '{line.event.event_id}' occurs twice. Keep one of the lines.")
        seen.add(line.event.event_id)
