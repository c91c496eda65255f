"""One execution of an experiment: data -> split -> fit -> calibrate -> evaluate -> save -> track."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from labels.codebook.schema import dump_codebook
from labels.files import output_folder, refuse_occupied, sole_writer
from trainer.config.experiment import Experiment
from trainer.data.dataset import Dataset, files_read, load_dataset
from trainer.data.predictions import Predicted
from trainer.environment import silence_libraries
from trainer.evaluation import Report
from trainer.model.model import Manifest, Model, folder_size, package_versions, save_artefact
from trainer.runs.evaluate import (
    calibration_shortfalls,
    codebook_reference,
    evaluate_model,
    headline_metrics,
    macro_f1,
    predict_examples,
    write_report,
)
from trainer.runs.fit import Fitted, checkpoint_folder, fit_model
from trainer.runs.registry import log_model, register
from trainer.runs.tracking import Tracker, published, track_experiment


@dataclass(frozen=True)
class RunResult:
    """The results of a run: its folder, its report and its place in MLflow (empty when not tracked)."""

    folder: Path
    report: Report
    model: Model
    run_id: str = ""
    model_uri: str = ""
    registered_version: str = ""

    @property
    def artefact(self) -> Path:
        """The saved model's folder."""
        return self.folder / "artefact"


def run_experiment(experiment: Experiment, out: Path, *, overwrite: bool = False) -> RunResult:
    """Run an experiment and leave `artefact/`, `report.json`, `predictions.parquet`, `split.json` and `plots/` in
    `out`.

    The folder appears whole or not at all. Where tracking is on, everything is logged as one MLflow run. An
    interrupted `finetune` resumes when it is run again with the same `out`: its checkpoints are in a hidden folder.

    Raises:
        InputError: the data, the codebook or the model section do not allow it, or `out` is occupied.
        TrackingError: MLflow refused.
        DivergedError: the loss of a training became infinite or not a number.
    """
    silence_libraries()
    refuse_occupied(out, overwrite=overwrite, reads=files_read(experiment))
    dataset = load_dataset(experiment)
    checkpoints = checkpoint_folder(out)
    with (
        sole_writer(out),
        track_experiment(experiment, dataset) as tracker,
        output_folder(out, overwrite=overwrite) as draft,
    ):
        fitted = fit_model(experiment, dataset, checkpoints=checkpoints)
        model, report = _write_outputs(experiment, dataset, fitted, draft)
        model_uri = _track_outputs(tracker, experiment, dataset, report, draft) if tracker else ""
    shutil.rmtree(checkpoints, ignore_errors=True)
    version = ""
    if model_uri and experiment.tracking.register_as:
        version = register(model_uri, experiment.tracking.register_as, {"kind": experiment.model.kind})
    return RunResult(out, report, model, tracker.run_id if tracker else "", model_uri, version)


def _track_outputs(tracker: Tracker, experiment: Experiment, dataset: Dataset, report: Report, folder: Path) -> str:
    """Log the outputs in `folder`: figures, plots, files and the model; returns the model's URI."""
    tracker.log_metrics(headline_metrics(report))
    tracker.log_folder(folder / "plots", "plots")
    for name in ("report.json", "split.json", "predictions.parquet"):
        tracker.log_file(folder / name)
    tracker.log_text(dump_codebook(dataset.codebook), "codebook.toml")
    tracker.log_text(json.dumps(published(experiment), indent=1) + "\n", "experiment.json")
    tracker.set_tags({"model.id": report.model_id})
    return log_model(folder / "artefact")


def _write_outputs(experiment: Experiment, dataset: Dataset, fitted: Fitted, draft: Path) -> tuple[Model, Report]:
    """The artefact, the split, and the report on test with all that goes with it; the saved model and the report."""
    model, manifest = _save(experiment, dataset, fitted, draft / "artefact")
    dataset.split.save(draft / "split.json")
    outcome, report = evaluate_model(model, dataset.parts["test"], experiment.evaluation, experiment.seed)
    test = Predicted(dataset.parts["test"], outcome.predicted, outcome.probabilities)
    validation = predict_examples(model, dataset.parts["validation"])
    report = _with_context(report, experiment, dataset, model, manifest).extended(
        artefact_bytes=folder_size(draft / "artefact"),
        train_seconds=fitted.seconds,
        validation_macro_f1=macro_f1(model.labels, validation),
    )
    write_report(draft, outcome, report, {"test": test, "validation": validation})
    return model, report


def _save(experiment: Experiment, dataset: Dataset, fitted: Fitted, folder: Path) -> tuple[Model, Manifest]:
    """The fitted model as an artefact in a new folder; the model with its manifest."""
    folder.mkdir()
    content = fitted_manifest(experiment, dataset, fitted)
    manifest = save_artefact(folder, content, dataset.codebook, fitted.model.classifier)
    return replace(fitted.model, manifest=manifest), manifest


def _with_context(report: Report, experiment: Experiment, dataset: Dataset, model: Model, manifest: Manifest) -> Report:
    """The report with what its figures refer to."""
    uncalibrated, notes = calibration_shortfalls(model)
    return report.extended(
        experiment=experiment.name,
        kind=experiment.model.kind,
        seed=experiment.seed,
        codebook=codebook_reference(manifest),
        data=dataset.source,
        synthetic=dataset.synthetic,
        n_train=len(dataset.parts["train"]),
        n_validation=len(dataset.parts["validation"]),
        split_hash=dataset.split.hash,
        model_id=manifest.digest,
        uncalibrated=uncalibrated,
        notes=[*dataset.notes, *notes, *model.classifier.notes],
        **{key: manifest.details[key] for key in ("certificate",) if key in manifest.details},
    )


def fitted_manifest(experiment: Experiment, dataset: Dataset, fitted: Fitted) -> Manifest:
    """What the artefact of a fitted model says about it; the digests of its files are added when it is saved."""
    codebook, model = dataset.codebook, fitted.model
    return Manifest(
        kind=experiment.model.kind,
        labels=codebook.label_names,
        exclusive=codebook.exclusive,
        allow_none=codebook.allow_none,
        codebook_name=codebook.name,
        codebook_version=codebook.version,
        codebook_hash=codebook.hash,
        seed=experiment.seed,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        split_hash=dataset.split.hash,
        training_hash=dataset.training_hash,
        synthetic=dataset.synthetic,
        details=model.classifier.describe() | {"model": experiment.model.model_dump(), "train_seconds": fitted.seconds},
        calibration=model.calibration,
        thresholds=dict(zip(codebook.label_names, map(float, model.calibration.thresholds), strict=True)),
        packages=package_versions(),
    )
