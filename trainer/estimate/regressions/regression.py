"""Regressions whose outcome is a label, from predictions for a whole corpus and a labelled probability sample of it.

Predictions alone bias coefficients, because their errors depend on the covariates. Each sentence therefore gets a
pseudo-outcome: its prediction, plus its error weighted by 1 / inclusion probability if it was labelled. Its expectation
is the gold label, whatever the quality of the predictions. Pure functions of arrays.

Source: Egami, Hinck, Stewart and Wei (2023), "Using Imperfect Surrogates for Downstream Inference: Design-based
Supervised Learning for Social Science Applications of Large Language Models"; the standard errors are those of
MacKinnon and White (1985) and Liang and Zeger (1986), with the correction for few clusters that R's `sandwich` has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from labels.errors import InputError
from trainer.estimate.coverage import RARE, student_quantile
from trainer.estimate.estimators import FOLDS, Bools, Floats, Ints, sums_by

Family = Literal["linear", "logit"]
_STEEPEST = 2.0
"""Largest slope of gold on predictions: more is a sign of chance."""
_MOST = 15.0
"""Largest linear predictor of a logit: beyond it, the estimated share is 0 or 1 and the coefficients are infinite."""
_STEPS, _TOLERANCE = 100, 1e-10


@dataclass(frozen=True)
class Labelled:
    """The labelled sentences of a corpus of N, n in all.

    Attributes:
        places: the number of each in the corpus, of shape (n,); one of several rounds occurs in each.
        gold: whether it has the label, of shape (n,).
        weights: the number of sentences that it stands for, of shape (n,).
        unit: number of the drawn unit of each, of shape (n,).
        stratum, fractions: of the units, of shapes (units,) and (strata,): numbers of strata, and their drawn shares.
    """

    places: Ints
    gold: Floats
    weights: Floats
    unit: Ints
    stratum: Ints
    fractions: Floats


def pseudo_outcomes(predicted: Floats, labelled: Labelled, documents: Ints, seed: int) -> tuple[Floats, Floats]:
    """Return the pseudo-outcome of each sentence of a corpus, and the parts of them that come from labels.

    Predictions enter through their regression on gold, cross-fitted by document: no sentence is adjusted with a line
    that its own label helped to fit. With fewer than `RARE` positives or negatives, the line is flat.

    Args:
        predicted: probabilities, of shape (N,).
        documents: number of the document of each sentence, of shape (N,).

    Returns:
        Pseudo-outcomes, of shape (N,), and what each labelled sentence adds to one of them, of shape (n,).
    """
    n_documents = int(documents.max()) + 1
    fold = _folds(n_documents, np.unique(documents[labelled.places]), seed)[documents]
    lines = np.array([_line(predicted, labelled, fold[labelled.places] != number) for number in range(FOLDS)])
    expected = lines[fold, 0] + lines[fold, 1] * predicted
    parts = labelled.weights * (labelled.gold - expected[labelled.places])
    outcomes = expected.copy()
    np.add.at(outcomes, labelled.places, parts)
    return outcomes, parts


def _folds(n_documents: int, with_labels: Ints, seed: int) -> Ints:
    """A fold for each document, balanced among those with labels."""
    generator = np.random.default_rng(seed)
    fold = generator.integers(FOLDS, size=n_documents)
    fold[generator.permutation(with_labels)] = np.arange(len(with_labels)) % FOLDS
    return np.asarray(fold)


def _line(predicted: Floats, labelled: Labelled, kept: Bools) -> list[float]:
    """Intercept and slope of gold on predictions among the kept sentences."""
    y, weights = labelled.gold[kept], labelled.weights[kept]
    if not len(y):
        return [float(np.average(labelled.gold, weights=labelled.weights)), 0.0]
    p, mean = predicted[labelled.places[kept]], float(np.average(y, weights=weights))
    middle = float(np.average(p, weights=weights))
    spread = float(weights @ (p - middle) ** 2)
    slope = float(weights @ ((p - middle) * (y - mean))) / spread if spread > 1e-12 * weights.sum() else 0.0
    slope = 0.0 if min(y.sum(), len(y) - y.sum()) < RARE else float(np.clip(slope, -_STEEPEST, _STEEPEST))
    return [mean - slope * middle, slope]


@dataclass(frozen=True)
class Coefficients:
    """Estimated coefficients with their variance matrix, of shapes (k,) and (k, k), and the number of clusters."""

    values: Floats
    variance: Floats
    clusters: int

    @property
    def errors(self) -> Floats:
        """Standard errors, of shape (k,)."""
        return np.asarray(np.sqrt(np.maximum(np.diag(self.variance), 0)))

    def intervals(self, confidence: float) -> tuple[Floats, Floats]:
        """Return bounds of shape (k,), by Student's t with one degree of freedom less than there are clusters."""
        reach = student_quantile(np.array(float(self.clusters - 1)), confidence) * self.errors
        return self.values - reach, self.values + reach

    def p_values(self) -> Floats:
        """Return two-sided p-values of the hypotheses that a coefficient is 0, of shape (k,)."""
        from scipy.special import stdtr

        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.abs(self.values) / self.errors
        return np.asarray(2 * stdtr(max(self.clusters - 1.0, 1.0), -ratio))


def fit(
    design: Floats,
    outcome: Floats,
    clusters: Ints,
    family: Family,
    *,
    weights: Floats | None = None,
    sampled: tuple[Floats, Labelled, Ints] | None = None,
) -> Coefficients:
    """Solve the moment equations of a regression, and return coefficients with cluster-robust variances.

    Linear and logistic regressions both solve sum(x * (outcome - mean(x))) = 0. The outcome may be any number, such as
    a pseudo-outcome below 0 or above 1.

    Args:
        design: covariates of N rows, with the intercept, of shape (N, k).
        clusters: number of the cluster of each row, without gaps, of shape (N,).
        weights: of the rows, of shape (N,); None for equal weights.
        sampled: the part of each row's outcome that one labelled sentence gives, of shape (n,), the labelled sentences,
            and their rows, of shape (n,). The variance then accounts for the fixed sizes of strata.

    Raises:
        InputError: the covariates are collinear, or the equations have no solution.
    """
    own = np.ones(len(outcome)) if weights is None else weights
    _refuse_collinear(design)
    values = _linear(design, outcome, own) if family == "linear" else _logit(design, outcome, own)
    mean = _mean(design @ values, family)
    slope = np.ones(len(mean)) if family == "linear" else mean * (1 - mean)
    bread = np.linalg.inv((design * (own * slope)[:, None]).T @ design)
    moments = design * (own * (outcome - mean))[:, None]
    n_clusters, (n, k) = int(clusters.max()) + 1, design.shape
    sums = sums_by(moments, clusters, n_clusters)
    meat = sums.T @ sums
    if sampled is not None:
        meat = meat + _fixed_sizes(design, *sampled)
    correction = n_clusters / max(n_clusters - 1, 1) * ((n - 1) / max(n - k, 1) if family == "linear" else 1)
    variance = correction * bread @ meat @ bread
    return Coefficients(values, _positive(variance), n_clusters)


def _mean(linear: Floats, family: Family) -> Floats:
    from scipy.special import expit

    return linear if family == "linear" else np.asarray(expit(linear))


def _linear(design: Floats, outcome: Floats, weights: Floats) -> Floats:
    root = np.sqrt(weights)
    return np.asarray(np.linalg.lstsq(design * root[:, None], outcome * root, rcond=None)[0])


def _logit(design: Floats, outcome: Floats, weights: Floats) -> Floats:
    """Newton's method for the moment equations, with halved steps."""
    values = np.zeros(design.shape[1])
    score = _score(design, outcome, weights, values)
    for _ in range(_STEPS):
        mean = _mean(design @ values, "logit")
        information = (design * (weights * mean * (1 - mean))[:, None]).T @ design
        try:
            step = np.linalg.solve(information, score)
        except np.linalg.LinAlgError:
            break
        scale, found = 1.0, score
        while scale > 1e-8:
            found = _score(design, outcome, weights, values + scale * step)
            if np.linalg.norm(found) < np.linalg.norm(score):
                break
            scale /= 2
        values, score = values + scale * step, found
        if np.abs(scale * step).max() < _TOLERANCE or np.abs(score).max() < _TOLERANCE * weights.sum():
            break
    if (
        not np.isfinite(values).all()
        or np.abs(score).max() > 1e-6 * weights.sum()
        or np.abs(design @ values).max() > _MOST
    ):
        raise InputError(
            "the logit has no solution: for some values of the covariates, the estimated share is 0 or 1. Use a linear "
            "regression (--family linear), fewer covariates, or a larger labelled sample."
        )
    return values


def _score(design: Floats, outcome: Floats, weights: Floats, values: Floats) -> Floats:
    return np.asarray(design.T @ (weights * (outcome - _mean(design @ values, "logit"))))


def _fixed_sizes(design: Floats, parts: Floats, labelled: Labelled, rows: Ints) -> Floats:
    """What changes in the meat because a fixed number of units was drawn from each stratum.

    Squares of errors around 0 become squares around the mean of their stratum, which is less wherever the mean error
    is not 0.
    """
    units = len(labelled.stratum)
    moments = sums_by(design[rows] * parts[:, None], labelled.unit, units)
    change = np.zeros((design.shape[1], design.shape[1]))
    for number in range(len(labelled.fractions)):
        own = moments[labelled.stratum == number]
        n = len(own)
        if n < 2:
            continue
        raw, middle = own.T @ own, own.mean(axis=0)
        change += (1 - labelled.fractions[number]) * (n / (n - 1) * (raw - n * np.outer(middle, middle)) - raw)
    return change


def _positive(variance: Floats) -> Floats:
    """The nearest matrix without negative eigenvalues, which a correction of a small sample may produce."""
    symmetric = (variance + variance.T) / 2
    values, vectors = np.linalg.eigh(symmetric)
    return np.asarray((vectors * np.maximum(values, 0)) @ vectors.T) if values.min() < 0 else symmetric


def _refuse_collinear(design: Floats) -> None:
    scale = np.sqrt((design**2).mean(axis=0))
    if (scale == 0).any() or np.linalg.matrix_rank(design / np.where(scale > 0, scale, 1), tol=None) < design.shape[1]:
        raise InputError(
            "the covariates are collinear: one of them follows from the others, or has a single value. Remove one from "
            "the formula."
        )
