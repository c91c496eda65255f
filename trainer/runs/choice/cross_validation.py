"""Cross-validation: every sentence is predicted by a model that was fitted without its fold, and figures are pooled.

The folds keep documents and near-duplicates together, or are the values of a column that are left out one at a time.
Each fold has its own validation part, cut from the rest, which tunes the thresholds and stops early; so neither the
model nor its thresholds know the fold. The saved model is fitted to everything. It is calibrated, and its thresholds
are tuned, on the raw probabilities of all folds: it is never calibrated on sentences that it has learned. The pooled
figures describe the models of the folds, which learned from fewer sentences, so they are slightly pessimistic for the
saved model.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from labels.environment.progress import progress_stage, report_progress
from labels.errors import ExperimentError
from trainer.calibration.calibration import Calibration, Probabilities, fit_calibration, not_calibrated
from trainer.classifiers.base import CalibratedClassifier, label_matrix
from trainer.config.experiment import Experiment
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.divisions import Fold
from trainer.data.predicted import Predicted
from trainer.data.splits import make_split
from trainer.environment import world_size
from trainer.evaluation.figures import FoldFigures
from trainer.evaluation.metrics import count, defined
from trainer.model.model import Model, folder_size
from trainer.runs.choice.sides import OUT_OF_FOLD
from trainer.runs.evaluate import outcome_of, report_on, write_report
from trainer.runs.fitting import Fitted, fit_model, refuse_other_calibration, unfitted
from trainer.runs.publication.material import Contents
from trainer.runs.run import RunResult, report_context, run_contents, run_tracked, save_fitted
from trainer.runs.tracking.tracker import ARTEFACT

_LEARNED_FROM = (
    "the figures are out-of-fold: each sentence was predicted by a model fitted without its fold; the saved model is "
    "made from all sentences"
)
_TUNED = ", and its thresholds are tuned on the probabilities of all folds"


def cross_validate(experiment: Experiment, out: Path, *, overwrite: bool = False) -> RunResult:
    """Run an experiment whose section [split] sets `folds` or `leave_one_out`.

    Writes the same files as `run_experiment`; the part of the predictions is "out-of-fold". In MLflow, the folds are
    runs below the run.

    Raises:
        InputError, TrackingError, DivergedError: as for `run_experiment`.
    """
    if world_size() > 1:
        raise ExperimentError("a cross-validation runs in one process: start it without torchrun or accelerate.")
    load = partial(load_dataset, experiment, folds=True)
    return run_tracked(experiment, out, load, _produce, overwrite=overwrite)


@dataclass(frozen=True)
class _FoldResult:
    """Predictions for the examples of a fold, with the raw probabilities (n, labels) before calibration."""

    figures: FoldFigures
    predicted: Predicted
    raw: Probabilities
    predict_seconds: float


def _produce(experiment: Experiment, dataset: Dataset, checkpoints: Path, draft: Path) -> tuple[Model, Contents]:
    """Fit the folds and the final model, and write the outputs; returns the saved model and the pooled results."""
    results = []
    for number, fold in enumerate(dataset.folds, start=1):
        # Each fold has its own checkpoints: a fold must never resume from a model that has learned its examples.
        with progress_stage(f"Fold {number} of {len(dataset.folds)}"):
            report_progress("Fitting", number - 1, len(dataset.folds))  # kinds that fit at once report nothing
            results.append(_fit_fold(experiment, dataset, fold, checkpoints / f"fold-{number}"))
    pooled = Predicted(
        [example for own in results for example in own.predicted.examples],
        np.concatenate([own.predicted.predicted for own in results]),
        np.concatenate([own.predicted.probabilities for own in results]),
    )
    with progress_stage("Final model"):
        report_progress("Fitting", len(dataset.folds), len(dataset.folds))
        fitted = _fit_all(experiment, dataset, results, pooled, checkpoints / "final")
    model = save_fitted(experiment, dataset, fitted, pooled, draft)
    outcome = outcome_of(model, pooled)
    report = report_on(model, outcome, pooled.examples, experiment.evaluation, experiment.seed)
    context = report_context(experiment, dataset, model)
    tuned = _tunes_thresholds(model) and set(context["uncalibrated"]) != set(model.labels)
    report = report.extended(
        **context | {"notes": [_LEARNED_FROM + (_TUNED if tuned else ""), *context["notes"]]},
        artefact_bytes=folder_size(draft / ARTEFACT),
        sentences_per_second=len(pooled.examples) / sum(own.predict_seconds for own in results),
        train_seconds=fitted.seconds + sum(own.figures.train_seconds for own in results),
        # The figure by which runs are ranked and chosen: here, the pooled one.
        validation_macro_f1=report.macro_f1,
        basis=OUT_OF_FOLD,
        folds=[own.figures.model_dump() for own in results],
    )
    report = write_report(draft, outcome, report, {OUT_OF_FOLD: pooled})
    return model, run_contents(model, experiment.name, report, pooled, outcome)


def _tunes_thresholds(model: Model) -> bool:
    """Whether the folds tune the thresholds of the saved model; not if it has none, or finds its own."""
    own = isinstance(model.classifier, CalibratedClassifier) or not model.classifier.needs_calibration
    return not own and not model.codebook.exclusive


def _fit_fold(experiment: Experiment, dataset: Dataset, fold: Fold, checkpoints: Path) -> _FoldResult:
    fitted = fit_model(experiment, replace(dataset, parts=fold.parts, folds=()), checkpoints=checkpoints)
    model, examples = fitted.model, fold.parts["test"]
    start = time.perf_counter()
    raw = model.classifier.predict_proba([example.text for example in examples])
    probabilities = model.calibrated(raw)
    seconds = time.perf_counter() - start
    predicted = Predicted(examples, model.decide(probabilities), probabilities)
    thresholds = dict(zip(model.labels, model.calibration.thresholds.tolist(), strict=True))
    counts = count(label_matrix(examples, model.labels), predicted.predicted)
    figures = FoldFigures(
        name=fold.name,
        column=experiment.split.by if experiment.split.leave_one_out else "",
        thresholds=None if model.codebook.exclusive else thresholds,
        n_train=len(fold.parts["train"]),
        n_validation=len(fold.parts["validation"]),
        n_test=len(examples),
        macro_f1=defined(counts.macro_f1),
        micro_f1=defined(counts.micro_f1),
        per_label_f1=dict(zip(model.labels, map(defined, counts.f1), strict=True)),
        train_seconds=fitted.seconds,
    )
    return _FoldResult(figures, predicted, raw, seconds)


def _fit_all(
    experiment: Experiment, dataset: Dataset, results: Sequence[_FoldResult], pooled: Predicted, checkpoints: Path
) -> Fitted:
    """Fit the model to all examples, and calibrate it on the raw probabilities of the folds.

    Kinds that stop early, or calibrate themselves, need examples that they are not fitted to: a share of
    `calibration.holdout` is held out for this, by document.
    """
    start = time.perf_counter()
    train, validation = dataset.parts["train"], []
    # A model to start from must know none of the examples: each is tested in a fold.
    tested = replace(dataset, parts={"train": [], "validation": [], "test": train})
    classifier = unfitted(experiment, tested, checkpoints)
    if classifier.stops_early or isinstance(classifier, CalibratedClassifier):
        share = experiment.calibration.holdout
        train, validation = make_split(train, (1 - share, share), experiment.seed, allow_large=True)
    if isinstance(classifier, CalibratedClassifier):
        refuse_other_calibration(experiment)
    classifier.fit([*train, *dataset.extra], validation)
    if isinstance(classifier, CalibratedClassifier):
        calibration = classifier.calibration_
    elif classifier.needs_calibration:
        calibration = _pooled_calibration(experiment, dataset, results, pooled)
    else:
        calibration = not_calibrated(dataset.codebook)
    return Fitted(Model(dataset.codebook, classifier, calibration), time.perf_counter() - start)


def _pooled_calibration(
    experiment: Experiment, dataset: Dataset, results: Sequence[_FoldResult], pooled: Predicted
) -> Calibration:
    settings, codebook = experiment.calibration, dataset.codebook
    raw = np.concatenate([own.raw for own in results])
    gold = label_matrix(pooled.examples, codebook.label_names)
    return fit_calibration(raw, gold, codebook, method=settings.method, min_positives=settings.min_positives)
