"""The fits of a learning curve: one model on nested subsets of train and validation, tested on the same examples.

Train and validation shrink together, because a small labelled set leaves little to calibrate on, too. Subsets are whole
groups in a seeded order, the smaller inside the larger.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from labels.errors import CommuniqueError
from labels.progress import progress_to, report_progress
from labels.records import Example
from trainer.calibration.calibration import Floats
from trainer.classifiers.base import CalibratedClassifier, label_matrix
from trainer.config.experiment import Experiment
from trainer.data.dataset import Dataset
from trainer.data.splits import group_examples
from trainer.evaluation.curve_figures import group_counts
from trainer.evaluation.metrics import Counts
from trainer.model.model import Model
from trainer.runs.run import fit_model

HANDFUL = 5
"""Examples of the rarest label that the smallest subset is meant to hold."""
_FEWEST = 20
_LARGEST_START = 0.25


def curve_shares(gold: NDArray[np.bool_], n_groups: int, number: int) -> list[float]:
    """Shares of the groups in (0, 1], up to `number` in geometric steps: from a handful of each label to everything.

    `gold` is (n, labels). The first share is a quarter at most, so that there is a curve even where labels are rare;
    they may be missing from it then. All shares differ by a group at least.
    """
    rarest = max(int(gold.sum(axis=0).min()), 1)
    start = min(max(_FEWEST / len(gold), HANDFUL / rarest), _LARGEST_START)
    counts = {round(count) for count in np.geomspace(max(start * n_groups, 1), n_groups, number)}
    return [count / n_groups for count in sorted(counts)]


def nested_subsets(
    examples: Sequence[Example], groups: Sequence[int], shares: Sequence[float], seed: int
) -> list[list[Example]]:
    """For each share the examples of that share of the groups, in their own order.

    `groups` holds the group number of each example; at least one group is taken where there is one. Groups are taken in
    a seeded order, the same for all shares, so that each subset holds every smaller one.
    """
    order = np.random.default_rng(seed).permutation(sorted(set(groups)))
    wanted = [max(round(share * len(order)), 1) for share in shares]
    rank = {int(group): position for position, group in enumerate(order)}
    return [
        [example for example, group in zip(examples, groups, strict=True) if rank[group] < count] for count in wanted
    ]


@dataclass(frozen=True)
class CurveFit:
    """One model, fitted to `train` and calibrated on `validation` sentences; `problem` says why it could not be.

    counts: (test groups, labels), None where it could not be fitted. `uncalibrated` labels had too few validation
    positives to be calibrated.
    """

    repeat: int
    train: int
    validation: int
    counts: Counts | None = None
    uncalibrated: int = 0
    seconds: float = 0.0
    problem: str = ""

    @property
    def macro_f1(self) -> float | None:
        """Macro-F1 on test; None where undefined or not fitted."""
        return None if self.counts is None else _plain(self._whole.macro_f1)

    @property
    def per_label_f1(self) -> tuple[float | None, ...]:
        """F1 of each label on test; empty where it could not be fitted."""
        return () if self.counts is None else tuple(map(_plain, self._whole.f1))

    @property
    def _whole(self) -> Counts:
        assert self.counts is not None
        return Counts(self.counts.tp.sum(axis=0), self.counts.fp.sum(axis=0), self.counts.fn.sum(axis=0))


def fit_subsets(experiment: Experiment, dataset: Dataset, *, repeats: int, sizes: int) -> list[list[CurveFit]]:
    """(repeats, sizes) fits, each repeat with an order of the groups and a seed of its own; the first has the
    experiment's."""
    groups = {part: group_examples(dataset.parts[part], allow_large=True) for part in ("train", "validation", "test")}
    gold = label_matrix(dataset.parts["train"], dataset.codebook.label_names)
    shares = curve_shares(gold, len(set(groups["train"])), sizes)
    fits: list[list[CurveFit]] = []
    for repeat in range(repeats):
        seeded = experiment.model_copy(update={"seed": experiment.seed + repeat})
        train, validation = (
            nested_subsets(dataset.parts[part], groups[part], shares, seeded.seed) for part in ("train", "validation")
        )
        fits.append([])
        for size in range(len(shares)):
            part = replace(dataset, parts={**dataset.parts, "train": train[size], "validation": validation[size]})
            with progress_to(None):  # a bar that runs from 0 to 100% for each of many small fits says nothing
                fits[-1].append(_fit(seeded, part, groups["test"], repeat))
            report_progress("Fitting subsets", repeat * len(shares) + size + 1, repeats * len(shares))
    return fits


def _fit(experiment: Experiment, dataset: Dataset, groups: Sequence[int], repeat: int) -> CurveFit:
    """Fit and test one model; a model that cannot be fitted is a result, too."""
    train, validation, test = (dataset.parts[part] for part in ("train", "validation", "test"))
    fit = CurveFit(repeat, len(train), len(validation))
    problem = _problem(dataset)
    if problem:
        return replace(fit, problem=problem)
    start = time.perf_counter()
    try:
        model = fit_model(experiment, dataset).model
    except (CommuniqueError, ValueError) as error:  # a ValueError is how scikit-learn says that data are too few
        return replace(fit, problem=str(error).splitlines()[0])
    seconds = time.perf_counter() - start
    predicted = model.decide(model.predict_proba([example.text for example in test]))
    counts = group_counts(label_matrix(test, model.labels), predicted, groups)
    return replace(fit, counts=counts, uncalibrated=_with_too_few(experiment, model), seconds=seconds)


def _with_too_few(experiment: Experiment, model: Model) -> int:
    """How many labels had too few validation positives to be calibrated; 0 if calibration is switched off."""
    calibrated = model.classifier.needs_calibration or isinstance(model.classifier, CalibratedClassifier)
    if experiment.calibration.method == "none" or not calibrated:
        return 0
    return sum(label.positives < experiment.calibration.min_positives for label in model.calibration.labels)


def _problem(dataset: Dataset) -> str:
    """What `communique train` would refuse in these data, or nothing."""
    there = {label for example in dataset.parts["train"] for label in example.labels}
    absent = [label for label in dataset.codebook.label_names if label not in there]
    if absent:
        return f"no train sentence has the label {', '.join(absent)}"
    return "" if dataset.parts["validation"] else "there is no validation sentence"


def _plain(value: float | Floats) -> float | None:
    return None if math.isnan(value) else float(value)
