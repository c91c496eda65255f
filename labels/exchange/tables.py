"""Formats that are tables, one element a row: plain CSV, ActiveTigger's and Hugging Face datasets.

*csv* has one decision a row, labels joined by `|`. Any table with `text` and `labels` (or `label`) can be imported.
Without a column `state`, an empty cell of labels does not say whether anyone looked, and the row is left out.

*activetigger* tables are CSV or Parquet, one sentence a row with its gold labels as `a|b`. The tool asks which column
is which; here they are `id`, `text`, and `label` (exclusive codebooks) or `labels`. It may drop the other columns, so
an `id` that equals a sentence's id in the store is taken for that sentence.

*huggingface* datasets are a folder of `save_to_disk`, or a .parquet file. Exclusive codebooks give a column `label` of
type ClassLabel (null: reviewed, none), others a list `labels`. The folder's README.md is its dataset card, and contains
the codebook.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from labels.codebook.schema import Codebook, dump_codebook
from labels.errors import DataError, did_you_mean
from labels.exchange import records
from labels.exchange.decisions import Selection
from labels.exchange.formats import Placed, RecordFormat, arrow_column, columns_of
from labels.exchange.records import KEY, ForeignDecision, LeftOut, Reader
from labels.files import whole_file, whole_folder
from labels.records import Annotation, Sentence, State
from labels.text.examples import SEPARATOR, label_column
from labels.text.rows import Row, class_name

if TYPE_CHECKING:
    from datasets import Dataset

UNLABELLED = LeftOut("rows without labels")
"""An empty cell does not say whether anyone looked."""

_STATES = ("reviewed", "skipped", "unseen")


class Table(RecordFormat):
    """A table: what the tool knows is in columns beside the labels, where empty cells say nothing."""

    not_read = ("rows without labels, unless exported from here: an empty cell does not say whether anyone looked",)

    def beyond(self, record: Row, built: Row) -> Row:
        """The columns that we have no word for, and the tool's own id."""
        ours = {*built, KEY, "label", "labels"}
        rest = records.json_value({k: v for k, v in record.items() if k not in ours and v not in (None, "")})
        # ActiveTigger's `id` is ours where we wrote it; anything else is the tool's own and goes back.
        own_id = ("id", built["sentence_id"])
        return {key: value for key, value in rest.items() if value is not None and (key, value) != own_id}

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """One decision a row, with the tool's own columns and the stamp as JSON text."""
        for event, sentence in selection.decisions:
            row = self.record(event, sentence, selection.codebook)
            extra = records.extra_of(event, self.name)
            beside = {key: value for key, value in extra.items() if key not in row or key == "id"}
            yield row | beside | {KEY: json.dumps(records.native_stamp(event, sentence), ensure_ascii=False)}


class PlainTable(Table):
    """CSV for spreadsheets and scripts."""

    name = "csv"
    endings = (".csv",)
    carries = "decisions"

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """What a decision has in each row."""
        decision = ("labels", "state", "annotator", "note", "seconds", "created_at", "suggestion")
        return ("text", *decision, "document_id", "sentence_id")

    def decide(self, record: Row, place: str, reader: Reader, *, ours: bool) -> ForeignDecision | LeftOut:
        """The decision of a row, unless no annotator looked at it."""
        state, suggestion = _state(record, place), record.get("suggestion")
        if state == "unseen":
            return UNLABELLED
        return ForeignDecision.of(
            record,
            cast(State, state),
            split_labels(record[label_column(record, place)], place),
            annotator=record.get("annotator") or "",
            created_at=record.get("created_at") or "",
            seconds=_seconds(record, place),
            note=record.get("note") or "",
            suggestion=None if is_blank(suggestion) else split_labels(suggestion, place),
            stored_id=record.get("sentence_id") or "",
        )

    def record(self, event: Annotation, sentence: Sentence, codebook: Codebook) -> Row:
        """The columns of a decision."""
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
    """A table with one sentence a row: `text`, `label` or `labels`, the ids that splits need, and other columns."""

    carries = "gold"

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """`label` for exclusive codebooks, else `labels`."""
        return ("text", "label" if codebook.exclusive else "labels", "document_id", "sentence_id")

    def decide(self, record: Row, place: str, reader: Reader, *, ours: bool) -> ForeignDecision | LeftOut:
        """The decision of a row with labels; an empty list is "reviewed, none"."""
        value = record[label_column(record, place)]
        if is_blank(value) and not ours:
            return UNLABELLED
        # Some tools keep no column but the id, which we wrote as the sentence's.
        stored_id = str(record.get("sentence_id") or record.get("id") or "")
        labels = split_labels(value, place)
        # Parquet has dates and numbers that JSON lacks; as JSON, equal rows give equal ids.
        return ForeignDecision.of(record, "reviewed", labels, record=records.json_value(record), stored_id=stored_id)

    def record(self, event: Annotation, sentence: Sentence, codebook: Codebook) -> Row:
        """One name or null under `label`, or a list under `labels`."""
        labels: Row = {"labels": list(event.labels)}
        if codebook.exclusive:
            labels = {"label": event.labels[0] if event.labels else None}
        return {"text": sentence.text} | labels | {"document_id": sentence.document_id, "sentence_id": sentence.id}


class ActiveTigger(GoldTable):
    """ActiveTigger's tables."""

    name = "activetigger"
    endings = (".csv", ".parquet")

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """As other gold tables, after the column that the tool takes for the id."""
        return ("id", *super().columns(codebook))

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """As other gold tables, with joined labels; the tool's own ids are kept where it gave some."""
        for row in super().build(selection, ending):
            labels = {"labels": SEPARATOR.join(row["labels"])} if "labels" in row else {}
            yield {"id": row["sentence_id"]} | row | labels


class HuggingFace(GoldTable):
    """A dataset in a folder or a Parquet file."""

    name = "huggingface"
    endings = ()
    not_written = ("the codebook, in a .parquet file: only a folder has a card",)

    def read(self, path: Path) -> Iterator[Placed]:
        """The rows of a dataset.

        Raises:
            DataError: there is no dataset at the path, or it has several splits.
        """
        return super().read(path) if _is_parquet(path) else _folder_rows(path)

    def write(self, path: Path, rows: Iterable[Row], codebook: Codebook) -> None:
        """Write a dataset, with its card if it is a folder.

        Raises:
            DataError: the path cannot be written, or is a folder that is not empty; or there is nothing to write, as
                `datasets` cannot read an empty folder back.
        """
        # Checked inside the block: a folder that cannot be used is the first thing to know.
        whole = whole_file if _is_parquet(path) else whole_folder
        with whole(path) as draft, _no_progress_bars():
            if not (written := list(rows)):
                raise DataError(
                    f"{path}: no sentence has gold labels yet, and an empty dataset cannot be read. Label some first."
                )
            dataset = _dataset(written, columns_of(written, self.columns(codebook)), codebook)
            if _is_parquet(path):
                dataset.to_parquet(str(draft))
            else:
                dataset.save_to_disk(str(draft))
                (draft / "README.md").write_text(dataset_card(codebook, len(written)), encoding="utf-8")


CSV, ACTIVETIGGER, HUGGINGFACE = PlainTable(), ActiveTigger(), HuggingFace()


def is_blank(value: Any) -> bool:
    """Whether a cell says nothing: null, or white space only; an empty list says "none"."""
    return value is None or (isinstance(value, str) and not value.strip())


def split_labels(value: Any, place: str) -> list[str]:
    """Label names of a cell: `a|b`, one name or number, or a list.

    Raises:
        DataError: the value is anything else.
    """
    if isinstance(value, str):
        return [name.strip() for name in value.split(SEPARATOR) if name.strip()]
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    return records.label_list(value, place)


def _state(row: Row, place: str) -> str:
    """The state that a row gives; labels without a state were given by an annotator."""
    state = (row.get("state") or "").strip()
    if not state:
        return "unseen" if is_blank(row[label_column(row, place)]) else "reviewed"
    if state not in _STATES:
        near = did_you_mean(state, _STATES)
        raise DataError(f"{place}: `state` must be {' or '.join(_STATES)}, not '{state}'{near}. Fix the row.")
    return str(state)


def _seconds(row: Row, place: str) -> float | None:
    value = row.get("seconds") or ""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise DataError(f"{place}: `seconds` must be a number, not '{value}'. Fix the row or empty the cell.")
    return seconds


# -- Hugging Face


def dataset_card(codebook: Codebook, size: int) -> str:
    """The README.md of a dataset folder: what the rows are, and the codebook that they were coded with."""
    column = "`label`, one class or null" if codebook.exclusive else "`labels`, a list of names"
    return (
        f"---\nlanguage: {codebook.language}\ntask_categories:\n- text-classification\n---\n\n"
        f"# {codebook.name} {codebook.version}\n\n{codebook.description}\n\n"
        f"{size} sentences with their gold labels ({column}; empty means that the sentence was reviewed and "
        f"has no label). Codebook hash: {codebook.hash}.\n\n## Codebook\n\n~~~~toml\n{dump_codebook(codebook)}~~~~\n"
    )


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _folder_rows(path: Path) -> Iterator[Placed]:
    from datasets import ClassLabel, DatasetDict, load_from_disk

    if not path.is_dir():
        raise DataError(f"{path}: a folder of `save_to_disk` or a .parquet file is needed. Check the path.")
    try:
        dataset = load_from_disk(str(path))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: this folder is not a dataset ({reason}). Write it with `save_to_disk`.") from error
    if isinstance(dataset, DatasetDict):
        splits = ", ".join(str(path / name) for name in dataset)
        raise DataError(f"{path}: this dataset has several splits. Import one after the other: {splits}.")
    # A class is stored as its number; its name is in the dataset's features.
    classes = {name: feature for name, feature in dataset.features.items() if isinstance(feature, ClassLabel)}
    for number, row in enumerate(dataset, start=1):
        names = {name: class_name(row[name], feature) for name, feature in classes.items()}
        yield DataError.place(path, number), dict(row) | names


def _dataset(rows: Sequence[Row], columns: Sequence[str], codebook: Codebook) -> Dataset:
    from datasets import ClassLabel, Dataset, List, Value

    column = "label" if codebook.exclusive else "labels"
    kind = ClassLabel(names=list(codebook.label_names)) if codebook.exclusive else List(Value("string"))
    # A column of nulls or empty lists has no type of its own, so the label column is cast.
    content = {name: arrow_column([row.get(name) for row in rows]) for name in columns}
    return Dataset.from_dict(content).cast_column(column, kind)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    # The switch is global, and the calling program may have set it.
    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()
