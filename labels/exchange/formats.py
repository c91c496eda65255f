"""What a format is, how its records lie in files, and which formats there are: built in, or added by plug-ins.

**Plug-ins.** A package adds a format through an entry point of the group `communique.formats` that names an instance
of a subclass of `Format`:

    # pyproject.toml
    [project.entry-points."communique.formats"]
    brat = "communique_brat:FORMAT"

    # communique_brat.py
    from labels.exchange.formats import Format
    from labels.exchange.records import ForeignDecision, LeftOut

    class Brat(Format):
        api = 1
        name = "brat"
        endings = (".jsonl",)
        carries = "decisions"

        def parse(self, records, reader):
            for place, record in records:
                if "tags" not in record:
                    yield LeftOut("records without tags")
                else:
                    decision = ForeignDecision(record["text"], "reviewed", record["tags"], record, record["who"])
                    yield reader.line(decision, place)

        def build(self, selection, ending):
            for event, sentence in selection.decisions:
                yield {"text": sentence.text, "tags": list(event.labels), "who": event.annotator}

    FORMAT = Brat()

`api` is the version of this interface, now 1, that the plug-in was written for; it must be set, and a newer version
than ours is refused. The interface is `Format`, `labels.exchange.records` and `labels.exchange.decisions.Selection`;
what begins with an underscore is not part of it. Names of built-in formats cannot be replaced. A plug-in that cannot
be loaded or fails is reported in one line that names its package, and does not affect other formats.
"""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from labels.codebook.schema import Codebook
from labels.errors import DataError, InputError, did_you_mean
from labels.exchange.decisions import COLUMN_FORMATS, Carries, Selection
from labels.exchange.lines import Line
from labels.exchange.records import KEY, LeftOut, Reader
from labels.files import whole_file, write_whole
from labels.plugins import PluginGroup
from labels.records import CodebookMigration
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
    def parse(self, records: Iterable[Placed], reader: Reader) -> Iterable[Content]:
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

    def write(self, path: Path, records: Iterable[Row], codebook: Codebook) -> None:
        """Write a file of records by its ending, whole or not at all.

        Raises:
            DataError: the file cannot be written.
        """
        ending = path.suffix.lower()
        if ending in (".csv", ".parquet"):
            rows = list(records)
            write = _write_csv if ending == ".csv" else _write_parquet
            write(path, rows, columns_of(rows, self.columns(codebook)))
        else:
            write_whole(path, _array(records) if ending == ".json" else _json_lines(records))

    @property
    def unit(self) -> str:
        """What one of its records is called, in the plural."""
        return "events" if self.carries == "events" else "decisions"

    @property
    def lost(self) -> tuple[str, ...]:
        """What an export does not carry, in plain phrases."""
        if self.carries == "events":
            return self.not_written
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
    "huggingface": "labels.exchange.huggingface:HUGGINGFACE",
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
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
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


def _json_lines(records: Iterable[Row]) -> Iterator[str]:
    return (json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _array(records: Iterable[Row]) -> Iterator[str]:
    """The pieces of a JSON array, one record a line."""
    before = "[\n"
    for record in records:
        yield before + json.dumps(record, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    write_whole(path, _csv_lines(rows, columns))


def _csv_lines(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[str]:
    for values in ({name: name for name in columns}, *rows):
        buffer = io.StringIO(newline="")
        # The line end of RFC 4180; it also makes the writer put quotes around a lone carriage return.
        csv.writer(buffer, lineterminator="\r\n").writerow([_cell(values.get(name)) for name in columns])
        yield buffer.getvalue()


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
