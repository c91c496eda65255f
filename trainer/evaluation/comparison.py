"""Comparison of two models on the same labelled examples: paired differences in F1, with intervals and tests.

Both models answer the same sentences, so their errors resemble each other, and the difference is far better known than
either score. The unit is the group (a document, or documents that share near-duplicates). Everything is computed from
arrays; this module does not use models.

The interval and the test are one method and never contradict each other: a delete-one-group jackknife of the
difference, with Student's t. Its degrees of freedom count the groups in which the models differ, not all groups:
two models that differ in three documents are compared on three documents. `experiments/benchmarks/comparison.py`
simulates both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from labels.errors import counted
from trainer.calibration.calibration import Bools, Floats
from trainer.evaluation.metrics import Counts, defined, group_counts

MIN_POSITIVES = 30
"""A label with fewer gold positives is not decided singly, but in one group with the other rare labels."""
MIN_GROUPS = 20
"""With fewer groups there are no intervals and no tests."""
MACRO_F1, RARE_LABELS = "macro_f1", "rare labels"


@dataclass(frozen=True)
class Difference:
    """The difference between two models (second minus first) in one figure, in [-1, 1].

    Attributes:
        name: the label, `MACRO_F1` or `RARE_LABELS`.
        first, second: the F1 of each model; None if undefined.
        positives: number of gold positives.
        effect: second - first; None if one of them is undefined.
        low, high: bounds of the interval; None if there is none, for the given `reason`.
        p: two-sided p value of "no difference"; None if there is no interval.
        adjusted_p: p after Holm's correction over the labels that are decided; None for macro-F1 and rare labels.
        labels: the labels behind the figure.
    """

    name: str
    first: float | None
    second: float | None
    positives: int
    effect: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    adjusted_p: float | None = None
    reason: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """All differences between two models on `n` examples in `n_groups` groups.

    Attributes:
        macro_f1: the difference in macro-F1 over the labels that occur in gold.
        decided: differences that are decided singly: the labels with at least `min_positives` positives, in label
            order, then the pooled group of the rarer labels, if any of them occurs. Holm's family.
        rare: figures of the single labels in the pooled group, without intervals.
    """

    n: int
    n_groups: int
    confidence: float
    min_positives: int
    macro_f1: Difference
    decided: tuple[Difference, ...]
    rare: tuple[Difference, ...]


def compare_predictions(
    labels: Sequence[str],
    gold: Bools,
    first: Bools,
    second: Bools,
    groups: Sequence[int],
    *,
    confidence: float = 0.95,
    min_positives: int = MIN_POSITIVES,
    min_groups: int = MIN_GROUPS,
) -> Comparison:
    """Compare the predictions of two models for the same n >= 1 examples.

    Args:
        gold, first, second: gold and the predictions of the two models, each of shape (n, labels).
        groups: the group number of each example, of shape (n,).
        confidence: confidence level of each interval by itself, in (0, 1).
    """
    pair = _Pair(group_counts(gold, first, groups), group_counts(gold, second, groups), confidence, min_groups)
    positives = gold.sum(axis=0)
    frequent = [i for i in range(len(labels)) if positives[i] >= min_positives]
    rare = [i for i in range(len(labels)) if positives[i] < min_positives]
    present = [i for i in range(len(labels)) if positives[i] > 0]

    def difference(name: str, columns: Sequence[int], *, pooled: bool = False) -> Difference:
        made = pair.difference(name, columns, pooled=pooled)
        return replace(made, positives=int(positives[columns].sum()), labels=tuple(labels[i] for i in columns))

    decided = [difference(labels[i], [i]) for i in frequent]
    if any(positives[i] for i in rare):
        decided.append(difference(RARE_LABELS, rare, pooled=True))
    few = f"fewer than {counted(min_positives, 'positive')}: tested only together with the other rare labels"
    return Comparison(
        n=len(gold),
        n_groups=len(set(groups)),
        confidence=confidence,
        min_positives=min_positives,
        macro_f1=difference(MACRO_F1, present),
        decided=tuple(holm(decided)),
        rare=tuple(_figures_only(difference(labels[i], [i]), few) for i in rare),
    )


def _figures_only(difference: Difference, reason: str) -> Difference:
    return replace(difference, low=None, high=None, p=None, reason=reason)


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """Return the differences with p values adjusted for their number; differences without p stay unchanged.

    Rejecting where the adjusted p is at most 5% keeps the chance of any false rejection at 5%.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    adjusted = holm_adjusted([own.p for own in differences])
    return [replace(own, adjusted_p=p) for own, p in zip(differences, adjusted, strict=True)]


def holm_adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p values adjusted for their number, in their order; None stays None and does not count. See `holm`."""
    tested = sorted((p, at) for at, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, at) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * p))
        adjusted[at] = highest
    return adjusted


@dataclass(frozen=True)
class _Pair:
    """Counts of two models by group, each of shape (groups, labels)."""

    first: Counts
    second: Counts
    confidence: float
    min_groups: int

    def difference(self, name: str, columns: Sequence[int], *, pooled: bool) -> Difference:
        """The difference in the mean F1 of some labels; with `pooled`, in the F1 of their summed counts."""
        chosen = (
            model.changed(lambda each: _columns(each, columns, pooled=pooled)) for model in (self.first, self.second)
        )
        first, second = chosen
        ours, theirs = defined(first.summed().macro_f1), defined(second.summed().macro_f1)
        if ours is None or theirs is None:
            return Difference(name, ours, theirs, 0, None, reason="F1 is undefined: the label never occurs")
        made = Difference(name, ours, theirs, 0, theirs - ours)
        n_groups = len(first.tp)
        if n_groups < self.min_groups:
            few = f"{counted(n_groups, 'group')}, fewer than {self.min_groups}: too few for an interval"
            return replace(made, reason=few)
        influence = _influence(second) - _influence(first)
        concerned = int(((first.tp + first.fp + first.fn + second.fp) > 0).any(axis=1).sum())
        differing = int(((first.fp != second.fp) | (first.fn != second.fn)).any(axis=1).sum())
        return _tested(made, influence, concerned, differing, self.confidence)


def _columns(each: Floats, columns: Sequence[int], *, pooled: bool) -> Floats:
    own = each[:, list(columns)]
    return own.sum(axis=1, keepdims=True) if pooled else own


def _influence(counts: Counts) -> Floats:
    """Return the influence of each group on macro-F1, of shape (groups,), with mean 0: the delete-one jackknife.

    Source: Efron and Tibshirani (1993), chapter 11.
    """
    total = counts.summed()
    without = Counts(total.tp - counts.tp, total.fp - counts.fp, total.fn - counts.fn).f1
    # A label that only one group has keeps its measured F1 in the score without this group.
    scores = np.where(np.isnan(without), total.f1, without)
    scores = scores[:, ~np.isnan(total.f1)].mean(axis=1)
    return np.asarray((scores.mean() - scores) * (len(scores) - 1) / len(scores))


def _tested(made: Difference, influence: Floats, concerned: int, differing: int, confidence: float) -> Difference:
    """Add the interval and the p value to a difference.

    Args:
        influence: the influence of each group on the difference, of shape (groups,), with mean 0.
        concerned: number of groups in which a label occurs or is predicted.
        differing: number of groups in which the two models make different errors: the observations behind the
            standard error, however many groups there are.
    """
    from scipy.stats import t

    assert made.effect is not None
    n_groups = len(influence)
    error = math.sqrt(n_groups / (n_groups - 1) * (influence**2).sum())
    if error < 1e-9:
        # No prediction differs in any group. The bound is that of Clopper and Pearson for 0 events: so large a share of
        # groups could still differ.
        reach = 1 - ((1 - confidence) / 2) ** (1 / max(concerned, 1))
        return replace(made, low=made.effect - reach, high=made.effect + reach, p=1.0)
    freedom = max(differing - 1, 1)
    reach = float(t.ppf((1 + confidence) / 2, freedom)) * error
    p = float(2 * t.sf(abs(made.effect) / error, freedom))
    return replace(made, low=max(-1.0, made.effect - reach), high=min(1.0, made.effect + reach), p=p)


def needed_sentences(difference: Difference, n: int, margin: float) -> int | None:
    """Return about how many labelled sentences make an interval no wider than `margin` on each side.

    The width falls with the square root of the number of sentences. None if there is no interval, or if it is narrow
    enough already. The number is rounded up to two digits: it is no more precise than that.

    Args:
        n: number of sentences behind the difference.
        margin: in (0, 1).
    """
    if difference.low is None or difference.high is None or difference.effect is None:
        return None
    reach = (difference.high - difference.low) / 2
    if reach <= margin:
        return None
    needed = n * (reach / margin) ** 2
    unit: int = 10 ** max(int(math.log10(needed)) - 1, 0)
    return int(math.ceil(needed / unit) * unit)


def changed_rows(first: Bools, second: Bools) -> NDArray[np.int_]:
    """Return the positions of the examples whose label sets differ between two models, in order."""
    return np.flatnonzero((first != second).any(axis=1))
