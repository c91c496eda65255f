"""Recognise outputs of communique and MLflow in a folder of documents, so that they are not read as documents.

Files are recognised by their columns, and folders by a file that only communique or MLflow writes. The names of
articles do not matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from labels.errors import DataError
from labels.output.folders import OUTPUT_MARKS
from labels.output.text_files import INDEX
from labels.text.labelled.exported import PREDICTED, PREDICTED_DOCUMENTS, STAMP
from labels.text.rows import ROW_SUFFIXES, read_rows

_MLFLOW = ("mlruns", "mlartifacts")
_RUN = "outputs of a run"
_FOLDERS: dict[str, tuple[str, frozenset[str]]] = {
    **dict.fromkeys(OUTPUT_MARKS, (_RUN, frozenset())),
    # Other programs also write files with these names, so the keys are checked too.
    "report.json": (_RUN, frozenset({"labels", "macro_f1", "per_label"})),
    "manifest.json": ("a saved model", frozenset({"kind", "labels", "codebook_hash"})),
    "tracking.json": (_RUN, frozenset({"id", "command", "experiment"})),
    INDEX: ("texts written by predict --texts", frozenset({"document_id", "file"})),
    "dataset_info.json": ("a saved data set", frozenset({"features"})),
}
"""Maps a file that marks a folder to the contents of the folder and the keys that the file must have."""
_COLUMNS = {
    "predictions": (PREDICTED, PREDICTED_DOCUMENTS, {"example_id", "gold", "split"}),
    "exported annotations": ({STAMP}, {"event_id", "sentence_id"}, {"codebook"}, {"codebook_migration"}),
    "doubtful labels": ({"sentence_id", "suggested", "score", "reason"},),
}
"""Maps a kind of table to sets of columns; a table of this kind has all columns of one set."""
REJECTED = {"file", "row", "reason"}
"""All keys of a line in `OUT.rejects.jsonl`, which lists the files and rows that `predict` left out."""


def own_folder(folder: Path) -> str:
    """Return the kind of output in a folder written by communique or MLflow; empty for any other folder."""
    if folder.name in _MLFLOW:
        return "files of MLflow"
    found = (what for name, (what, keys) in _FOLDERS.items() if _has_keys(folder / name, keys))
    return next(found, "")


def own_table(path: Path) -> str:
    """Return the kind of output in a table written by communique; empty for any other table."""
    if path.suffix.lower() not in ROW_SUFFIXES:
        return ""
    try:
        _, row = next(iter(read_rows(path)), (0, {}))
    except DataError:  # the error is reported when the file is read
        return ""
    if set(row) == REJECTED:
        return "rows that `predict` left out"
    # A first line with a codebook has no text; documents may have a column `codebook` of their own.
    given = set(row) - ({"codebook", "codebook_migration"} if "text" in row else set())
    given |= set(meta) & {STAMP} if isinstance(meta := row.get("meta"), dict) else set()  # Prodigy keeps it there
    return next((what for what, sets in _COLUMNS.items() if any(columns <= given for columns in sets)), "")


def _has_keys(path: Path, keys: frozenset[str]) -> bool:
    """Return whether a file exists and, with `keys`, is a JSON object with these keys or a list of such objects."""
    if not path.is_file() or not keys:
        return path.is_file()
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, dict) and keys <= first.keys()


def describe_skipped(skipped: Iterable[tuple[Path, str]], shown: int = 3) -> list[str]:
    """Describe the files and folders that were not read, in one sentence without a full stop per kind of content."""
    by_content: dict[str, list[str]] = {}
    for path, what in skipped:
        by_content.setdefault(what, []).append(str(path))
    return [_sentence(what, paths, shown) for what, paths in by_content.items()]


def _sentence(what: str, paths: list[str], shown: int) -> str:
    more = f" and {len(paths) - shown} more" if len(paths) > shown else ""
    return f"not read as documents, because they are {what}: {', '.join(paths[:shown])}{more}"
