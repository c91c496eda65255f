"""Read the rows of Parquet files, in which Hugging Face stores classes as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labels.errors import DataError
from labels.text.headers import check_header

_PARQUET_BATCH, _PARQUET_BUFFER = 1024, 1 << 20
"""Rows of a Parquet file, which may be whole articles, and bytes of a column that are read at once."""


def read_parquet(path: Path, _: object = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number, row) from a Parquet file, with the names of classes; raises as `rows.read_rows` does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        # The buffer limits the memory for a file whose rows are all in one row group.
        with pq.ParquetFile(path, buffer_size=_PARQUET_BUFFER) as file:
            check_header(file.schema_arrow.names, path)
            names = _class_features_of(file.schema_arrow)
            for batch in file.iter_batches(_PARQUET_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row | {name: class_names(row[name], feature) for name, feature in names.items()}
    except (pa.ArrowException, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # of the file system; Arrow's own errors have no number
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
        if number:
            message = f"the file is damaged after row {number:,} ({reason}). The rows before were read"
        else:
            message = f"the file cannot be read as Parquet ({reason})"
        raise DataError(f"{path}: {message}. Create the file again as Parquet.") from error


def _class_features_of(schema: Any) -> dict[str, Any]:
    """Hugging Face stores labels as numbers, and their names in the metadata of the (pyarrow) schema."""
    if b"huggingface" not in (schema.metadata or {}):
        return {}  # without its metadata, `datasets` guesses types, and fails at those it lacks, such as maps
    from datasets import Features

    return class_features(Features.from_arrow_schema(schema))


def class_features(features: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a Hugging Face dataset that store classes, or lists of classes, as numbers."""
    from datasets import ClassLabel

    return {
        name: feature
        for name, feature in features.items()
        if isinstance(feature, ClassLabel) or isinstance(getattr(feature, "feature", None), ClassLabel)
    }


def class_names(value: int | list[int] | None, feature: Any) -> str | list[str | None] | None:
    """Return the class name of a number, or the names of a list; None and -1 mean "unlabelled" and become None."""
    if isinstance(value, list):
        return [class_name(item, feature.feature) for item in value]
    return class_name(value, feature)


def class_name(value: int | None, feature: Any) -> str | None:
    """Return the class name for a number of a Hugging Face ClassLabel; None for None or -1 (unlabelled)."""
    return None if value is None or value < 0 else str(feature.int2str(value))
