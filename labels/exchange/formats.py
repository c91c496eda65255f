"""What a format is, how its records lie in files, and which formats there are: built in, or added by plug-ins.

**Plug-ins.** A package adds a format through an entry point of the group `communique.formats`, which names an instance
of a subclass of `Format`. Where a record holds one decision, `RecordFormat` leaves least to write:

    # pyproject.toml
    [project.entry-points."communique.formats"]
    brat = "communique_brat:FORMAT"

    # communique_brat.py
    from labels.exchange.formats import RecordFormat
    from labels.exchange.records import ForeignDecision, LeftOut

    class Brat(RecordFormat):
        api = 1
        name = "brat"
        endings = (".jsonl",)
        carries = "decisions"

        def decide(self, record, place, reader, *, ours):
            if "tags" not in record:
                return LeftOut("records without tags")
            return ForeignDecision.of(record, "reviewed", record["tags"], annotator=record["who"])

        def record(self, event, sentence, codebook):
            return {"text": sentence.text, "tags": list(event.labels), "who": event.annotator}

    FORMAT = Brat()

`api` is the version of this interface that the plug-in was written for, now 1. It must be set; a newer version than
ours is refused. The interface is what has no underscore in this module, in `labels.exchange.records` and in
`labels.exchange.decisions.Selection`. Names of built-in formats cannot be replaced. A plug-in that cannot be loaded, or
fails, is reported in one line that names its package, and does not affect other formats.
"""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from labels.codebook.schema import Codebook
from labels.errors import DataError, InputError, did_you_mean
from labels.exchange import records
from labels.exchange.decisions import COLUMN_FORMATS, Carries, Selection
from labels.exchange.lines import Line
from labels.exchange.records import KEY, ForeignDecision, LeftOut, Reader
from labels.files import read_text, whole_file, write_whole
from labels.plugins import PluginGroup
from labels.records import Annotation, CodebookMigration, Sentence
from labels.text.rows import Row, read_rows

if TYPE_CHECKING:
    import pyarrow as pa

Placed = tuple[str, Row]
"""A record, after its place: file and row, as messages begin."""

Content = Line | LeftOut | Codebook | CodebookMigration
"""What a record can hold: one decision, none, or (native files) a codebook version or a change between two."""

_GOLD_ONLY = (
    "single annotations: a record is a sentence with its gold labels, or one annotator's with --annotator",
    "sentences that were skipped, or on which annotators differ: they have no gold",
)


class Format(ABC):
    """One way to write annotations down. A subclass holds what is particular to it; the driver does the rest.

    Attributes:
        api: the version of this interface that a plug-in was written for.
        name: what `--format` takes; also the key under which an annotation's `extra` keeps what only this format knows.
        endings: how the names of its files may end; empty where `read` and `write` take any path.
        carries: whether its records are events, standing decisions or gold.
        carries_skipped: whether it has a way to say that a sentence was skipped.
        not_written: what an export does not carry, beyond what `carries` implies; one plain phrase each.
        not_read: what an import leaves out or cannot know; one plain phrase each.
        options: names of options of its own, whose values are in `reader.options`.
    """

    api: ClassVar[int]
    name: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]
    carries: ClassVar[Carries]
    carries_skipped: ClassVar[bool] = True
    not_written: ClassVar[tuple[str, ...]] = ()
    not_read: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterable[Content]:
        """What the records of a file hold, in order.

        Raises:
            DataError: a record cannot be understood; the message starts with its place.
        """

    @abstractmethod
    def build(self, selection: Selection, ending: str) -> Iterable[Row]:
        """The records to write for the decisions of `selection`, to a file of this ending."""

    def default_annotator(self, path: Path) -> str:
        """Who decided, where neither the records nor `--annotator` say so; empty where the file does not say either."""
        return ""

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """The first columns of a table, which are there even if it has no rows."""
        return ()

    def read(self, path: Path) -> Iterator[Placed]:
        """The records of a file, read by its ending.

        Raises:
            DataError: the file cannot be read.
        """
        rows = _read_array(path) if path.suffix.lower() == ".json" else read_rows(path)
        return ((DataError.place(path, number), row) for number, row in rows)

    def write(self, path: Path, rows: Iterable[Row], codebook: Codebook) -> None:
        """Write a file of records by its ending, whole or not at all.

        Raises:
            DataError: the file cannot be written.
        """
        ending = path.suffix.lower()
        if ending in (".csv", ".parquet"):
            rows = list(rows)  # the columns of a table are known when all rows are
            write = _write_csv if ending == ".csv" else _write_parquet
            write(path, rows, columns_of(rows, self.columns(codebook)))
        else:
            write_whole(path, _array(rows) if ending == ".json" else _json_lines(rows))

    @property
    def unit(self) -> str:
        """What one of its records is called, in the plural."""
        return "events" if self.carries == "events" else "decisions"

    @property
    def lost(self) -> tuple[str, ...]:
        """What an export does not carry, in plain phrases."""
        if self.carries == "events":
            return self.not_written
        # A record that repeats the label would bring its old name back; columns beside the labels do not.
        alone = "" if self.name in COLUMN_FORMATS else ", without what the tool's own record said beyond them"
        return (
            *(_GOLD_ONLY if self.carries == "gold" else ()),
            *(() if self.carries_skipped else ("skipped sentences: the format has no word for them",)),
            "decisions that were undone or replaced: only standing decisions are written",
            "labels of other codebook versions: decisions are written as they read under the one in use" + alone,
            "documents: a sentence is written without the text around it",
            "what records of other formats said beyond the decision",
            *self.not_written,
        )


class RecordFormat(Format):
    """A format with one decision a record. A subclass says what a record decides, and how a decision is written;
    stamps, and what only the tool knows, are taken care of here.
    """

    @abstractmethod
    def decide(self, record: Row, place: str, reader: Reader, *, ours: bool) -> ForeignDecision | LeftOut:
        """What a record decides; `ours`: it carries our stamp."""

    @abstractmethod
    def record(self, event: Annotation, sentence: Sentence, codebook: Codebook) -> Row:
        """The record of a decision, without stamp."""

    def beyond(self, record: Row, built: Row) -> Row:
        """What a record says beyond `built`, the record that we would write; kept in the annotation's `extra`."""
        return records.foreign_fields(record | {"text": built["text"]}, built)

    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """What each record decides."""
        for place, record in placed:
            stamps = records.native_stamps(record.get(KEY), place)
            decision = self.decide(record, place, reader, ours=bool(stamps))
            if isinstance(decision, LeftOut):
                yield decision
                continue
            line = reader.line(decision, place, stamps)
            yield reader.with_extra(line, self.beyond(record, self.record(line.event, line.sentence, reader.codebook)))

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """One record a decision, with the tool's own fields and the stamp."""
        for event, sentence in selection.decisions:
            built = self.record(event, sentence, selection.codebook)
            stamp = {KEY: records.native_stamp(event, sentence)}
            yield records.with_foreign_fields(built, records.extra_of(event, self.name)) | stamp


BUILTINS = {
    "jsonl": "labels.exchange.jsonl:JSONL",
    "csv": "labels.exchange.tables:CSV",
    "standoff": "labels.exchange.jsonl:STANDOFF",
    "prodigy": "labels.exchange.prodigy:PRODIGY",
    "label-studio": "labels.exchange.label_studio:LABEL_STUDIO",
    "label-studio-min": "labels.exchange.label_studio:LABEL_STUDIO_MIN",
    "doccano": "labels.exchange.doccano:DOCCANO",
    "argilla": "labels.exchange.argilla:ARGILLA",
    "activetigger": "labels.exchange.tables:ACTIVETIGGER",
    "huggingface": "labels.exchange.tables:HUGGINGFACE",
}
"""Name -> where its `Format` is."""

# Nothing is made of the class, only compared with it, so it may be abstract.
PLUGINS = PluginGroup("communique.formats", "format", Format, api=1, builtins=BUILTINS)  # type: ignore[type-abstract]
"""Formats of other packages."""


def format_names() -> list[str]:
    """The names of all formats, those of plug-ins after the built-in ones; none of them is imported."""
    return [*BUILTINS, *PLUGINS.names()]


def find_format(name: str) -> Format:
    """The format of a name.

    Raises:
        InputError: there is no such format, or its plug-in cannot be used.
    """
    if name in BUILTINS:
        module, _, attribute = BUILTINS[name].partition(":")
        return cast(Format, getattr(import_module(module), attribute))
    # Installed packages are searched only here, so that built-in formats cost nothing more.
    if (found := PLUGINS.load(name)) is not None:
        return found
    known = format_names()
    raise InputError(f"--format: '{name}' is not known{did_you_mean(name, known)}; use {', '.join(known)}.")


def columns_of(rows: Sequence[Row], first: Sequence[str]) -> list[str]:
    """The columns of a table: `first`, then the others in order of appearance, the stamp last."""
    names = dict.fromkeys([*first, *(name for row in rows for name in row)])
    return [*(name for name in names if name != KEY), KEY]


def arrow_column(values: Sequence[Any]) -> pa.Array:
    """The values as a column of a Parquet file or dataset; as text where they are not all of one type."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([None if value is None else _cell(value) for value in values])


def _read_array(path: Path) -> Iterator[tuple[int, Row]]:
    text = read_text(path)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: this file is not JSON ({error.msg}). Export it again.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: a number in this file is too long, or it is nested too deeply. Fix it.") from error
    if not isinstance(content, list):
        raise DataError(f"{path}: an array of records is expected, not {type(content).__name__}. Export it again.")
    for number, record in enumerate(content, start=1):
        if not isinstance(record, dict):
            raise DataError(f"{path}:{number}: an object is expected, not {type(record).__name__}. Fix the record.")
        yield number, record


def _json_lines(rows: Iterable[Row]) -> Iterator[str]:
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _array(rows: Iterable[Row]) -> Iterator[str]:
    """The pieces of a JSON array, one record a line."""
    before = "[\n"
    for row in rows:
        yield before + json.dumps(row, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        # The line end of RFC 4180; it also makes the writer put quotes around a lone carriage return.
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(columns)
        writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)


def _cell(value: Any) -> str:
    """A value as a cell of CSV: text as it is, null as nothing, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _write_parquet(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: arrow_column([row.get(name) for row in rows]) for name in columns})
    with whole_file(path) as draft:
        pq.write_table(table, draft)
