"""The part of a report at the prevalence of the corpus: re-weighted figures with intervals, and the check of the
assumption. The formulas are in `prevalence`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labels.agreement.coefficients import percentile_interval
from labels.errors import counted
from trainer.calibration.calibration import Bools, Calibration, Floats
from trainer.evaluation.figures import LabelPrevalenceFigures, PrevalenceFigures, ReweightedFigures
from trainer.evaluation.intervals import Interval, jackknife_influence, logit_interval
from trainer.evaluation.label_shift.prevalence import (
    LARGE_SHIFT,
    ShiftCheck,
    Unlabelled,
    check_shift,
    draw_weights,
    drawn_prevalences,
    expected_shares,
    label_prevalence,
    reweight,
    threshold_curve,
)
from trainer.evaluation.metrics import defined, group_counts, group_sums

ASSUMPTION = (
    "label shift: sentences with a label, and sentences without it, are of the same kinds in the corpus as in the test "
    "set; only their shares differ"
)
FIGURES = ("precision", "recall", "f1")
"""Figures that depend on the prevalence, or are shown beside those that do."""


@dataclass(frozen=True)
class LabelledTest:
    """A test set: gold, decisions and probabilities, each of shape (n, labels), and the group number of each row."""

    labels: tuple[str, ...]
    gold: Bools
    predicted: Bools
    probabilities: Floats
    groups: Sequence[int]


@dataclass(frozen=True)
class IntervalSettings:
    """Number of bootstrap draws and their seed, confidence in (0, 1), and the minimum number of groups."""

    draws: int
    seed: int
    confidence: float
    min_groups: int


@dataclass(frozen=True)
class _Prevalence:
    """A prevalence, or the reason for having none; for an estimate its bootstrap draws, of shape (draws,).

    `unbounded` is the reason for which an estimate has no interval.
    """

    value: float | None
    reason: str = ""
    draws: Floats | None = None
    unbounded: str = ""


def figures_at_given(
    test: LabelledTest, prevalence: Mapping[str, float], settings: IntervalSettings
) -> PrevalenceFigures:
    """Return the figures at given prevalences, each in (0, 1); a label without one has no figures."""
    missing = _Prevalence(None, "no prevalence was given")
    known = [_Prevalence(prevalence[label]) if label in prevalence else missing for label in test.labels]
    return _figures(test, known, "given", settings)


def figures_at_estimated(
    test: LabelledTest, corpus: Unlabelled, calibration: Calibration, source: str, settings: IntervalSettings
) -> PrevalenceFigures:
    """Return the figures at the prevalences estimated from an unlabelled corpus, for a multi-label codebook.

    Labels that are not calibrated have no figures: the estimate takes probabilities at their word.

    Args:
        calibration: of the model whose probabilities these are; the estimate starts from its numbers of positives.
    """
    generator, documents = np.random.default_rng(settings.seed), int(corpus.groups.max()) + 1
    weights = draw_weights(generator, documents, settings.draws)
    few = documents < settings.min_groups
    unbounded = f"{counted(documents, 'document')} in the corpus, fewer than {settings.min_groups}" if few else ""
    known = []
    for i, own in enumerate(calibration.labels):
        if own.method == "none" or not 0 < own.positives < own.n:
            known.append(_Prevalence(None, "the label is not calibrated, so its prevalence cannot be estimated"))
            continue
        column, start = corpus.probabilities[:, i], own.positives / own.n
        drawn = None if few else drawn_prevalences(column, corpus.groups, start, weights)
        known.append(_Prevalence(label_prevalence(column, start), draws=drawn, unbounded=unbounded))
    return _figures(test, known, source, settings, (corpus, weights))


def _figures(
    test: LabelledTest,
    known: Sequence[_Prevalence],
    source: str,
    settings: IntervalSettings,
    drawn: tuple[Unlabelled, Floats] | None = None,
) -> PrevalenceFigures:
    """Figures at known prevalences.

    Args:
        drawn: the corpus of an estimate, and how often each bootstrap draw contains each of its documents.
    """
    cells, corpus = _cells(test), drawn[0] if drawn else None
    generator = np.random.default_rng(settings.seed + 1)  # draws of the test set, independent of those of the corpus
    weights = draw_weights(generator, len(cells), settings.draws) if drawn else None
    per_label = {
        label: _label_figures(test, i, cells[:, :, i], known[i], settings, weights)
        for i, label in enumerate(test.labels)
    }
    if drawn and weights is not None:
        for i, label in enumerate(test.labels):
            per_label[label] = _checked(per_label[label], test, *drawn, i, weights)
    whole = all(own.f1 is not None for own in per_label.values())
    return PrevalenceFigures(
        source=source,
        assumption=ASSUMPTION,
        n_sentences=len(corpus.probabilities) if corpus else None,
        n_documents=int(corpus.groups.max()) + 1 if corpus else None,
        per_label=per_label,
        macro=mean_figures(per_label.values()),
        micro=_micro(cells.sum(axis=0), known) if whole else None,
        warnings=shift_warnings(per_label),
    )


def mean_figures(per_label: Iterable[ReweightedFigures]) -> ReweightedFigures:
    """Return the means over the labels with figures."""
    have = [own for own in per_label if own.f1 is not None]
    return ReweightedFigures(**{name: _mean([getattr(own, name) for own in have]) for name in FIGURES})


def shift_warnings(per_label: Mapping[str, LabelPrevalenceFigures]) -> list[str]:
    """Return a warning for each label for which label shift fails."""
    tested = sum(own.f1 is not None for own in per_label.values())
    return [_warning(label, own) for label, own in per_label.items() if _fails(own, tested)]


def _cells(test: LabelledTest) -> Floats:
    """Counts of tp, fp, fn and tn, of shape (groups, 4, labels)."""
    counts = group_counts(test.gold, test.predicted, test.groups)
    tn = group_sums(~test.gold & ~test.predicted, test.groups)
    return np.stack([counts.tp, counts.fp, counts.fn, tn], axis=1)


def _label_figures(
    test: LabelledTest,
    i: int,
    cells: Floats,
    known: _Prevalence,
    settings: IntervalSettings,
    weights: Floats | None,
) -> LabelPrevalenceFigures:
    if known.value is None:
        return LabelPrevalenceFigures(prevalence=None, reason=known.reason, **dict.fromkeys(FIGURES))
    total, value = cells.sum(axis=0), known.value
    if not test.gold[:, i].any() or test.gold[:, i].all():
        which = "sentence with the label" if not test.gold[:, i].any() else "sentence without the label"
        reason = f"the test set has no {which}"
        return LabelPrevalenceFigures(prevalence=value, reason=reason, **dict.fromkeys(FIGURES))
    figures = dict(zip(FIGURES, map(defined, _at(total, value)), strict=True))
    curve = threshold_curve(test.probabilities[:, i], test.gold[:, i], value)
    rows = {"thresholds": curve.thresholds, **{name: getattr(curve.figures, name) for name in FIGURES}}
    unknown = (None, None)
    low, high = unknown if known.draws is None else percentile_interval(known.draws, settings.confidence) or unknown
    return LabelPrevalenceFigures(
        prevalence=value,
        low=low,
        high=high,
        curve={name: [None if math.isnan(x) else round(float(x), 4) for x in row] for name, row in rows.items()},
        intervals=_intervals(cells, known, settings, weights),
        **figures,
    )


def _at(cells: Floats, prevalence: float | Floats) -> Floats:
    """Precision, recall and F1, in the last axis, from cells (..., 4)."""
    found = reweight(cells[..., 0], cells[..., 1], cells[..., 2], cells[..., 3], prevalence)
    return np.stack([found.precision, found.recall, found.f1], axis=-1)


def _intervals(
    cells: Floats, known: _Prevalence, settings: IntervalSettings, weights: Floats | None
) -> dict[str, Interval]:
    """Intervals over the test set alone, by jackknife, or over test set and corpus, by bootstrap."""
    if len(cells) < settings.min_groups or known.value is None:
        return {}
    if known.unbounded:
        return dict.fromkeys(FIGURES, Interval(None, None, reason=known.unbounded))
    groups, least = int((cells[:, 0] + cells[:, 2] > 0).sum()), math.ceil(settings.min_groups / 2)
    if groups < least:
        reason = f"{counted(groups, 'test group')}, fewer than {least}"
        return dict.fromkeys(FIGURES, Interval(None, None, reason=reason))
    if known.draws is not None and weights is not None:
        drawn = _at(weights @ cells, known.draws)
        bounds = [percentile_interval(column, settings.confidence) or (None, None) for column in drawn.T]
        dropped = np.isnan(drawn).sum(axis=0)
        found = {
            name: Interval(low, high, int(n)) for name, (low, high), n in zip(FIGURES, bounds, dropped, strict=True)
        }
        shares = percentile_interval(known.draws, settings.confidence) or (0.0, 1.0)
        return found | without_false_positives(cells, shares[0], found["recall"], settings.confidence)
    value = known.value
    influence, measured = jackknife_influence(lambda sums: _at(sums, value), cells), _at(cells.sum(axis=0), value)
    found = {
        name: logit_interval(
            float(measured[i]), influence[:, i], groups=groups, confidence=settings.confidence, min_groups=least
        )
        for i, name in enumerate(FIGURES)
    }
    return found | without_false_positives(cells, value, found["recall"], settings.confidence)


def without_false_positives(cells: Floats, share: float, recall: Interval, confidence: float) -> dict[str, Interval]:
    """Intervals of precision and F1 for a test set without a false positive; empty if there is one.

    Resampling never shows a false positive that the test set does not have, but at a low prevalence a few of them
    outnumber the true ones. Their rate has the upper bound of Clopper and Pearson (1934), with one trial per group
    because all negatives of a document may be false positives together.

    Args:
        share: the prevalence, or the lower bound of an estimate.
    """
    if cells[:, 1].any() or recall.low is None or recall.high is None:
        return {}
    trials = int((cells[:, 3] > 0).sum())
    rate = 1 - ((1 - confidence) / 2) ** (1 / trials)
    true, false = recall.low * share, rate * (1 - share)
    return {
        "precision": Interval(true / (true + false), 1.0),
        "f1": Interval(2 * true / (true + false + share), 2 * recall.high / (1 + recall.high)),
    }


def _checked(
    own: LabelPrevalenceFigures,
    test: LabelledTest,
    corpus: Unlabelled,
    corpus_draws: Floats,
    i: int,
    test_draws: Floats,
) -> LabelPrevalenceFigures:
    """The figures of a label with the check of the assumption, if there are figures."""
    if own.prevalence is None or not own.curve:
        return own
    gold = test.gold[:, i]
    found: ShiftCheck = check_shift(
        test.probabilities[:, i],
        np.column_stack([gold, ~gold]),
        test.groups,
        corpus.probabilities[:, i],
        corpus.groups,
        np.array([own.prevalence, 1 - own.prevalence]),
        test_draws=test_draws,
        corpus_draws=corpus_draws,
    )
    return own.model_copy(update={"distance": found.distance, "p_value": found.p_value})


def _fails(own: LabelPrevalenceFigures, n_labels: int) -> bool:
    """Whether the assumption fails for a label; Bonferroni's correction for the number of labels."""
    if own.distance is None or own.p_value is None:
        return False
    return own.distance > LARGE_SHIFT and own.p_value < 0.05 / n_labels


def _warning(label: str, own: LabelPrevalenceFigures) -> str:
    return (
        f"{label}: label shift does not hold: {own.distance:.0%} of the sentences in the corpus have probabilities "
        f"that the re-weighted test set does not explain (p = {own.p_value:.3f}). Do not rely on its figures at this "
        "prevalence; label a sample of the corpus instead"
    )


def _micro(total: Floats, known: Sequence[_Prevalence]) -> ReweightedFigures:
    """Figures of the expected counts summed over labels, from cells of shape (4, labels)."""
    prevalences = np.array([own.value for own in known], dtype=float)
    tp, fp, fn, tn = total
    true, false, missed = (float(each.sum()) for each in expected_shares(tp, fp, fn, tn, prevalences))
    found = {"precision": (true, true + false), "recall": (true, true + missed)}
    found["f1"] = (2 * true, 2 * true + false + missed)
    return ReweightedFigures(**{name: top / bottom if bottom else None for name, (top, bottom) in found.items()})


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
