"""Fit the model of an experiment: the classifier, and its calibration on examples that it was not fitted to."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labels.environment.progress import progress_stage
from labels.errors import ExperimentError
from labels.records import Example
from trainer.calibration.calibration import Calibration, Probabilities, fit_calibration, not_calibrated
from trainer.classifiers.base import (
    CalibratedClassifier,
    Classifier,
    ResumableClassifier,
    UnlabelledClassifier,
    build_classifier,
    label_matrix,
)
from trainer.config.experiment import Experiment
from trainer.config.sections import CalibrationSection
from trainer.data.dataset import Dataset, unlabelled_texts
from trainer.data.splits import make_split
from trainer.model.model import Model
from trainer.runs.tracking.registry import fetch_artefact


@dataclass(frozen=True)
class Fitted:
    """A fitted model, and the time in seconds that fitting and calibration took."""

    model: Model
    seconds: float


def fit_model(experiment: Experiment, dataset: Dataset, *, checkpoints: Path | None = None) -> Fitted:
    """Fit and calibrate an experiment's model; the measured time includes cross-fitting.

    Args:
        checkpoints: folder from which kinds that can resume do so, with a subfolder per fold; None to start anew.
    """
    start = time.perf_counter()
    classifier = unfitted(experiment, dataset, checkpoints)
    # Before `fit`: a setting without effect must be reported at once, not after hours of training.
    if isinstance(classifier, CalibratedClassifier):
        refuse_other_calibration(experiment)
    classifier.fit([*dataset.parts["train"], *dataset.extra], dataset.parts["validation"])
    calibration = _calibrate(experiment, dataset, classifier, checkpoints)
    seconds = time.perf_counter() - start
    return Fitted(Model(dataset.codebook, classifier, calibration), seconds)


def unfitted(experiment: Experiment, dataset: Dataset, checkpoints: Path | None) -> Classifier:
    """Return the unfitted classifier of an experiment, which resumes from a folder if its kind can resume."""
    classifier = build_classifier(experiment.model, dataset.codebook, experiment.seed)
    if isinstance(classifier, ResumableClassifier):
        classifier.checkpoints = checkpoints
    if isinstance(classifier, UnlabelledClassifier):
        classifier.unlabelled = unlabelled_texts(experiment, dataset)
    if init := getattr(experiment.model, "init", ""):
        from trainer.model.start import start_from

        start_from(classifier, fetch_artefact(init), init, [*dataset.parts["validation"], *dataset.parts["test"]])
    return classifier


def _calibrate(
    experiment: Experiment,
    dataset: Dataset,
    classifier: Classifier,
    checkpoints: Path | None,
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
    """Return raw probabilities and gold of train and validation, from a pipeline refitted without each fold.

    The extra rows are always learned. For kinds that stop early, one of the other folds is used as validation.
    """
    pool = [*dataset.parts["train"], *dataset.parts["validation"]]
    n_folds = experiment.calibration.folds
    # Large groups are allowed, because folds may be uneven: no fold is a test set.
    folds = make_split(pool, [1 / n_folds] * n_folds, experiment.seed, allow_large=True)
    held_out = []
    for number, fold in enumerate(folds):
        # Each fold has its own checkpoints: a fold must never resume from a model that has learned its examples.
        own = checkpoints / f"fold-{number + 1}" if checkpoints else None
        classifier = unfitted(experiment, dataset, own)
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


def refuse_other_calibration(experiment: Experiment) -> None:
    """Raise before fitting if calibration is configured for a classifier that calibrates itself with the defaults."""
    for key in ("method", "min_positives", "crossfit"):
        given = getattr(experiment.calibration, key)
        if given != getattr(CalibrationSection(), key):
            raise ExperimentError(
                f'calibration.{key} = {json.dumps(given)}: not supported for model.kind = "{experiment.model.kind}", '
                "whose models are calibrated with the defaults. Remove this key."
            )
