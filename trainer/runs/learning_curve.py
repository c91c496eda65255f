"""Runs of a learning curve: one kind of model fitted to nested subsets of train and validation.

A run computes figures, writes files and logs them to MLflow. Train and validation shrink together, because a small
labelled set also leaves few examples for calibration. Subsets consist of whole groups in a seeded order; each subset
contains all smaller subsets. All models are tested on the same examples.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.environment.progress import progress_to, report_progress
from labels.errors import CommuniqueError, ExperimentError, counted
from labels.output.drafts import sole_writer, write_whole
from labels.output.folders import output_folder, refuse_occupied
from labels.output.table_files import write_csv_table
from labels.records import Example
from trainer.classifiers.base import CalibratedClassifier, label_matrix
from trainer.config.experiment import Experiment
from trainer.data.dataset import Dataset, absent_labels, files_read, load_dataset
from trainer.data.splits import PARTS, group_examples
from trainer.environment import silence_libraries, world_size
from trainer.evaluation.curve_figures import (
    CurveCounts,
    CurveFigures,
    CurveFit,
    CurvePoint,
    LearningCurve,
    drawn_figures,
    figure,
    look_ahead,
    measured_figures,
)
from trainer.evaluation.metrics import Counts, group_counts
from trainer.evaluation.plots import attempt_plots, draw_learning_curve
from trainer.model.model import Model
from trainer.runs.evaluate import predict_examples
from trainer.runs.fitting import fit_model
from trainer.runs.tracking.connection import check_server
from trainer.runs.tracking.record import UNTRACKED, Tracked, record_experiment
from trainer.runs.tracking.track import open_run

REPEATS = 3
SIZES = 6
MORE = 200
"""Number of additional labelled sentences for which the gain is estimated."""
HANDFUL = 5
"""Number of examples of the rarest label that the smallest subset should have."""
_FEWEST = 20
"""Number of examples that the smallest subset should have."""
_LARGEST_START = 0.25
FILES = ("learning_curve.json", "learning_curve.csv")


def curve_shares(gold: NDArray[np.bool_], n_groups: int, number: int) -> list[float]:
    """Return up to `number` shares of the groups, in (0, 1] and in geometric steps.

    The shares rise from a handful of examples per label to all groups. The first share is at most a quarter, so that
    there is a curve even if labels are rare; rare labels may then be missing from the first subset. Shares differ by at
    least one group.

    Args:
        gold: gold labels of shape (n, labels).
    """
    rarest = max(int(gold.sum(axis=0).min()), 1)
    start = min(max(_FEWEST / len(gold), HANDFUL / rarest), _LARGEST_START)
    # Geometric steps, because the score changes less and less as the set grows: equal steps would waste fits.
    counts = {round(count) for count in np.geomspace(max(start * n_groups, 1), n_groups, number)}
    return [count / n_groups for count in sorted(counts)]


def nested_subsets(
    examples: Sequence[Example], groups: Sequence[int], shares: Sequence[float], seed: int
) -> list[list[Example]]:
    """Return one subset of the examples per share, in the order of `examples`.

    Groups are taken in a seeded order that is the same for all shares: each subset contains all smaller subsets. A
    subset has at least one group if there are any examples.

    Args:
        groups: group number of each example.
        shares: shares of the groups, in (0, 1].
    """
    # Whole groups, as in every other division: a sentence in train must not help to calibrate on its near-duplicate.
    order = np.random.default_rng(seed).permutation(sorted(set(groups)))
    wanted = [max(round(share * len(order)), 1) for share in shares]
    rank = {int(group): position for position, group in enumerate(order)}
    return [
        [example for example, group in zip(examples, groups, strict=True) if rank[group] < count] for count in wanted
    ]


def learning_curve(
    experiment: Experiment,
    dataset: Dataset,
    *,
    repeats: int = REPEATS,
    sizes: int = SIZES,
) -> LearningCurve:
    """Fit, calibrate and test the experiment's model on nested subsets of train and validation.

    At the largest size, repeats have the same examples and differ only in the model's seed.

    Args:
        repeats: number of orders of the groups.
        sizes: number of subsets per order, in geometric steps up to all examples, which is the set that `train` fits.

    Raises:
        ExperimentError: the model could not be fitted at any size.
    """
    fits = fit_subsets(experiment, dataset, repeats=repeats, sizes=sizes)
    problems = sorted({fit.problem for row in fits for fit in row})
    if "" not in problems:
        raise ExperimentError(f"{dataset.source}: the model could not be fitted at any size: {'; '.join(problems)}.")
    settings = experiment.evaluation
    counts = _stacked(fits)
    n_groups = counts.counts.tp.shape[2]
    enough = n_groups >= settings.min_groups
    missing = (
        "" if enough else f"{counted(n_groups, 'test group')}, fewer than {settings.min_groups}: too few to resample"
    )
    measured = measured_figures(counts)
    drawn = drawn_figures(counts, draws=settings.bootstrap, seed=experiment.seed) if enough else None
    labelled = len(dataset.parts["train"]) + len(dataset.parts["validation"])
    outlook, reason = look_ahead(measured, drawn, labelled=labelled, more=MORE, confidence=settings.confidence)
    return LearningCurve(
        experiment=experiment.name,
        kind=experiment.model.kind,
        seed=experiment.seed,
        data=dataset.source,
        synthetic=dataset.synthetic,
        split_hash=dataset.split.hash,
        labels=dataset.codebook.label_names,
        n_test=len(dataset.parts["test"]),
        n_groups=n_groups,
        confidence=settings.confidence,
        points=_points(fits, measured, drawn, dataset.codebook.label_names, settings.confidence),
        outlook=outlook,
        reason=reason,
        intervals_reason=missing,
        notes=dataset.notes,
        label_values=dataset.values,
    )


def _stacked(fits: Sequence[Sequence[CurveFit]]) -> CurveCounts:
    """Stack the counts of all fits into arrays; a fit without counts has zeros."""
    shape = next(fit.counts.tp.shape for row in fits for fit in row if fit.counts)
    none = Counts(*np.zeros((3, *shape)))
    by_kind = ([[getattr(fit.counts or none, kind) for fit in row] for row in fits] for kind in ("tp", "fp", "fn"))
    return CurveCounts(
        counts=Counts(*map(np.array, by_kind)),
        fitted=np.array([[fit.counts is not None for fit in row] for row in fits]),
        labelled=np.array([[float(fit.train + fit.validation) for fit in row] for row in fits]),
    )


def _points(
    fits: Sequence[Sequence[CurveFit]],
    measured: CurveFigures,
    drawn: CurveFigures | None,
    labels: Sequence[str],
    confidence: float,
) -> tuple[CurvePoint, ...]:
    points = []
    for size, own in enumerate(zip(*fits, strict=True)):
        # If no fit of this size was possible, the sizes of the failed fits still tell where the gap in the curve is.
        usable = [fit for fit in own if not fit.problem] or own
        train, validation = (round(np.mean([getattr(fit, part) for fit in usable])) for part in ("train", "validation"))
        macro_f1 = figure(measured.macro_f1[0, size], drawn.macro_f1[:, size] if drawn else None, confidence)
        per_label = {
            label: figure(measured.per_label[0, size, i], drawn.per_label[:, size, i] if drawn else None, confidence)
            for i, label in enumerate(labels)
        }
        points.append(CurvePoint(train + validation, train, validation, macro_f1, per_label, own))
    return tuple(points)


def fit_subsets(experiment: Experiment, dataset: Dataset, *, repeats: int, sizes: int) -> list[list[CurveFit]]:
    """Fit the model to all subsets; returns one list of fits, by size, per repeat.

    Each repeat has its own order of the groups and its own seed. The first repeat has the experiment's seed.
    """
    # Large groups are allowed: the dataset is already split, and here they only make the steps of the curve uneven.
    groups = {part: group_examples(dataset.parts[part], allow_large=True) for part in PARTS}
    gold = label_matrix(dataset.parts["train"], dataset.codebook.label_names)
    shares = curve_shares(gold, len(set(groups["train"])), sizes)
    fits: list[list[CurveFit]] = []
    for repeat in range(repeats):
        # The seed also changes the order of the examples and the initial weights, so that the repeats show all the
        # variation between training runs.
        seeded = experiment.model_copy(update={"seed": experiment.seed + repeat})
        train, validation = (
            nested_subsets(dataset.parts[part], groups[part], shares, seeded.seed) for part in ("train", "validation")
        )
        fits.append([])
        for size in range(len(shares)):
            part = replace(dataset, parts={**dataset.parts, "train": train[size], "validation": validation[size]})
            with progress_to(None):  # a progress bar for each of many small fits would not be informative
                fits[-1].append(_fit(seeded, part, groups["test"], repeat))
            report_progress("Fitting subsets", repeat * len(shares) + size + 1, repeats * len(shares))
    return fits


def _fit(experiment: Experiment, dataset: Dataset, groups: Sequence[int], repeat: int) -> CurveFit:
    """Fit and test one model; if the model cannot be fitted, the result has a `problem`."""
    train, validation, test = (dataset.parts[part] for part in PARTS)
    fit = CurveFit(repeat, len(train), len(validation))
    # Small subsets may lack a label or have no validation sentences: a gap in the curve, not an error.
    problem = _problem(dataset)
    if problem:
        return replace(fit, problem=problem)
    start = time.perf_counter()
    try:
        model = fit_model(experiment, dataset).model
    except (CommuniqueError, ValueError) as error:  # scikit-learn raises ValueError if there are too few data
        return replace(fit, problem=str(error).splitlines()[0])
    seconds = time.perf_counter() - start
    counts = group_counts(label_matrix(test, model.labels), predict_examples(model, test).predicted, groups)
    return replace(fit, counts=counts, uncalibrated=_with_too_few(experiment, model), seconds=seconds)


def _with_too_few(experiment: Experiment, model: Model) -> int:
    """Count the labels with too few validation positives for calibration; 0 if calibration is switched off."""
    calibrated = model.classifier.needs_calibration or isinstance(model.classifier, CalibratedClassifier)
    if experiment.calibration.method == "none" or not calibrated:
        return 0
    return sum(label.positives < experiment.calibration.min_positives for label in model.calibration.labels)


def _problem(dataset: Dataset) -> str:
    """Return the reason for which `communique train` would refuse these data; empty if there is none."""
    if absent := absent_labels(dataset.codebook, dataset.parts["train"]):
        return f"no train sentence has the label {', '.join(absent)}"
    return "" if dataset.parts["validation"] else "there is no validation sentence"


@dataclass(frozen=True)
class CurveResult:
    """A curve, its folder, and the place of its run in MLflow."""

    folder: Path
    curve: LearningCurve
    tracked: Tracked = UNTRACKED

    @property
    def run_id(self) -> str:
        """Id of the MLflow run; empty if the run is not tracked."""
        return self.tracked.run_id


def run_learning_curve(experiment: Experiment, out: Path, *, overwrite: bool = False) -> CurveResult:
    """Compute an experiment's learning curve; write `learning_curve.json`, `learning_curve.csv` and `plots/` to `out`.

    The folder is created only when all its files are complete. If tracking is on, the curve is logged as one run of the
    MLflow experiment `NAME-learning-curves`, separate from the experiment that the leaderboard shows.

    Raises:
        InputError: the data or the model section do not allow a learning curve, or `out` is not empty.
        TrackingError: MLflow is not available at the start. Later errors of MLflow are returned.
    """
    silence_libraries()
    # Each process would fit the whole curve: only the training of one model can be distributed.
    if world_size() > 1:
        raise ExperimentError("a learning curve runs in one process: start it without torchrun or accelerate.")
    refuse_occupied(out, overwrite=overwrite, reads=files_read(experiment))
    if experiment.tracking.enabled:
        check_server()
    dataset = load_dataset(experiment)
    record = record_experiment("learning-curve", experiment, dataset, beside="learning-curves")
    with sole_writer(out), open_run(record, enabled=experiment.tracking.enabled) as run:
        with output_folder(out, overwrite=overwrite) as draft:
            curve = learning_curve(experiment, dataset)
            curve = _write(curve, draft)
            record.save(draft)
        tracked = run.finish(out)
    return CurveResult(out, curve, tracked)


def _write(curve: LearningCurve, folder: Path) -> LearningCurve:
    """Write the curve as JSON, all fits as CSV (one row per fit), and the plot.

    Returns:
        The curve as written, with a note if the plot could not be drawn.
    """
    (folder / "plots").mkdir()
    drawn, plot = curve, folder / "plots" / "learning_curve.png"
    curve = replace(curve, notes=(*curve.notes, *attempt_plots(lambda: draw_learning_curve(drawn, plot))))
    rows = [[_row(curve, fit) for fit in point.fits] for point in curve.points]
    # The counts of a fit are arrays, which JSON cannot store: the fits are removed first, then added as plain rows.
    content = asdict(replace(curve, points=tuple(replace(point, fits=()) for point in curve.points)))
    for point, own in zip(content["points"], rows, strict=True):
        point["fits"] = own
    table = [{"labelled": point.labelled} | row for point, own in zip(curve.points, rows, strict=True) for row in own]
    write_whole(folder / FILES[0], [json.dumps(content, indent=1) + "\n"])
    write_csv_table(folder / FILES[1], table)
    return curve


def _row(curve: LearningCurve, fit: CurveFit) -> dict[str, Any]:
    per_label = fit.per_label_f1 or (None,) * len(curve.labels)
    return {
        "repeat": fit.repeat,
        "train": fit.train,
        "validation": fit.validation,
        "macro_f1": fit.macro_f1,
        **{f"f1:{label}": f1 for label, f1 in zip(curve.labels, per_label, strict=True)},
        "uncalibrated": fit.uncalibrated,
        "seconds": fit.seconds,
        "problem": fit.problem,
    }
