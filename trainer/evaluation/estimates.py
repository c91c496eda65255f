"""All figures of a model on a test set, with their intervals: per label, and as macro, micro and weighted averages.

Figures of decisions are functions of sums over groups, figures of rankings of the order of probabilities; both give the
influence of each group, from which the intervals follow. A figure that is undefined says why, and is never 0 instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.calibration.calibration import Bools, Floats
from trainer.evaluation.intervals import CORRELATION, SHARE, Interval, jackknife_influence, logit_interval
from trainer.evaluation.metrics import Counts, exact_match, group_counts, group_sums, jaccard, mcc
from trainer.evaluation.ranking import Ranked, rank_average_precision, rank_roc_auc

DECIDED = ("precision", "recall", "f1", "mcc")
"""Figures of decisions."""
RANKED = {"average_precision": rank_average_precision, "roc_auc": rank_roc_auc}
"""Figures of rankings."""
AVERAGES = ("macro", "micro", "weighted")
_NEVER, _ALWAYS, _UNPREDICTED = "the label never occurs", "the label always occurs", "the label is never predicted"


@dataclass(frozen=True)
class Score:
    """A figure: its value (None if undefined, for the given `reason`) and its interval."""

    value: float | None
    interval: Interval
    reason: str = ""


@dataclass(frozen=True)
class Scores:
    """The figures of a test set.

    Attributes:
        per_label: by figure, one score per label in label order.
        averages: by average ("macro", "micro", "weighted"), then by figure. Macro and weighted averages are over the
            labels whose figure is defined; weights are the numbers of positives.
        exact_match: accuracy for an exclusive codebook, otherwise subset accuracy.
        jaccard: mean Jaccard index of the predicted and the gold label sets.
    """

    per_label: Mapping[str, Sequence[Score]]
    averages: Mapping[str, Mapping[str, Score]]
    exact_match: Score
    jaccard: Score


@dataclass(frozen=True)
class _Settings:
    """Confidence of the intervals, minimum number of groups, and the numbers of groups of the test set."""

    confidence: float
    min_groups: int
    n_groups: int

    def score(self, value: float, influence: Floats, groups: int, reason: str, name: str, *, least: int) -> Score:
        if math.isnan(value):
            return Score(None, Interval(None, None, reason=reason), reason)
        scale = CORRELATION if name == "mcc" else SHARE
        found = logit_interval(
            value, influence, groups=groups, confidence=self.confidence, min_groups=least, scale=scale
        )
        return Score(value, found)


def score_all(
    gold: Bools, predicted: Bools, probabilities: Floats, groups: Sequence[int], *, confidence: float, min_groups: int
) -> Scores:
    """Compute all figures of n examples with their intervals.

    Args:
        gold, predicted: shape (n, labels), n >= 1.
        probabilities: calibrated probabilities of the same shape.
        groups: group number of each example, of shape (n,).
        confidence: confidence level of the intervals, in (0, 1).
        min_groups: minimum number of groups for intervals. A figure of one label needs half of this number of groups
            that contain the label: in fewer groups, chance would make it look far more certain than it is.
    """
    counts = group_counts(gold, predicted, groups)
    rows = np.column_stack([np.ones(len(gold)), exact_match(gold, predicted), jaccard(gold, predicted)])
    others = group_sums(rows, groups)
    settings = _Settings(confidence, min_groups, len(others))
    per_label, averages, exact, overlap = _decided(counts, others, settings)
    for name, rank in RANKED.items():
        own = [rank(probabilities[:, i], gold[:, i]) for i in range(gold.shape[1])]
        pooled = rank(probabilities.T.ravel(), gold.T.ravel())
        per_label[name], found = _ranked(name, own, pooled, gold, groups, settings)
        for average, score in found.items():
            averages[average][name] = score
    return Scores(per_label, averages, exact, overlap)


# -- decisions


def _decided(
    counts: Counts, others: Floats, settings: _Settings
) -> tuple[dict[str, Sequence[Score]], dict[str, dict[str, Score]], Score, Score]:
    """Scores of decisions: per label, averages, exact match and Jaccard index.

    Args:
        others: numbers of rows, of exact matches and sums of Jaccard indices, of shape (groups, 3).
    """
    n_labels = counts.tp.shape[1]
    sums = np.concatenate([counts.tp, counts.fp, counts.fn, others], axis=1)
    measured = _label_figures(_counts(sums.sum(axis=0), n_labels), others[:, 0].sum())
    # Labels that are undefined without a group keep their measured figure, so that averages are over the same labels.
    values = _statistic(sums.sum(axis=0), n_labels, measured)
    influence = jackknife_influence(lambda each: _statistic(each, n_labels, measured), sums)
    reasons, behind = _reasons(counts), _groups_behind(counts)
    least, all_groups = math.ceil(settings.min_groups / 2), settings.n_groups
    at = iter(range(len(values)))
    per_label: dict[str, Sequence[Score]] = {
        name: [
            settings.score(values[i], influence[:, i], behind[name][label], reasons[name][label], name, least=least)
            for label, i in zip(range(n_labels), at, strict=False)
        ]
        for name in DECIDED
    }
    averages = {
        average: {
            name: settings.score(
                values[i], influence[:, i], all_groups, _nowhere(reasons[name]), name, least=settings.min_groups
            )
            for name, i in zip(DECIDED, at, strict=False)
        }
        for average in AVERAGES
    }
    exact, overlap = (
        settings.score(values[i], influence[:, i], all_groups, "", "", least=settings.min_groups) for i in at
    )
    return per_label, averages, exact, overlap


def _counts(sums: Floats, n_labels: int) -> Counts:
    return Counts(*(sums[..., part * n_labels : (part + 1) * n_labels] for part in range(3)))


def _label_figures(counts: Counts, n: float | Floats) -> list[Floats]:
    return [counts.precision, counts.recall, counts.f1, mcc(counts, n)]


def _statistic(sums: Floats, n_labels: int, measured: Sequence[Floats]) -> Floats:
    """All figures of decisions from sums (..., columns), in the order of `_decided`."""
    counts, n = _counts(sums, n_labels), sums[..., 3 * n_labels]
    own = [
        np.where(np.isnan(figures), known, figures)
        for figures, known in zip(_label_figures(counts, n[..., None]), measured, strict=True)
    ]
    support = counts.tp + counts.fn
    pooled = counts.changed(lambda each: each.sum(axis=-1, keepdims=True))
    micro = _label_figures(pooled, n[..., None] * n_labels)
    macro = [_mean(each, np.ones_like(each)) for each in own]
    weighted = [_mean(each, support) for each in own]
    with np.errstate(invalid="ignore", divide="ignore"):  # without the only group, nothing is left
        shares = sums[..., 3 * n_labels + 1 :] / n[..., None]
    return np.concatenate([*own, *macro, *micro, *weighted, shares], axis=-1)


def _mean(figures: Floats, weights: Floats) -> Floats:
    """Weighted mean of the defined figures over the last axis, which is kept."""
    held = np.where(np.isnan(figures), 0.0, weights)
    total = held.sum(axis=-1, keepdims=True)
    summed = (held * np.nan_to_num(figures)).sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(summed, total, out=np.full(total.shape, np.nan), where=total > 0))


def _reasons(counts: Counts) -> dict[str, list[str]]:
    """Why each figure of each label is undefined, if it is."""
    whole = counts.summed()
    never = [_NEVER if not tp + fn else "" for tp, fn in zip(whole.tp, whole.fn, strict=True)]
    unpredicted = [_UNPREDICTED if not tp + fp else "" for tp, fp in zip(whole.tp, whole.fp, strict=True)]
    either = [
        f"{one} and is never predicted"
        if one and other
        else one or other or "the label always occurs or is always predicted"
        for one, other in zip(never, unpredicted, strict=True)
    ]
    return {"precision": unpredicted, "recall": never, "f1": never, "mcc": either}


def _nowhere(reasons: Sequence[str]) -> str:
    """Why an average is undefined: the reasons of its labels."""
    return "undefined for every label: " + "; ".join(dict.fromkeys(filter(None, reasons)))


def _groups_behind(counts: Counts) -> dict[str, list[int]]:
    """The number of groups with a share in the denominator of each figure of each label."""
    predicted, present = counts.tp + counts.fp > 0, counts.tp + counts.fn > 0
    held = {"precision": predicted, "recall": present, "f1": predicted | present, "mcc": predicted | present}
    return {name: [int(n) for n in each.sum(axis=0)] for name, each in held.items()}


# -- rankings


def _ranked(
    name: str, own: Sequence[Ranked], pooled: Ranked, gold: Bools, groups: Sequence[int], settings: _Settings
) -> tuple[list[Score], dict[str, Score]]:
    """Scores of one figure of rankings: per label, and averages."""
    least = math.ceil(settings.min_groups / 2)
    influence = group_sums(np.column_stack([each.influence for each in own]), groups)
    support = group_sums(gold, groups)
    values = np.array([each.value for each in own])
    behind = (support > 0).sum(axis=0)
    reasons = [_ALWAYS if all_ else _NEVER for all_ in np.atleast_1d(gold.all(axis=0))]
    per_label = [
        settings.score(value, influence[:, i], int(behind[i]), reasons[i], name, least=least)
        for i, value in enumerate(values)
    ]
    kept = ~np.isnan(values)
    values, influence, support = values[kept], influence[:, kept], support[:, kept]
    undefined = _nowhere(reasons) if not kept.any() else ""
    total = support.sum()
    macro, weighted = (values.mean(), values @ support.sum(axis=0) / total) if kept.any() else (math.nan, math.nan)
    by_rows = group_sums(pooled.influence.reshape(gold.shape[1], -1).T, groups).sum(axis=1)
    # The weights of a weighted mean depend on the groups, too.
    moved = influence @ support.sum(axis=0) + support @ (values - weighted)
    columns = {
        "macro": (macro, influence.mean(axis=1) if kept.any() else by_rows),
        "micro": (pooled.value, by_rows),
        "weighted": (weighted, moved / max(total, 1.0)),
    }
    averages = {
        average: settings.score(
            float(value), column, settings.n_groups, undefined or _NEVER, name, least=settings.min_groups
        )
        for average, (value, column) in columns.items()
    }
    return per_label, averages
