"""The predictions of one model, found by the folder of a run or evaluation, or by an MLflow reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from labels.errors import DataError, counted
from labels.records import Example
from trainer.classifiers.base import label_matrix
from trainer.data.predicted import Predicted
from trainer.evaluation.report import Report
from trainer.runs.tracking.outputs import fetch_outputs, names_logged
from trainer.runs.tracking.tracker import ARTEFACT

OUTPUTS = REPORT, PREDICTIONS = ("report.json", "predictions.parquet")
OUT_OF_FOLD: Literal["out-of-fold"] = "out-of-fold"
"""The part of a cross-validation: predictions of models fitted without the fold of the sentence."""
CHOOSING = (OUT_OF_FOLD, "validation")
"""Parts that may decide between models, the best first."""
PARTS = (*CHOOSING, "test")
_COLUMNS = ["example_id", "document_id", "text", "gold", "labels", "probabilities", "split", "synthetic"]
_NEWER_COLUMNS = ["date", "metadata"]
"""Columns that files of earlier releases lack."""


@dataclass(frozen=True)
class Side:
    """The report and predictions of one model.

    Attributes:
        name: the reference by which it was found, e.g. "runs/finetune".
        report: its report.
        parts: its predictions, by the name of their part.
    """

    name: str
    report: Report
    parts: Mapping[str, Predicted]

    def part(self, name: str) -> Predicted:
        """Return the predictions of a part.

        Raises:
            DataError: there are none.
        """
        if name not in self.parts:
            known = ", ".join(self.parts) or "none"
            raise DataError(
                f"{self.name}: it has no predictions of the part '{name}'. Parts with predictions: {known}."
            )
        return self.parts[name]


def read_side(reference: str) -> Side:
    """Read the report and predictions of a run or evaluation.

    Args:
        reference: the folder of a run, of its artefact or of an evaluation; the id of an MLflow run; or an MLflow URI
            (`runs:/...`, `models:/...`).

    Raises:
        DataError: there is no such folder, or a file is missing or damaged.
        ArtefactError, TrackingError: MLflow cannot be reached, or has no such run or model.
    """
    path = Path(reference)
    if names_logged(reference) and not path.exists():
        with fetch_outputs(reference, OUTPUTS) as folder:
            return _read(folder, reference)
    return _read(folder_of(path), reference)


def folder_of(path: Path) -> Path:
    """Return the folder with a report and predictions, for the folder of a run or of its artefact.

    Raises:
        DataError: there is none.
    """
    if not path.exists():
        raise DataError(
            f"{path}: no such folder. Name the folder of a run, the id of an MLflow run, or an MLflow URI such as "
            "models:/NAME@champion."
        )
    folder = path.parent if path.name == ARTEFACT and (path.parent / REPORT).is_file() else path
    missing = [name for name in OUTPUTS if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder}: {missing[0]} is missing, so there are no predictions to read. Name a folder that "
            "`communique train` has written. Evaluate a model alone with `communique evaluate MODEL FILE --out DIR`."
        )
    return folder


def _read(folder: Path, reference: str) -> Side:
    report = Report.read(folder / REPORT)
    parts = read_predictions(folder / PREDICTIONS, report.labels)
    if test := parts.get(report.basis):
        gold = label_matrix(test.examples, report.labels)
        report.check_predictions(gold, test.predicted, f"{reference}: {REPORT}")
    return Side(reference, report, parts)


def read_predictions(path: Path, labels: Sequence[str]) -> dict[str, Predicted]:
    """Read the predictions of each part from a file of `write_predictions`.

    Args:
        labels: the labels in the order of the probabilities.

    Raises:
        DataError: the file cannot be read, was not written by `write_predictions`, or has other labels.
    """
    from pyarrow import ArrowException, parquet

    try:
        known = [name for name in _NEWER_COLUMNS if name in parquet.read_schema(path).names]
        rows = parquet.read_table(path, columns=[*_COLUMNS, *known]).to_pylist()
    except (OSError, ArrowException) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise DataError(f"{path}: not the predictions of a run ({reason}). Run the experiment again.") from error
    unknown = {label for row in rows for label in (*row["gold"], *row["labels"])} - set(labels)
    widths = {len(row["probabilities"]) for row in rows} - {len(labels)}
    if unknown or widths:
        what = f"the label '{min(unknown)}'" if unknown else f"{counted(min(widths), 'probability', 'probabilities')}"
        raise DataError(
            f"{path}: a row has {what}, but report.json beside it has the labels {', '.join(labels)}. The two files "
            "belong to different runs. Restore the folder, or run the experiment again."
        )
    parts = dict.fromkeys(row["split"] for row in rows)
    return {part: _predicted([row for row in rows if row["split"] == part], labels) for part in parts}


def _predicted(rows: Sequence[dict[str, Any]], labels: Sequence[str]) -> Predicted:
    examples = [
        Example(
            row["example_id"],
            row["document_id"],
            row["text"],
            tuple(row["gold"]),
            date=row.get("date") or "",
            synthetic=bool(row["synthetic"]),
            metadata=dict(row.get("metadata") or ()),
        )
        for row in rows
    ]
    assigned = np.array([[label in row["labels"] for label in labels] for row in rows], dtype=np.bool_)
    return Predicted(examples, assigned, np.array([row["probabilities"] for row in rows], dtype=np.float64))
