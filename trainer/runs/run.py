"""One execution of an experiment: data -> split -> fit -> calibrate -> evaluate -> save -> track."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from labels.errors import CommuniqueError
from labels.output.drafts import hidden_beside, sole_writer
from labels.output.folders import output_folder, refuse_occupied
from trainer.classifiers.base import classifier_class
from trainer.config.experiment import Experiment
from trainer.data.coder_agreement import data_agreement
from trainer.data.dataset import Dataset, files_read, hash_test, load_dataset
from trainer.data.predicted import Predicted
from trainer.environment import silence_libraries
from trainer.evaluation.report import Outcome, Report
from trainer.model.model import Manifest, Model, folder_size, package_versions, save_artefact
from trainer.model.profile import make_profile
from trainer.model.seen import training_ids
from trainer.runs.corpus_prevalence import check_settings
from trainer.runs.evaluate import (
    calibration_shortfalls,
    codebook_reference,
    evaluate_model,
    macro_f1,
    predict_examples,
    write_report,
)
from trainer.runs.fitting import Fitted, fit_model
from trainer.runs.publication.material import Contents
from trainer.runs.publication.publishing import write_page
from trainer.runs.tracking.connection import check_server
from trainer.runs.tracking.record import UNTRACKED, Tracked, record_experiment
from trainer.runs.tracking.track import open_run
from trainer.runs.tracking.tracker import ARTEFACT
from trainer.runs.tracking.uploads import PAGE

logger = logging.getLogger(__name__)

_SECONDS_FOR_THE_LEADER = 10.0
"""Time that a follower waits before it raises an error, so that the leading process can report the error first."""


def checkpoint_folder(out: Path) -> Path:
    """Return the folder that holds the checkpoints of a run with output folder `out` until its training is complete."""
    return hidden_beside(out, "checkpoints")


def help_train(experiment: Experiment, out: Path) -> None:
    """Take part in training that another process leads, including cross-fitting, without writing outputs.

    Kinds that are trained in one process need no help. An error is raised only after a pause: the leader most likely
    has the same error, and needs time to report it and clean up before the launcher ends all processes.
    """
    silence_libraries()
    if not classifier_class(experiment.model.kind).distributed:
        return
    try:
        fit_model(experiment, load_dataset(experiment), checkpoints=checkpoint_folder(out))
    except CommuniqueError:
        time.sleep(_SECONDS_FOR_THE_LEADER)
        raise


@dataclass(frozen=True)
class RunResult:
    """The results of a run: folder, report, model, and the run's place in MLflow."""

    folder: Path
    report: Report
    model: Model
    tracked: Tracked = UNTRACKED

    @property
    def run_id(self) -> str:
        """Id of the MLflow run; empty if the run is not tracked."""
        return self.tracked.run_id

    @property
    def model_uri(self) -> str:
        """URI of the model in MLflow; empty if the run is not tracked."""
        return self.tracked.model_uri

    @property
    def registered_version(self) -> str:
        """Version of the registered model; empty if the model is not registered."""
        return self.tracked.registered_version

    @property
    def artefact(self) -> Path:
        """Folder of the saved model."""
        return self.folder / "artefact"


Produce = Callable[[Experiment, Dataset, Path, Path], tuple[Model, Contents]]
"""Fits the model of an experiment to a dataset, with a folder for checkpoints, and writes its outputs to a folder;
returns the model, and what the page of its report is made from."""


def run_experiment(experiment: Experiment, out: Path, *, overwrite: bool = False, required: bool = True) -> RunResult:
    """Run an experiment with a test part. `choice.cross_validation` runs the others.

    Writes `artefact/`, `report.json`, `report.html`, `predictions.parquet`, `split.json`, `plots/` and `tracking.json`
    to `out`, which is created only when all its files are complete. If tracking is on, all outputs are logged as one
    MLflow run. An interrupted `finetune` run resumes from checkpoints in a hidden folder if it is started again with
    the same `out`.

    Args:
        required: if true and tracking is on, MLflow must be available when the run starts. Errors of MLflow at the end
            are returned, not raised: the folder is complete, and `track_later` logs it.

    Raises:
        InputError: the data, the codebook or the model section are not valid, or `out` is not empty.
        TrackingError: MLflow is not available.
        DivergedError: the training loss became infinite or nan.
    """
    return run_tracked(
        experiment, out, partial(load_dataset, experiment), _produce, overwrite=overwrite, required=required
    )


def run_tracked(
    experiment: Experiment,
    out: Path,
    load: Callable[[], Dataset],
    produce: Produce,
    *,
    overwrite: bool = False,
    required: bool = True,
) -> RunResult:
    """Run an experiment as `run_experiment` does, with functions that load the data and produce the outputs."""
    silence_libraries()
    refuse_occupied(out, overwrite=overwrite, reads=files_read(experiment))  # now, too: training may take hours
    if experiment.tracking.enabled and required:
        check_server()
    try:
        dataset = load()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("The data were still being read, so MLflow has no run.") from None
    codebook = dataset.codebook
    check_settings(experiment.evaluation.prevalence, codebook)
    record = record_experiment("train", experiment, dataset)
    checkpoints = checkpoint_folder(out)
    # The output folder is closed inside the MLflow run: an error while the outputs are moved into place still ends the
    # run as FAILED. The outputs are logged only then, so that no error of MLflow can lose them.
    with sole_writer(out), open_run(record, enabled=experiment.tracking.enabled, required=required) as run:
        with output_folder(out, overwrite=overwrite) as draft:
            model, contents = produce(experiment, dataset, checkpoints, draft)
            report = run.with_looks(contents.report, draft)
            _attempt_page(replace(contents, report=report), draft / PAGE)
            record.save(draft)
        # Only now: if an output could not be written, the next call resumes from the checkpoints.
        shutil.rmtree(checkpoints, ignore_errors=True)
        tracked = run.finish(out)
    return RunResult(out, report, model, tracked)


def _produce(experiment: Experiment, dataset: Dataset, checkpoints: Path, draft: Path) -> tuple[Model, Contents]:
    """Write the artefact, split, report, predictions and plots; returns the saved model and its results on test."""
    fitted = fit_model(experiment, dataset, checkpoints=checkpoints)
    # Validation decides between models (leaderboard, champion), and `export` checks exported models on these rows.
    validation = predict_examples(fitted.model, dataset.parts["validation"])
    model = save_fitted(experiment, dataset, fitted, validation, draft)
    outcome, report = evaluate_model(model, dataset.parts["test"], experiment.evaluation, experiment.seed)
    test = Predicted(dataset.parts["test"], outcome.predicted, outcome.probabilities)
    report = report.extended(
        **report_context(experiment, dataset, model),
        artefact_bytes=folder_size(draft / ARTEFACT),
        train_seconds=fitted.seconds,
        validation_macro_f1=macro_f1(model.labels, validation),
    )
    report = write_report(draft, outcome, report, {"test": test, "validation": validation})
    return model, run_contents(model, experiment.name, report, test, outcome)


def _attempt_page(contents: Contents, path: Path) -> None:
    """Write the page of a report. `communique report` can write it later, so a failure must not cost the run."""
    try:
        write_page(contents, path)
    except OSError:
        raise
    except Exception as error:
        logger.warning("%s could not be written (%s: %s)", path.name, type(error).__name__, error)


def save_fitted(experiment: Experiment, dataset: Dataset, fitted: Fitted, unseen: Predicted, draft: Path) -> Model:
    """Write the artefact and the split to the folder of a run; returns the saved model.

    A model is saved before it is evaluated: the report contains its id, which is a digest of the saved files.

    Args:
        unseen: predictions for sentences that the model behind them was not fitted to.
    """
    (draft / ARTEFACT).mkdir()
    content = fitted_manifest(experiment, dataset, fitted, unseen)
    manifest = save_artefact(draft / ARTEFACT, content, dataset.codebook, fitted.model.classifier)
    dataset.split.save(draft / "split.json")
    return replace(fitted.model, manifest=manifest)


def run_contents(model: Model, name: str, report: Report, data: Predicted, outcome: Outcome) -> Contents:
    """Return what the page of a run is made from: its report, and the predictions behind it."""
    return Contents(name, report, data, outcome, hash_test(data.examples), model.manifest, model.codebook)


def report_context(experiment: Experiment, dataset: Dataset, model: Model) -> dict[str, Any]:
    """Return the keys of a report that describe the experiment, data and saved model behind its figures."""
    manifest = model.manifest
    assert manifest is not None
    uncalibrated, notes = calibration_shortfalls(model)
    return {
        "experiment": experiment.name,
        "kind": experiment.model.kind,
        "seed": experiment.seed,
        "codebook": codebook_reference(manifest),
        "data": dataset.source,
        "synthetic": dataset.synthetic,
        "n_train": len(dataset.parts["train"]),
        "n_validation": len(dataset.parts["validation"]),
        "split_hash": dataset.split.hash,
        **({"test_hash": hash_test(dataset.parts["test"])} if dataset.parts["test"] else {}),
        "model_id": manifest.digest,
        "uncalibrated": uncalibrated,
        "notes": [*dataset.notes, *notes, *model.classifier.notes],
        "label_values": [asdict(value) for value in dataset.values],
        **{key: manifest.details[key] for key in ("certificate",) if key in manifest.details},
        **_agreement(experiment, dataset),
    }


def _agreement(experiment: Experiment, dataset: Dataset) -> dict[str, Any]:
    """The agreement of the coders, as a key of a report; none if it is not known."""
    found = data_agreement(experiment.data, dataset.codebook)
    return {"agreement": {label: own.model_dump() for label, own in found.items()}} if found else {}


def fitted_manifest(experiment: Experiment, dataset: Dataset, fitted: Fitted, validation: Predicted) -> Manifest:
    """Return the manifest of a fitted model; the digests of its files are added when the artefact is saved.

    Args:
        validation: predictions for the validation part, or other sentences that the model was not fitted to.
    """
    codebook, model = dataset.codebook, fitted.model
    learned = [*dataset.parts["train"], *dataset.parts["validation"], *dataset.extra]
    earlier = getattr(getattr(model.classifier, "initial", None), "training_ids", ())
    profile = make_profile(
        [example.text for example in dataset.parts["train"]],
        [example.text for example in validation.examples],
        [example.document_id for example in validation.examples],
        codebook.label_names,
        validation.probabilities.astype(np.float32),
        validation.predicted,
    )
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
        profile=profile.model_dump(mode="json") if profile else None,
        training_ids=tuple(sorted({*training_ids(learned), *earlier})),
    )
