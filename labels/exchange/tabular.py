"""Table formats with one decision or sentence per row: plain CSV, ActiveTigger tables and Hugging Face datasets.

*csv* has one decision per row, with labels joined by `|`. Any table with `text` and `labels` (or `label`) can be
imported, also as JSONL. Without a column `state`, an empty cell means that nobody decided: the sentence is unseen.

*activetigger* tables are CSV or Parquet, with one sentence and its gold labels (`a|b`) per row. The tool asks for the
meaning of the columns; here they are `id`, `text`, and `label` (exclusive codebooks) or `labels`. The tool may drop
other columns, so an `id` that equals the id of a stored sentence identifies that sentence.

*huggingface* datasets are folders written by `save_to_disk`, or .parquet files. Exclusive codebooks use a column
`label` of type ClassLabel (null means "reviewed, none"), other codebooks use a list `labels`. The README.md of the
folder is the dataset card, which includes the codebook.
"""

from __future__ import annotations

import json
import math
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from labels.codebook.schema import Codebook, dump_codebook
from labels.errors import DataError, counted
from labels.exchange import fields, foreign
from labels.exchange.decisions import Selection
from labels.exchange.fields import KEY
from labels.exchange.foreign import ForeignDecision, LeftOut, Reader, Unseen
from labels.exchange.formats import Content, Decided, Note, Placed, RecordFormat, columns_of
from labels.exchange.people import possible_annotators
from labels.output.drafts import whole_file, whole_folder
from labels.output.table_files import arrow_column
from labels.records import Annotation, Sentence, State
from labels.text.cells import SEPARATOR, LabelNames
from labels.text.examples import label_cells, label_column
from labels.text.headers import ColumnFinder, ColumnNames
from labels.text.labelled.exported import prediction_notes, row_state
from labels.text.labelled.label_reading import Blank, LabelSet, check_state, read_labels
from labels.text.parquet import class_features, class_names
from labels.text.parsing.recognition import Oddities
from labels.text.rows import Row, csv_notes
from labels.unicode import clean, is_no_value

if TYPE_CHECKING:
    from datasets import Dataset


class Table(RecordFormat):
    """A table that keeps the tool's own data in separate columns, in which empty cells have no meaning."""

    not_read = ("rows without labels, unless exported by communique: their texts become unseen sentences",)
    options = ("text_column", "label_column", "blank")

    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """Convert each row to a line or to an unseen sentence; all label cells are read together."""
        finder = ColumnFinder(reader.path, ColumnNames(*(reader.options.get(name, "") for name in self.options[:2])))
        rows = [(place, finder.rename(record, place)) for place, record in placed]
        cells = list(label_cells(rows))
        # Importing part of a table is common: without a choice, nobody decided on rows with a blank cell.
        blank = cast(Blank, reader.options.get("blank") or "undecided")
        reading = read_labels([(str(reader.path), cells)], reader.codebook, blank=blank, check=False)
        found = [row for _, row in rows]
        oddities = Oddities.of(row.get("text") for row in found).notes(reader.path)
        remarks = (*oddities, *prediction_notes(reader.path, found), *possible_annotators(found))
        for note in (*csv_notes(reader.path), *finder.notes, *reading.notes, *remarks):
            yield Note(note)
        for (place, row), labels in zip(rows, reading.label_sets[0], strict=True):
            stamps = foreign.native_stamps(row.get(KEY), place)
            yield self.content(self.labelled(row, labels, place, reader.names), row, place, reader, stamps)

    def decide(self, record: Row, place: str, reader: Reader, *, ours: bool) -> Decided:
        """The decision of a single row."""
        labels = reader.names.read(record[label_column(record, place)], place)
        return self.labelled(record, () if labels is None and ours else labels, place, reader.names)

    @abstractmethod
    def labelled(self, record: Row, labels: LabelSet, place: str, names: LabelNames) -> Decided:
        """The decision of a row with these labels; None means that nobody decided.

        Args:
            names: the labels of the codebook, to read other cells of the row.
        """

    def beyond(self, record: Row, built: Row) -> Row:
        """The columns that communique does not use, and the tool's own id."""
        ours = {*built, KEY, "label", "labels", *(["state"] if row_state(record) == "reviewed" else [])}
        rest = fields.json_value({k: v for k, v in record.items() if k not in ours and v not in (None, "")})
        # An `id` that equals the sentence's id was written by us; any other `id` is the tool's own and is kept.
        own_id = ("id", built["sentence_id"])
        return {key: value for key, value in rest.items() if value is not None and (key, value) != own_id}

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """Build one row per decision, with the tool's own columns and the stamp as JSON text."""
        for event, sentence in selection.decisions:
            row = self.record(event, sentence, selection.codebook)
            extra = fields.extra_of(event, self.name)
            beside = {key: value for key, value in extra.items() if key not in row or key == "id"}
            yield row | beside | {KEY: json.dumps(foreign.native_stamp(event, sentence), ensure_ascii=False)}


_WITHOUT_LABELS: tuple[State, ...] = ("skipped", "not_a_sentence")


class PlainTable(Table):
    """CSV for spreadsheets and scripts."""

    name = "csv"
    endings = (".csv",)
    carries = "decisions"
    carries_not_a_sentence = True

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """The columns of a decision and its sentence."""
        decision = ("labels", "state", "annotator", "note", "seconds", "created_at", "suggestion")
        return ("text", *decision, "document_id", "sentence_id")

    def labelled(self, record: Row, labels: LabelSet, place: str, names: LabelNames) -> Decided:
        """The decision of a row; the texts of rows that no annotator has seen are unseen."""
        state, stored_id = _state(record, place), str(record.get("sentence_id") or "")
        if labels is None and state not in _WITHOUT_LABELS:
            return _undecided(record, state, stored_id)
        return ForeignDecision.of(
            record,
            next((own for own in _WITHOUT_LABELS if own == state), "reviewed"),
            labels or (),
            annotator=_annotator(record),
            created_at=record.get("created_at") or "",
            seconds=_seconds(record, place),
            note=record.get("note") or "",
            suggestion=names.read(record.get("suggestion"), place),
            stored_id=stored_id,
        )

    def record(self, event: Annotation, sentence: Sentence, codebook: Codebook) -> Row:
        """Build the row of a decision."""
        return {
            "text": sentence.text,
            "labels": SEPARATOR.join(event.labels),
            "state": event.state,
            "annotator": event.annotator,
            "note": event.note,
            "seconds": event.seconds,
            "created_at": event.created_at,
            "suggestion": SEPARATOR.join(event.suggestion or ()),
            "document_id": sentence.document_id,
            "sentence_id": sentence.id,
        }


class GoldTable(Table):
    """A table with one sentence per row: `text`, `label` or `labels`, the ids needed for splits, and other columns."""

    carries = "gold"

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """The columns of a sentence: `label` for exclusive codebooks, otherwise `labels`."""
        return ("text", "label" if codebook.exclusive else "labels", "document_id", "sentence_id")

    def labelled(self, record: Row, labels: LabelSet, place: str, names: LabelNames) -> Decided:
        """The decision of a row with labels; an empty list means "reviewed, none".

        An export has no column `annotator`, but a table from another source may have this column.
        """
        # Some tools keep only the column `id`, in which we wrote the id of the sentence.
        state, stored_id = row_state(record), str(record.get("sentence_id") or record.get("id") or "")
        if labels is None and state != "skipped":
            return _undecided(record, state, stored_id)
        return ForeignDecision.of(
            record,
            "skipped" if state == "skipped" else "reviewed",
            labels or (),
            # Parquet has types that JSON lacks; after conversion to JSON, equal rows get equal ids.
            record=fields.json_value(record),
            annotator=_annotator(record),
            stored_id=stored_id,
        )

    def record(self, event: Annotation, sentence: Sentence, codebook: Codebook) -> Row:
        """Build a row with one name or null under `label`, or with a list under `labels`."""
        labels: Row = {"labels": list(event.labels)}
        if codebook.exclusive:
            labels = {"label": event.labels[0] if event.labels else None}
        return {"text": sentence.text} | labels | {"document_id": sentence.document_id, "sentence_id": sentence.id}


class ActiveTigger(GoldTable):
    """Tables for ActiveTigger."""

    name = "activetigger"
    endings = (".csv", ".parquet")

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """The columns of a gold table, with the tool's column `id` and the state, as a blank cell could mean unseen."""
        return ("id", *super().columns(codebook), "state")

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """Build the rows of a gold table, with joined labels and the tool's own ids if there are any."""
        for row in super().build(selection, ending):
            labels = {"labels": SEPARATOR.join(row["labels"])} if "labels" in row else {}
            yield {"id": row["sentence_id"]} | row | labels | {"state": "reviewed"}


class HuggingFace(GoldTable):
    """A dataset in a folder or a Parquet file."""

    name = "huggingface"
    endings = ()
    not_written = ("the codebook, in a .parquet file: only a folder has a dataset card",)

    def read(self, path: Path) -> Iterator[Placed]:
        """Read the rows of a dataset.

        Raises:
            DataError: there is no dataset at the path, or it has several splits.
        """
        return super().read(path) if _is_parquet(path) else _folder_rows(path)

    def write(self, path: Path, rows: Iterable[Row], codebook: Codebook) -> None:
        """Write a dataset; a folder also gets a dataset card.

        Raises:
            DataError: the path cannot be written, the folder is not empty, or there are no rows (`datasets` cannot read
                an empty dataset).
        """
        # The rows are checked inside the block, so an unusable folder is reported first.
        whole = whole_file if _is_parquet(path) else whole_folder
        with whole(path) as draft, _no_progress_bars():
            if not (written := list(rows)):
                raise DataError(
                    f"{path}: no sentence has gold labels yet, so the dataset would be empty. Label sentences first."
                )
            dataset = _dataset(written, columns_of(written, self.columns(codebook)), codebook)
            if _is_parquet(path):
                dataset.to_parquet(str(draft))
            else:
                dataset.save_to_disk(str(draft))
                (draft / "README.md").write_text(dataset_card(codebook, len(written)), encoding="utf-8")


class PlainLines(PlainTable):
    """The rows of `PlainTable` as JSONL, for files without native lines."""

    endings = (".jsonl",)


CSV, PLAIN, ACTIVETIGGER, HUGGINGFACE = PlainTable(), PlainLines(), ActiveTigger(), HuggingFace()


def _undecided(record: Row, state: str, stored_id: str) -> Unseen | LeftOut:
    if state == "not_a_sentence":
        return LeftOut("rows that are not sentences")
    return Unseen.of(record, "rows without labels", stored_id)


def _annotator(row: Row) -> Any:
    value = row.get("annotator")
    return "" if is_no_value(value) else value


def _state(row: Row, place: str) -> str:
    """The value of `state`; empty if the row has none."""
    state = "" if is_no_value(row.get("state")) else clean(str(row["state"])).lower()
    check_state(state, place)
    return state


def _seconds(row: Row, place: str) -> float | None:
    value = row.get("seconds")
    if value is None or value == "":
        return None
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise DataError(f"{place}: `seconds` must be a number, not '{value}'. Fix or clear the cell.")
    return seconds


# -- Hugging Face


def dataset_card(codebook: Codebook, size: int) -> str:
    """Build the README.md of a dataset folder, which describes the rows and includes the codebook."""
    import yaml

    # YAML puts a language such as `no` in quotes, which would otherwise be a boolean.
    head = yaml.safe_dump({"language": codebook.language, "task_categories": ["text-classification"]}, sort_keys=False)
    toml = dump_codebook(codebook)
    fence = "~" * max([4, *(len(run) + 1 for run in re.findall("~+", toml))])
    column = "`label`, one class or null" if codebook.exclusive else "`labels`, a list of names"
    return (
        f"---\n{head}---\n\n"
        f"# {codebook.name} {codebook.version}\n\n{codebook.description}\n\n"
        f"{counted(size, 'sentence')} with gold labels ({column}; empty means that the sentence was reviewed and "
        f"has no label). Codebook hash: {codebook.hash}.\n\n## Codebook\n\n{fence}toml\n{toml}{fence}\n"
    )


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _folder_rows(path: Path) -> Iterator[Placed]:
    from datasets import DatasetDict, load_from_disk

    if not path.is_dir():
        raise DataError(f"{path}: expected a folder written by `save_to_disk` or a .parquet file. Check the path.")
    try:
        dataset = load_from_disk(str(path))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: this folder is not a dataset ({reason}). Create it with `save_to_disk`.") from error
    if isinstance(dataset, DatasetDict):
        splits = ", ".join(str(path / name) for name in dataset)
        raise DataError(f"{path}: this dataset has several splits. Import each split separately: {splits}.")
    # The dataset stores a class as a number; the class name is in the features.
    classes = class_features(dataset.features)
    for number, row in enumerate(dataset, start=1):
        names = {name: class_names(row[name], feature) for name, feature in classes.items()}
        yield DataError.place(path, number), dict(row) | names


def _dataset(rows: Sequence[Row], columns: Sequence[str], codebook: Codebook) -> Dataset:
    from datasets import ClassLabel, Dataset, List, Value

    column = "label" if codebook.exclusive else "labels"
    kind = ClassLabel(names=list(codebook.label_names)) if codebook.exclusive else List(Value("string"))
    # The label column is cast because a column of nulls or empty lists has no type of its own.
    content = {name: arrow_column([row.get(name) for row in rows]) for name in columns}
    return Dataset.from_dict(content).cast_column(column, kind)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    # The setting is global, and the calling program may have changed it.
    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()
