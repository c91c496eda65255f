"""Rows of predictions as bytes that can be appended to a draft, and the draft as a .csv, .jsonl or .parquet file.

A Parquet file cannot be continued, because its index is at the end. Its draft is therefore an Arrow stream, which is
converted when all rows are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labels.errors import DataError
from labels.output.drafts import named_beside
from labels.output.table_files import check_spreadsheet, csv_block, csv_header, csv_lines, json_lines, json_text
from labels.text.rows import Row
from trainer.predict.outcome import Stamp

if TYPE_CHECKING:
    import pyarrow as pa

OUTPUT_SUFFIXES = (".jsonl", ".csv", ".parquet")
SENTENCE_COLUMNS = (
    *("document_id", "sentence_id", "source", "start", "end", "text", "labels", "probabilities"),
    *("model_id", "codebook_hash", "splitter", "heading"),
)
DOCUMENT_COLUMNS = (
    *("document_id", "source", "title", "date", "url", "sentences", "labels", "shares", "probabilities"),
    *("model_id", "codebook_hash"),
)


def sentence_columns(stamp: Stamp) -> tuple[str, ...]:
    """The columns of sentences; those of the model's rules follow its labels."""
    place = SENTENCE_COLUMNS.index("labels") + 1
    return (*SENTENCE_COLUMNS[:place], *stamp.marks, *SENTENCE_COLUMNS[place:])


_LISTS = ("labels", "abstained", "screened")
_BY_LABEL = {"probabilities": "p:", "shares": "share:"}
"""Columns with one number per label, and the prefix of the columns in CSV that replace them."""
_INTEGERS = ("start", "end", "sentences")
_ROW_GROUP = 32_768
"""Minimum number of rows of a Parquet row group, except the last."""


@dataclass(frozen=True)
class Writing:
    """A table to write.

    Args:
        path: the finished file; its extension is the form.
        columns: `SENTENCE_COLUMNS` or `DOCUMENT_COLUMNS`.
        kept: further columns, and their Arrow types in a Parquet file ("string", "int64" and so on).
        for_spreadsheet: put an apostrophe before cells of a .csv file that a spreadsheet would execute.
    """

    path: Path
    columns: tuple[str, ...]
    stamp: Stamp
    kept: dict[str, str] = field(default_factory=dict)
    for_spreadsheet: bool = False

    @property
    def form(self) -> str:
        """The extension in lower case."""
        return self.path.suffix.lower()

    def start(self) -> bytes:
        """The first bytes of a draft."""
        if self.form == ".csv":
            return csv_header(self._csv_columns(), self.path, for_spreadsheet=self.for_spreadsheet)
        return bytes(self.schema().serialize()) if self.form == ".parquet" else b""

    def render(self, rows: Sequence[Row], first: int) -> bytes:
        """The bytes of some rows; `first` is the number of the first row in the file, from 1.

        Raises:
            DataError: a cell contains characters that a CSV file cannot contain.
        """
        if self.form == ".parquet":
            return self._arrow(rows)
        if self.form == ".jsonl":
            lines = json_lines(map(self._plain, rows) if self.kept else rows)
            return "".join(lines).encode()
        values = map(self._csv_values, rows)
        columns = self._csv_columns()
        if not self.for_spreadsheet:
            return csv_block(values, columns, self.path, first)
        named = (dict(zip(columns, row, strict=True)) for row in values)
        return b"".join(csv_lines(named, columns, self.path, first, for_spreadsheet=True))

    def finish(self, draft: Path) -> None:
        """Turn a complete draft into the file; the draft is no longer needed."""
        if self.form != ".parquet":
            draft.replace(self.path)
            return
        made = draft.with_name(f"{draft.name}.parquet")
        to_parquet(draft, made)
        made.replace(self.path)
        draft.unlink()

    def _csv_columns(self) -> list[str]:
        columns: list[str] = []
        for name in (*self.columns, *self.kept):
            prefix = _BY_LABEL.get(name)
            columns += [f"{prefix}{label}" for label in self.stamp.labels] if prefix else [name]
        return columns

    def _csv_values(self, row: Row) -> list[Any]:
        """The values of `_csv_columns`: labels joined by `|`, and numbers by label in columns of their own."""
        values: list[Any] = []
        for name in self.columns:
            if name in _BY_LABEL:
                values += map(row[name].get, self.stamp.labels)
            else:
                values.append("|".join(row[name]) if name in _LISTS else row[name])
        return values + [plain(row.get(name)) for name in self.kept]

    def _plain(self, row: Row) -> Row:
        return row | {name: plain(row.get(name)) for name in self.kept}

    def _arrow(self, rows: Sequence[Row]) -> bytes:
        import pyarrow as pa

        schema = self.schema()
        typed = [row | {name: _typed(row.get(name), kind) for name, kind in self.kept.items()} for row in rows]
        batch = pa.RecordBatch.from_pylist(typed, schema=schema)
        # An empty batch would become an empty row group.
        return bytes(batch.serialize()) if rows else b""

    def schema(self) -> pa.Schema:
        """The Arrow schema. An inferred schema would be wrong where the first rows have no labels."""
        import pyarrow as pa

        text, labels = pa.string(), self.stamp.labels
        types = dict.fromkeys(_INTEGERS, pa.int64()) | dict.fromkeys(_LISTS, pa.list_(text)) | {"heading": pa.bool_()}
        types |= {name: pa.struct([(label, pa.float32()) for label in labels]) for name in _BY_LABEL}
        kept = [(name, pa.type_for_alias(kind)) for name, kind in self.kept.items()]
        return pa.schema([*((name, types.get(name, text)) for name in self.columns), *kept])


def to_parquet(draft: Path, path: Path, metadata: Mapping[bytes, bytes] | None = None) -> None:
    """Convert an Arrow stream to a Parquet file, in memory for one row group; `metadata` is stored in its schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with (
        pa.OSFile(str(draft), "rb") as source,
        pa.ipc.open_stream(source) as batches,
        pq.ParquetWriter(path, batches.schema.with_metadata(metadata)) as parquet,
    ):
        waiting: list[pa.RecordBatch] = []
        for batch in batches:
            waiting.append(batch)
            if sum(one.num_rows for one in waiting) >= _ROW_GROUP:
                parquet.write_table(_together(waiting, metadata))
                waiting = []
        if waiting:
            parquet.write_table(_together(waiting, metadata))


def _together(batches: Sequence[pa.RecordBatch], metadata: Mapping[bytes, bytes] | None) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_batches(batches).replace_schema_metadata(metadata)


def check_suffix(output: Path, *, for_spreadsheet: bool) -> None:
    """Refuse an output with another extension than `OUTPUT_SUFFIXES`, or a file for spreadsheets other than .csv.

    Raises:
        DataError: the extension does not suit.
    """
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        raise DataError(
            f"{output}: predictions can be written to {', '.join(OUTPUT_SUFFIXES)} files. Change the file extension."
        )
    if for_spreadsheet:
        check_spreadsheet(output)


def documents_output(output: Path) -> Path:
    """The file with one row per document: `news.csv` -> `news.documents.csv`."""
    return named_beside(output.with_suffix(""), "", f".documents{output.suffix}")


def rejects_output(output: Path) -> Path:
    """The file with the files and rows that were left out: `news.csv` -> `news.csv.rejects.jsonl`."""
    return named_beside(output, "", ".rejects.jsonl")


# -- kept columns


def plain(value: Any) -> Any:
    """A cell of an input as a value that JSON has: dates become ISO 8601, other unknown values text."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, float) and value != value:  # NaN is the only value that differs from itself
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _typed(value: Any, kind: str) -> Any:
    if kind != "string":
        return value
    value = plain(value)
    return value if value is None or isinstance(value, str) else json_text(value)


def kept_types(files: Iterable[Path], columns: Sequence[str]) -> dict[str, str]:
    """The Arrow types of kept columns: the type that all files give a column if all are Parquet, otherwise string."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[str, set[str]] = {name: set() for name in columns}
    for path in files:
        try:
            schema = pq.read_schema(path) if path.suffix.lower() == ".parquet" else None
        except (pa.ArrowException, OSError):  # reported when the file is read
            continue
        for name, types in found.items():
            types.add(str(schema.field(name).type) if schema is not None and name in schema.names else "string")
    return {name: _alias(types) for name, types in found.items()}


def _alias(types: set[str]) -> str:
    simple = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double")
    (kind,) = types if len(types) == 1 else ("string",)
    return kind if kind in (*simple, "date32[day]", "timestamp[us]", "timestamp[ns]", "timestamp[ms]") else "string"
