"""One execution of an experiment: data -> split -> fit -> calibrate -> evaluate -> save -> track."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.environment.progress import progress_stage
from labels.errors import CommuniqueError, ExperimentError
from labels.output.drafts import hidden_beside, sole_writer
from labels.output.folders import output_folder, refuse_occupied
from labels.records import Example
from trainer.calibration.calibration import Calibration, Probabilities, fit_calibration, not_calibrated
from trainer.classifiers.base import (
    CalibratedClassifier,
    Classifier,
    ResumableClassifier,
    build_classifier,
    classifier_class,
    label_matrix,
)
from trainer.config.experiment import Experiment
from trainer.config.sections import CalibrationSection
from trainer.data.dataset import Dataset, Predicted, files_read, hash_examples, load_dataset
from trainer.data.splits import make_split
from trainer.environment import silence_libraries
from trainer.evaluation.report import Report
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
from trainer.runs.publication.material import Contents
from trainer.runs.publication.publishing import write_page
from trainer.runs.tracking.connection import check_server
from trainer.runs.tracking.record import UNTRACKED, Tracked, record_experiment
from trainer.runs.tracking.registry import fetch_artefact
from trainer.runs.tracking.track import PAGE, open_run

logger = logging.getLogger(__name__)

_SECONDS_FOR_THE_LEADER = 10.0
"""Time that a follower waits before it raises an error, so that the leading process can report the error first."""


@dataclass(frozen=True)
class Fitted:
    """A fitted model, and the time in seconds that fitting and calibration took."""

    model: Model
    seconds: float


def fit_model(experiment: Experiment, dataset: Dataset, *, checkpoints: Path | None = None) -> Fitted:
    """Fit and calibrate an experiment's model; the measured time includes cross-fitting.

    Args:
        checkpoints: folder from which an interrupted training run resumes, with one subfolder per fold, for kinds that
            can resume; None to start from the beginning.
    """
    start = time.perf_counter()
    classifier = _unfitted(experiment, dataset, checkpoints)
    # Before `fit`: a setting without effect must be reported at once, not after hours of training.
    if isinstance(classifier, CalibratedClassifier):
        _refuse_other_calibration(experiment)
    classifier.fit([*dataset.parts["train"], *dataset.extra], dataset.parts["validation"])
    calibration = _calibrate(experiment, dataset, classifier, checkpoints)
    seconds = time.perf_counter() - start
    return Fitted(Model(dataset.codebook, classifier, calibration), seconds)


def checkpoint_folder(out: Path) -> Path:
    """Return the folder that holds the checkpoints of a run with output folder `out` until its training is complete."""
    return hidden_beside(out, "checkpoints")


def help_train(experiment: Experiment, out: Path) -> None:
    """Take part in training that another process leads, including cross-fitting, without writing outputs.

    The function returns at once for kinds that are trained in one process. An error is raised only after a pause: the
    leader most likely has the same error, and needs time to report it and clean up before the launcher ends all
    processes.
    """
    silence_libraries()
    if not classifier_class(experiment.model.kind).distributed:
        return
    try:
        fit_model(experiment, load_dataset(experiment), checkpoints=checkpoint_folder(out))
    except CommuniqueError:
        time.sleep(_SECONDS_FOR_THE_LEADER)
        raise


def _unfitted(experiment: Experiment, dataset: Dataset, checkpoints: Path | None) -> Classifier:
    classifier = build_classifier(experiment.model, dataset.codebook, experiment.seed)
    if isinstance(classifier, ResumableClassifier):
        classifier.checkpoints = checkpoints
    if init := getattr(experiment.model, "init", ""):
        from trainer.model.start import start_from

        start_from(classifier, fetch_artefact(init), init, [*dataset.parts["validation"], *dataset.parts["test"]])
    return classifier


def _calibrate(
    experiment: Experiment, dataset: Dataset, classifier: Classifier, checkpoints: Path | None
) -> Calibration:
    codebook, settings = dataset.codebook, experiment.calibration
    if isinstance(classifier, CalibratedClassifier):
        return classifier.calibration_
    if not classifier.needs_calibration:
        return not_calibrated(codebook)
    # Calibration needs examples that the model was not fitted to, because a model is overconfident on the others.
    if settings.crossfit:
        raw, gold = _crossfitted(experiment, dataset, checkpoints)
    else:
        raw, gold = _held_out(classifier, dataset.parts["validation"])
    return fit_calibration(raw, gold, codebook, method=settings.method, min_positives=settings.min_positives)


def _crossfitted(
    experiment: Experiment, dataset: Dataset, checkpoints: Path | None
) -> tuple[Probabilities, NDArray[np.bool_]]:
    """Return out-of-fold raw probabilities and gold of train and validation.

    The whole pipeline is refitted without each fold, always with the extra rows. For kinds that stop early, one of the
    other folds is used as validation.
    """
    pool = [*dataset.parts["train"], *dataset.parts["validation"]]
    n_folds = experiment.calibration.folds
    # Large groups are allowed, because folds may be uneven: no fold is a test set.
    folds = make_split(pool, [1 / n_folds] * n_folds, experiment.seed, allow_large=True)
    held_out = []
    for number, fold in enumerate(folds):
        # Each fold has its own checkpoints: a fold must never resume from a model that has learned its examples.
        own = checkpoints / f"fold-{number + 1}" if checkpoints else None
        classifier = _unfitted(experiment, dataset, own)
        # Early stopping on the held-out fold would choose the epoch that fits this fold best and bias the calibration.
        stop_by = folds[(number + 1) % n_folds] if classifier.stops_early else []
        rest = [example for part in folds if part is not fold and part is not stop_by for example in part]
        with progress_stage(f"Fold {number + 1} of {n_folds}"):
            classifier.fit([*rest, *dataset.extra], stop_by)
        held_out.append(_held_out(classifier, fold))  # no decisions yet: thresholds are tuned on all folds together
    raw, gold = zip(*held_out, strict=True)
    return np.concatenate(raw), np.concatenate(gold)


def _held_out(classifier: Classifier, examples: Sequence[Example]) -> tuple[Probabilities, NDArray[np.bool_]]:
    """Return raw probabilities and gold of examples that the classifier was not fitted to."""
    raw = classifier.predict_proba([example.text for example in examples])
    return raw, label_matrix(examples, classifier.labels)


def _refuse_other_calibration(experiment: Experiment) -> None:
    """Raise before fitting if calibration is configured for a classifier that calibrates itself with the defaults."""
    for key in ("method", "min_positives", "crossfit"):
        given = getattr(experiment.calibration, key)
        if given != getattr(CalibrationSection(), key):
            raise ExperimentError(
                f'calibration.{key} = {json.dumps(given)}: not supported for model.kind = "{experiment.model.kind}", '
                "whose models are calibrated with the defaults. Remove this key."
            )


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


def run_experiment(experiment: Experiment, out: Path, *, overwrite: bool = False, required: bool = True) -> RunResult:
    """Run an experiment.

    Writes `artefact/`, `report.json`, `report.html`, `predictions.parquet`, `split.json`, `plots/` and
    `tracking.json` to `out`. The
    folder is created only when all its files are complete. If tracking is on, all outputs are logged as one MLflow
    run. An interrupted `finetune` run resumes from checkpoints in a hidden folder if it is started again with the same
    `out`.

    Args:
        required: if true and tracking is on, MLflow must be available when the run starts. Errors of MLflow at the end
            are returned, not raised: the folder is complete, and `track_later` logs it.

    Raises:
        InputError: the data, the codebook or the model section are not valid, or `out` is not empty.
        TrackingError: MLflow is not available.
        DivergedError: the training loss became infinite or nan.
    """
    silence_libraries()
    # Checked now as well as at the end, because training may take hours.
    refuse_occupied(out, overwrite=overwrite, reads=files_read(experiment))
    if experiment.tracking.enabled and required:
        check_server()
    dataset = load_dataset(experiment)
    codebook = dataset.codebook
    check_settings(experiment.evaluation.prevalence, codebook)
    record = record_experiment("train", experiment, dataset)
    checkpoints = checkpoint_folder(out)
    # The output folder is closed inside the MLflow run: an error while the outputs are moved into place still ends the
    # run as FAILED. The outputs are logged only then, so that no error of MLflow can lose them.
    with sole_writer(out), open_run(record, enabled=experiment.tracking.enabled, required=required) as run:
        with output_folder(out, overwrite=overwrite) as draft:
            fitted = fit_model(experiment, dataset, checkpoints=checkpoints)
            model, report = _write_outputs(experiment, dataset, fitted, draft)
            record.save(draft)
        # Only now: if an output could not be written, the next call resumes from the checkpoints.
        shutil.rmtree(checkpoints, ignore_errors=True)
        tracked = run.finish(out)
    return RunResult(out, report, model, tracked)


def _write_outputs(experiment: Experiment, dataset: Dataset, fitted: Fitted, draft: Path) -> tuple[Model, Report]:
    """Write the artefact, split, report, predictions and plots; returns the saved model and its report on test."""
    artefact = draft / "artefact"
    artefact.mkdir()
    # Saved before it is evaluated: the report contains the model's id, which is a digest of the saved files.
    # Validation decides between models (leaderboard, champion), and `export` checks exported models on these rows.
    validation = predict_examples(fitted.model, dataset.parts["validation"])
    content = fitted_manifest(experiment, dataset, fitted, validation)
    manifest = save_artefact(artefact, content, dataset.codebook, fitted.model.classifier)
    model = replace(fitted.model, manifest=manifest)
    dataset.split.save(draft / "split.json")
    outcome, report = evaluate_model(model, dataset.parts["test"], experiment.evaluation, experiment.seed)
    test = Predicted(dataset.parts["test"], outcome.predicted, outcome.probabilities)
    report = report.extended(
        **_context(experiment, dataset, model, manifest),
        artefact_bytes=folder_size(artefact),
        train_seconds=fitted.seconds,
        validation_macro_f1=macro_f1(model.labels, validation),
    )
    report = write_report(draft, outcome, report, {"test": test, "validation": validation})
    sentences = hash_examples(test.examples)
    contents = Contents(experiment.name, report, test, outcome, sentences, manifest, dataset.codebook)
    _attempt_page(contents, draft / PAGE)
    return model, report


def _attempt_page(contents: Contents, path: Path) -> None:
    """Write the page of a report. `communique report` can write it later, so a failure must not cost the run."""
    try:
        write_page(contents, path)
    except OSError:
        raise
    except Exception as error:
        logger.warning("%s could not be written (%s: %s)", path.name, type(error).__name__, error)


def _context(experiment: Experiment, dataset: Dataset, model: Model, manifest: Manifest) -> dict[str, Any]:
    """Return the keys of a report that describe the experiment, data and model behind its figures."""
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
        "model_id": manifest.digest,
        "uncalibrated": uncalibrated,
        "notes": [*dataset.notes, *notes, *model.classifier.notes],
        "label_values": [asdict(value) for value in dataset.values],
        **{key: manifest.details[key] for key in ("certificate",) if key in manifest.details},
    }


def fitted_manifest(experiment: Experiment, dataset: Dataset, fitted: Fitted, validation: Predicted) -> Manifest:
    """Return the manifest of a fitted model; the digests of its files are added when the artefact is saved.

    Args:
        validation: the model's predictions for the validation part.
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
