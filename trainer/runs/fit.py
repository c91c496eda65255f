"""Fit a classifier to a dataset and calibrate it, on validation or on the folds of a cross-validation."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labels.errors import CommuniqueError, ExperimentError
from labels.progress import progress_stage
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
from trainer.config.experiment import CalibrationSection, Experiment
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.splits import make_split
from trainer.environment import silence_libraries
from trainer.model.model import Model

_SECONDS_FOR_THE_LEADER = 10.0
"""How long a follower waits, so that the leading process can report an error first."""


@dataclass(frozen=True)
class Fitted:
    """A model and how long its fitting took."""

    model: Model
    seconds: float


def fit_model(experiment: Experiment, dataset: Dataset, *, checkpoints: Path | None = None) -> Fitted:
    """Fit and calibrate; the seconds count both, cross-fitting included.

    Args:
        checkpoints: where an interrupted training resumes, for kinds that can, with a folder for each fold;
            None: it starts from the beginning.
    """
    start = time.perf_counter()
    classifier = _unfitted(experiment, dataset, checkpoints)
    if isinstance(classifier, CalibratedClassifier):
        _refuse_other_calibration(experiment)
    classifier.fit(dataset.parts["train"], dataset.parts["validation"])
    calibration = _calibrate(experiment, dataset, classifier, checkpoints)
    seconds = time.perf_counter() - start
    return Fitted(Model(dataset.codebook, classifier, calibration), seconds)


def checkpoint_folder(out: Path) -> Path:
    """Where the training of a run with output folder `out` keeps its checkpoints until it is done."""
    return out.with_name(f".{out.name}.checkpoints")


def help_train(experiment: Experiment, out: Path) -> None:
    """Take part in the trainings that another process leads, cross-fitting included, and do nothing else.

    Kinds that one process trains are left to the leader. An error is raised only after a pause: the leader most likely
    meets it too, and should report it and tidy up before the launcher ends all processes.
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
    if settings.crossfit:
        raw, gold = _crossfitted(experiment, dataset, checkpoints)
    else:
        raw, gold = _held_out(classifier, dataset.parts["validation"])
    return fit_calibration(raw, gold, codebook, method=settings.method, min_positives=settings.min_positives)


def _crossfitted(
    experiment: Experiment, dataset: Dataset, checkpoints: Path | None
) -> tuple[Probabilities, NDArray[np.bool_]]:
    """Out-of-fold raw probabilities of train and validation, and gold: the whole pipeline is refitted without each
    fold, and of the others one is validation for kinds that stop early.
    """
    pool = [*dataset.parts["train"], *dataset.parts["validation"]]
    n_folds = experiment.calibration.folds
    folds = make_split(pool, [1 / n_folds] * n_folds, experiment.seed, allow_large=True)
    held_out = []
    for number, fold in enumerate(folds):
        own = checkpoints / f"fold-{number + 1}" if checkpoints else None
        classifier = _unfitted(experiment, dataset, own)
        stop_by = folds[(number + 1) % n_folds] if classifier.stops_early else []
        rest = [example for part in folds if part is not fold and part is not stop_by for example in part]
        with progress_stage(f"Fold {number + 1} of {n_folds}"):
            classifier.fit(rest, stop_by)
        held_out.append(_held_out(classifier, fold))
    raw, gold = zip(*held_out, strict=True)
    return np.concatenate(raw), np.concatenate(gold)


def _held_out(classifier: Classifier, examples: Sequence[Example]) -> tuple[Probabilities, NDArray[np.bool_]]:
    """Raw probabilities and gold of examples that the classifier was not fitted to."""
    raw = classifier.predict_proba([example.text for example in examples])
    return raw, label_matrix(examples, classifier.labels)


def _refuse_other_calibration(experiment: Experiment) -> None:
    """Before anything is fitted: a classifier that calibrates itself does it by the defaults."""
    for key in ("method", "min_positives", "crossfit"):
        given = getattr(experiment.calibration, key)
        if given != getattr(CalibrationSection(), key):
            raise ExperimentError(
                f'calibration.{key} = {json.dumps(given)}: not offered for model.kind = "{experiment.model.kind}", '
                "whose models are calibrated by the defaults. Take this key out."
            )
