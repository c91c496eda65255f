"""A saved model on any labelled file: a report as after training, tracked like it.

The seed is that of the run, the other settings of the intervals are the defaults: an artefact does not keep them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labels.examples import read_examples
from trainer.artefact import folder_size
from trainer.config.experiment import EvaluationSection
from trainer.judging import evaluate_model, headline_metrics, write_report
from trainer.model import Model
from trainer.outputs import output_folder, refuse_occupied
from trainer.predictions import Predicted
from trainer.tracking import connect, tracked_run

EXPERIMENT = "communique-evaluations"


@dataclass(frozen=True)
class Evaluation:
    """The report, and the folder that holds it with predictions and plots (None: not kept)."""

    report: dict[str, Any]
    folder: Path | None


def evaluate_file(
    model: Model, artefact: Path, data: Path, out: Path | None, *, overwrite: bool = False, track: bool = True
) -> Evaluation:
    """Evaluate a model on a labelled file and, where `out` is given, leave report.json, predictions.parquet and plots/
    there.

    Raises:
        DataError: the file cannot be read, or bears labels that the model's codebook lacks.
        TrackingError: MLflow refused.
    """
    if out is not None:
        refuse_occupied(out, overwrite=overwrite, reads=(artefact, data))
    examples = read_examples(data, model.codebook, "test")
    assert model.manifest is not None
    outcome, report = evaluate_model(model, examples, EvaluationSection(), model.manifest.seed)
    report |= _context(model, artefact, data)
    if track:
        _track(report, data)
    if out is not None:
        with output_folder(out, overwrite=overwrite) as draft:
            said = Predicted(examples, outcome.predicted, outcome.probabilities)
            write_report(draft, outcome, report, {"test": said})
    return Evaluation(report, out)


def _context(model: Model, artefact: Path, data: Path) -> dict[str, Any]:
    manifest = model.manifest
    assert manifest is not None
    return {
        "kind": manifest.kind,
        "codebook": {
            "name": manifest.codebook_name,
            "version": manifest.codebook_version,
            "hash": manifest.codebook_hash,
        },
        "data": str(data),
        "synthetic": manifest.synthetic,
        "model_id": manifest.digest,
        "artefact_bytes": folder_size(artefact),
        "train_seconds": manifest.details.get("train_seconds"),
        "notes": [],
    }


def _track(report: dict[str, Any], data: Path) -> None:
    connect()
    tags = {"model.id": report["model_id"], "codebook.hash": report["codebook"]["hash"]}
    with tracked_run(EXPERIMENT, f"{report['kind']} on {data.name}", tags) as tracker:
        tracker.log_params({"model.kind": report["kind"], "data": str(data)})
        tracker.log_metrics(headline_metrics(report))
        tracker.log_text(json.dumps(report, indent=1) + "\n", "report.json")
