"""The interface of formats, the files that formats read and write, and the built-in and plug-in formats.

**Plug-ins.** A package adds a format through an entry point in the group `communique.formats`, which refers to an
instance of a subclass of `Format`. If each record has one decision, `RecordFormat` needs the least code:

    # pyproject.toml
    [project.entry-points."communique.formats"]
    brat = "communique_brat:FORMAT"

    # communique_brat.py
    from labels.exchange.formats import RecordFormat
    from labels.exchange.foreign import ForeignDecision, Unseen

    class Brat(RecordFormat):
        api = 1
        name = "brat"
        endings = (".jsonl",)
        carries = "decisions"

        def decide(self, record, place, reader, *, ours):
            if "tags" not in record:
                return Unseen.of(record, "records without tags")  # the text becomes an unseen sentence
            return ForeignDecision.of(record, "reviewed", record["tags"], annotator=record["who"])

        def record(self, event, sentence, codebook):
            return {"text": sentence.text, "tags": list(event.labels), "who": event.annotator}

    FORMAT = Brat()

`api` is the version of this interface that the plug-in was written for, currently 1. Every plug-in must set `api`; a
plug-in written for a newer interface is rejected. The interface consists of the public names in this module, in
`labels.exchange.foreign` and in `labels.exchange.decisions.Selection`. New names do not raise the version, because
plug-ins that do not use them work as before. A plug-in cannot replace a built-in format. If a plug-in cannot be loaded
or fails, a one-line message names its package; other formats are not affected.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, cast, get_args

from labels.codebook.schema import Codebook
from labels.environment.plugins import PluginGroup
from labels.errors import DataError, InputError, did_you_mean
from labels.exchange import fields, foreign
from labels.exchange.decisions import COLUMN_FORMATS, Carries, Selection
from labels.exchange.fields import KEY
from labels.exchange.foreign import ForeignDecision, LeftOut, Reader, Unseen
from labels.exchange.lines import Line, UnseenLine
from labels.exchange.stamps import Task
from labels.output.drafts import write_whole
from labels.output.table_files import json_lines, write_csv, write_parquet
from labels.records import Annotation, CodebookMigration, Draw, Sentence, State
from labels.text.rows import Row, read_rows
from labels.unicode import read_text

Placed = tuple[str, Row]
"""A place (the file and row that messages start with) and the record found there."""


@dataclass(frozen=True)
class Note:
    """A remark for the user on how a file was read, without a final full stop."""

    text: str


Decided = ForeignDecision | Unseen | LeftOut
"""The decision in a record, a text without a decision, or a record that was left out."""

Content = Line | UnseenLine | LeftOut | Note | Codebook | CodebookMigration | Draw
"""The content of a record: a decision, a text without a decision, a record that was left out, a remark on the file, a
codebook version, a change between versions, or a draw.

Only native files contain the last three.
"""

_GOLD_ONLY = (
    "single annotations: a record is a sentence with its gold labels, or with one annotator's labels (--annotator)",
    "sentences that were skipped or on which annotators disagree: they have no gold labels",
)


class Format(ABC):
    """A file format for annotations. Subclasses implement the specifics; `labels.exchange.driver` does the rest.

    Attributes:
        api: the version of this interface that a plug-in was written for.
        name: the value for `--format`, and the key for the format's own data in an annotation's `extra`.
        endings: allowed file extensions; empty if `read` and `write` accept any path.
        carries: whether records are events, standing decisions or gold.
        carries_skipped: whether the format can mark a sentence as skipped.
        carries_not_a_sentence: whether the format can mark a span as not a sentence.
        skips_not_a_sentence: whether such a span is written as skipped; its stamp keeps the state.
        not_written: data that an export loses, beyond the losses implied by `carries`; one plain phrase per entry.
        not_read: data that an import leaves out or cannot recover; one plain phrase per entry.
        options: names of the format's own options; their values are in `reader.options`.
        takes_tasks: whether `task` and `project` are implemented: sentences to label can be written for the tool.
    """

    api: ClassVar[int]
    name: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]
    carries: ClassVar[Carries]
    carries_skipped: ClassVar[bool] = True
    carries_not_a_sentence: ClassVar[bool] = False
    skips_not_a_sentence: ClassVar[bool] = False
    not_written: ClassVar[tuple[str, ...]] = ()
    not_read: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()
    takes_tasks: ClassVar[bool] = False

    @abstractmethod
    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterable[Content]:
        """Convert the records of a file to contents, in order.

        Raises:
            DataError: a record is invalid; the message starts with its place.
        """

    @abstractmethod
    def build(self, selection: Selection, ending: str) -> Iterable[Row]:
        """Build the records for the decisions in `selection`, for a file with the extension `ending`."""

    def task(self, task: Task, codebook: Codebook) -> Row:
        """Build the record for a sentence to label, with the task's stamp under `KEY`."""
        raise NotImplementedError

    def project(self, codebook: Codebook) -> tuple[str, str]:
        """What the tool needs beside the tasks: the end of the file's name, such as "labels.txt", and its content."""
        raise NotImplementedError

    def for_file(self, path: Path) -> Format:
        """The format that reads this file, if the name stands for several formats; usually the format itself."""
        return self

    def is_own(self, record: Row) -> bool:
        """Whether a record without a decision's stamp can only come from this tool: other formats would misread it."""
        return False

    def stamp_in(self, record: Row) -> Any:
        """The value of the stamp in a record, unchecked; None if the record has none where this tool keeps it."""
        return record.get(KEY)

    def origin(self, event: Annotation) -> str:
        """The tool's own id of the decision that became `event`; empty if the tool has none."""
        return ""

    def default_annotator(self, path: Path) -> str:
        """The annotator to record if neither the records nor `--annotator` name one; empty if the path names none."""
        return ""

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """The first columns of a table; they are written even if the table has no rows."""
        return ()

    def read(self, path: Path) -> Iterator[Placed]:
        """Read the records of a file; the file extension selects the parser.

        Raises:
            DataError: the file cannot be read.
        """
        rows = _read_array(path) if path.suffix.lower() == ".json" else read_rows(path)
        return ((DataError.place(path, number), row) for number, row in rows)

    def write(self, path: Path, rows: Iterable[Row], codebook: Codebook) -> None:
        """Write records to a file, completely or not at all; the file extension selects the writer.

        Raises:
            DataError: the file cannot be written.
        """
        ending = path.suffix.lower()
        if ending in (".csv", ".parquet"):
            rows = list(rows)  # the columns of a table depend on all rows
            write = write_csv if ending == ".csv" else write_parquet
            write(path, rows, columns_of(rows, self.columns(codebook)))
        else:
            write_whole(path, fields.json_array(rows) if ending == ".json" else json_lines(rows))

    def write_for_spreadsheet(self, path: Path, rows: Iterable[Row], codebook: Codebook) -> None:
        """Write records to a CSV file in which a spreadsheet executes no cell.

        Raises:
            InputError: the format does not write this file as CSV.
            DataError: the file cannot be written.
        """
        if path.suffix.lower() != ".csv" or type(self).write is not Format.write:
            raise InputError(
                f"{path}: --for-spreadsheet is only for CSV files, but format {self.name} does not write this file as "
                "CSV. Export to a .csv file, for example with --format csv, or leave out --for-spreadsheet."
            )
        rows = list(rows)
        write_csv(path, rows, columns_of(rows, self.columns(codebook)), for_spreadsheet=True)

    @property
    def unit(self) -> str:
        """The plural noun for the format's records, for messages."""
        return "events" if self.carries == "events" else "decisions"

    @property
    def states(self) -> tuple[State, ...]:
        """The states of the decisions that the format can write."""
        outside = self.carries_not_a_sentence or (self.carries_skipped and self.skips_not_a_sentence)
        carried = {"skipped": self.carries_skipped, "not_a_sentence": outside}
        return tuple(state for state in get_args(State) if carried.get(state, True))

    @property
    def _outside(self) -> str:
        as_skipped = "not_a_sentence" in self.states and self.carries != "gold"
        return "they are written as skipped" if as_skipped else "the format cannot mark them"

    @property
    def lost(self) -> tuple[str, ...]:
        """Data that an export loses, in plain phrases."""
        if self.carries == "events":
            return self.not_written
        # A record that repeats the label would bring back its old name; columns separate from the labels do not.
        alone = "" if self.name in COLUMN_FORMATS else ", without the other fields of the tool's own record"
        return (
            *(_GOLD_ONLY if self.carries == "gold" else ()),
            *(() if self.carries_skipped else ("skipped sentences: the format cannot mark them",)),
            *(() if self.carries_not_a_sentence else (f"spans that are not sentences: {self._outside}",)),
            "decisions that were undone or replaced: only standing decisions are written",
            "labels of other codebook versions: decisions are converted to the version in use" + alone,
            "documents: a sentence is written without the surrounding text",
            "extra data from records of other formats",
            *self.not_written,
        )


class RecordFormat(Format):
    """A format with one decision per record.

    A subclass converts a record to a decision, and a decision to a record. This class handles stamps and the fields
    that only the tool uses.
    """

    skips_not_a_sentence = True

    @abstractmethod
    def decide(self, record: Row, place: str, reader: Reader, *, ours: bool) -> Decided:
        """Convert a record to a decision or an unseen text, or leave it out; `ours` is true if it has a stamp."""

    @abstractmethod
    def record(self, event: Annotation, sentence: Sentence, codebook: Codebook) -> Row:
        """Build the record for a decision, without the stamp."""

    def beyond(self, record: Row, built: Row) -> Row:
        """The fields of a record that differ from `built`, the record of an export; stored in the event's `extra`."""
        return fields.foreign_fields(record | {"text": built["text"]}, built)

    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """Convert each record to a line, or leave it out."""
        for place, record in placed:
            stamps = foreign.native_stamps(record.get(KEY), place)
            decision = self.decide(record, place, reader, ours=bool(stamps))
            yield self.content(decision, record, place, reader, stamps)

    def content(self, decision: Decided, record: Row, place: str, reader: Reader, stamps: Sequence[Row]) -> Content:
        """Convert the decision in a record to a line, and an unseen text to a sentence."""
        if isinstance(decision, LeftOut):
            return decision
        if isinstance(decision, Unseen):
            return reader.unseen(decision, place, stamps)
        line = reader.line(decision, place, stamps)
        built = self.record(self._shown(line.event), line.sentence, reader.codebook)
        return reader.with_extra(line, self.beyond(record, built))

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """Build one record per decision, with the tool's own fields and the stamp."""
        for event, sentence in selection.decisions:
            built = self.record(self._shown(event), sentence, selection.codebook)
            stamp = {KEY: foreign.native_stamp(event, sentence)}
            yield fields.with_foreign_fields(built, fields.extra_of(event, self.name)) | stamp

    def _shown(self, event: Annotation) -> Annotation:
        """The event as the tool can show it."""
        outside = event.state == "not_a_sentence" and not self.carries_not_a_sentence
        return replace(event, state="skipped") if outside else event


BUILTINS = {
    "jsonl": "labels.exchange.jsonl:JSONL",
    "csv": "labels.exchange.tabular:CSV",
    "standoff": "labels.exchange.jsonl:STANDOFF",
    "prodigy": "labels.exchange.tools.prodigy:PRODIGY",
    "label-studio": "labels.exchange.tools.label_studio:LABEL_STUDIO",
    "label-studio-min": "labels.exchange.tools.label_studio_min:LABEL_STUDIO_MIN",
    "doccano": "labels.exchange.tools.doccano:DOCCANO",
    "argilla": "labels.exchange.tools.argilla:ARGILLA",
    "activetigger": "labels.exchange.tabular:ACTIVETIGGER",
    "huggingface": "labels.exchange.tabular:HUGGINGFACE",
}
"""Name of a format -> module and attribute of its `Format` instance."""

# `Format` may be abstract here: plug-ins are only checked against the class, which is never instantiated.
PLUGINS = PluginGroup("communique.formats", "format", Format, api=1, builtins=BUILTINS)  # type: ignore[type-abstract]
"""Formats from other packages."""


def format_names() -> list[str]:
    """The names of all formats, built-in formats before plug-ins, without importing any format."""
    return [*BUILTINS, *PLUGINS.names()]


def find_format(name: str) -> Format:
    """Find a format by name.

    Raises:
        InputError: the format is unknown, or its plug-in cannot be used.
    """
    if name in BUILTINS:
        module, _, attribute = BUILTINS[name].partition(":")
        return cast(Format, getattr(import_module(module), attribute))
    # Installed packages are searched only here, to keep built-in formats fast.
    if (found := PLUGINS.load(name)) is not None:
        return found
    known = format_names()
    raise InputError(f"--format: '{name}' is not known{did_you_mean(name, known)}; use {', '.join(known)}.")


def columns_of(rows: Sequence[Row], first: Sequence[str]) -> list[str]:
    """The columns of a table: `first`, then other columns in order of appearance, then the stamp."""
    names = dict.fromkeys([*first, *(name for row in rows for name in row)])
    return [*(name for name in names if name != KEY), KEY]


def _read_array(path: Path) -> Iterator[tuple[int, Row]]:
    text = read_text(path)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}: this file is not valid JSON ({error.msg}). Export the file again."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: a number in this file is too long, or the file is nested too deeply. Fix the file."
        ) from error
    if not isinstance(content, list):
        raise DataError(f"{path}: expected an array of records, not {type(content).__name__}. Export the file again.")
    for number, record in enumerate(content, start=1):
        if not isinstance(record, dict):
            raise DataError(f"{path}:{number}: expected an object, not {type(record).__name__}. Fix the record.")
        yield number, record
