"""The part of a report at the prevalence of the corpus for an exclusive codebook, whose labels are classes.

The negatives of a label are the other classes, and their shares differ between the corpus and the test set, too. The
figures therefore follow from the confusion of the classes, each weighted by its share in the corpus; `reweighting`
weights only the positives and negatives of one label.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labels.agreement.coefficients import percentile_interval
from labels.errors import counted
from trainer.calibration.calibration import Bools, Calibration, Floats, with_none
from trainer.evaluation.figures import LabelPrevalenceFigures, PrevalenceFigures, ReweightedFigures
from trainer.evaluation.intervals import Interval, jackknife_influence, logit_interval
from trainer.evaluation.label_shift.prevalence import (
    Unlabelled,
    check_shift,
    draw_weights,
    drawn_class_prevalences,
    estimate_prevalence,
)
from trainer.evaluation.label_shift.reweighting import (
    FIGURES,
    IntervalSettings,
    LabelledTest,
    mean_figures,
    shift_warnings,
    without_false_positives,
)
from trainer.evaluation.metrics import defined, group_sums

ASSUMPTION = (
    "label shift: the sentences of each class are of the same kinds in the corpus as in the test set; only the shares "
    "of the classes differ"
)
NONE = "none"


@dataclass(frozen=True)
class _Shares:
    """The shares of the classes in the corpus, of shape (classes,), with bootstrap draws of an estimate.

    Attributes:
        draws: shape (draws, classes); None for given shares, or if there is no interval for the reason `unbounded`.
        known: the labels whose share was given or estimated; the others have no figures, for the `reason`.
    """

    values: Floats
    known: tuple[bool, ...]
    reason: str = ""
    draws: Floats | None = None
    unbounded: str = ""


def class_figures_at_given(
    test: LabelledTest, prevalence: Mapping[str, float], settings: IntervalSettings, *, allow_none: bool
) -> PrevalenceFigures:
    """Return the figures at given shares of the labels, each in (0, 1) and together at most 1.

    The sentences that are left are shared by the labels without a share, and by "none", as in the test set.
    """
    classes = _classes(test.gold, allow_none)
    known = np.array([label in prevalence for label in test.labels] + [False] * allow_none)
    values = np.array([prevalence.get(label, 0.0) for label in test.labels] + [0.0] * allow_none)
    rest = np.where(known, 0, classes.mean(axis=0))
    rest = rest if rest.any() else (~known).astype(float)  # none of them is in the test set, which will be said
    values = values + max(1 - values.sum(), 0.0) * rest / max(rest.sum(), 1e-12)
    shares = _Shares(values, tuple(map(bool, known[: len(test.labels)])), "no prevalence was given")
    return _figures(test, classes, shares, "given", settings)


def class_figures_at_estimated(
    test: LabelledTest, corpus: Unlabelled, calibration: Calibration, source: str, settings: IntervalSettings
) -> PrevalenceFigures:
    """Return the figures at the shares of the classes estimated from an unlabelled corpus, all of them together.

    There are no figures, but reasons, if the model is not calibrated, or its calibration has seen no sentence of a
    class.

    Args:
        calibration: of the model whose probabilities these are; the estimate starts from its numbers of sentences.
    """
    fitted = [*calibration.labels, *([calibration.none] if calibration.none else [])]
    names, allow_none = [*test.labels, NONE], calibration.none is not None
    classes = _classes(test.gold, allow_none)
    unseen = [name for name, own in zip(names, fitted, strict=False) if not own.positives]
    if fitted[0].method == "none" or unseen:
        reason = (
            "the model is not calibrated, so prevalences cannot be estimated"
            if fitted[0].method == "none"
            else f"the calibration data have no sentence of '{unseen[0]}', so prevalences cannot be estimated"
        )
        nothing = _Shares(np.full(len(fitted), np.nan), (False,) * len(test.labels), reason)
        return _figures(test, classes, nothing, source, settings)
    start = np.array([own.positives for own in fitted], dtype=float)
    start /= start.sum()
    found, documents = with_none(corpus.probabilities, allow_none), int(corpus.groups.max()) + 1
    few = documents < settings.min_groups
    weights = draw_weights(np.random.default_rng(settings.seed), documents, settings.draws)
    shares = _Shares(
        estimate_prevalence(found, start),
        (True,) * len(test.labels),
        draws=None if few else drawn_class_prevalences(found, corpus.groups, start, weights),
        unbounded=f"{counted(documents, 'document')} in the corpus, fewer than {settings.min_groups}" if few else "",
    )
    return _figures(test, classes, shares, source, settings, (corpus, weights))


def _classes(sets: Bools, allow_none: bool) -> Bools:
    """Whether each row has each class, of shape (n, classes); "none" is the last class if the codebook allows it."""
    return np.column_stack([sets, ~sets.any(axis=1)]) if allow_none else sets


def _figures(
    test: LabelledTest,
    classes: Bools,
    shares: _Shares,
    source: str,
    settings: IntervalSettings,
    sampled: tuple[Unlabelled, Floats] | None = None,
) -> PrevalenceFigures:
    """Figures at known shares.

    Args:
        sampled: the corpus of an estimate, and how often each bootstrap draw contains each of its documents.
    """
    corpus = sampled[0] if sampled else None
    cells = _confusions(classes, _classes(test.predicted, classes.shape[1] > len(test.labels)), test.groups)
    missing = _missing(test.labels, cells, shares)
    generator = np.random.default_rng(settings.seed + 1)  # draws of the test set, independent of those of the corpus
    weights = draw_weights(generator, len(cells), settings.draws) if sampled else None
    drawn = None
    if weights is not None and shares.draws is not None and len(cells) >= settings.min_groups:
        drawn = _at(np.tensordot(weights, cells, axes=1), shares.draws, len(test.labels))
    per_label = {
        label: _label_figures(test, cells, i, shares, missing, settings, drawn) for i, label in enumerate(test.labels)
    }
    if sampled and weights is not None and not missing and shares.known[0]:
        for i, label in enumerate(test.labels):
            per_label[label] = _checked(per_label[label], test, classes, shares.values, i, weights, *sampled)
    total = _at(cells.sum(axis=0), shares.values, len(test.labels))
    whole = not missing and all(shares.known)
    return PrevalenceFigures(
        source=source,
        assumption=ASSUMPTION,
        n_sentences=len(corpus.probabilities) if corpus else None,
        n_documents=int(corpus.groups.max()) + 1 if corpus else None,
        per_label=per_label,
        macro=mean_figures(per_label.values()),
        micro=ReweightedFigures(**dict(zip(FIGURES, map(defined, total[-1]), strict=True))) if whole else None,
        warnings=shift_warnings(per_label),
    )


def _confusions(gold: Bools, predicted: Bools, groups: Sequence[int]) -> Floats:
    """Counts of pairs of a gold class (row) and a predicted class (column), of shape (groups, classes, classes)."""
    pairs = (gold[:, :, None] & predicted[:, None, :]).reshape(len(gold), -1)
    sums = group_sums(pairs, groups)
    return sums.reshape(len(sums), gold.shape[1], gold.shape[1])


def _missing(labels: Sequence[str], cells: Floats, shares: _Shares) -> str:
    """Why nothing can be said: the corpus has a class that the test set has not."""
    absent = ~cells.any(axis=(0, 2)) & (shares.values > 0)
    names = [*labels, NONE]
    if not absent.any():
        return ""
    return f"the test set has no sentence of '{names[int(absent.argmax())]}', which the corpus has"


def _at(cells: Floats, shares: Floats, n_labels: int) -> Floats:
    """Precision, recall and F1 of each label, and last of all labels together, of shape (..., labels + 1, 3).

    Args:
        cells: counts of shape (..., classes, classes).
        shares: of the classes in the corpus, of shape (..., classes).
    """
    rows = cells.sum(axis=-1, keepdims=True)
    rates = np.divide(cells, rows, out=np.zeros_like(cells, dtype=float), where=rows > 0)
    expected = rates * shares[..., None]
    parts = np.stack([np.einsum("...ii->...i", expected), expected.sum(axis=-2), expected.sum(axis=-1)], axis=-1)
    own = parts[..., :n_labels, :]
    true, said, held = np.moveaxis(np.concatenate([own, own.sum(axis=-2, keepdims=True)], axis=-2), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([true / said, true / held, 2 * true / (said + held)], axis=-1)


def _label_figures(
    test: LabelledTest,
    cells: Floats,
    i: int,
    shares: _Shares,
    missing: str,
    settings: IntervalSettings,
    drawn: Floats | None,
) -> LabelPrevalenceFigures:
    """The figures of one label. `drawn` has the figures of `_at` in each draw, in its first axis."""
    value = float(shares.values[i])
    if not shares.known[i] or missing:
        known = value if shares.known[i] else None
        return LabelPrevalenceFigures(prevalence=known, reason=missing or shares.reason, **dict.fromkeys(FIGURES))
    n = len(test.labels)
    figures = _at(cells.sum(axis=0), shares.values, n)[i]
    bounds = None if shares.draws is None else percentile_interval(shares.draws[:, i], settings.confidence)
    low, high = bounds or (None, None)
    own = None if drawn is None else drawn[:, i]
    return LabelPrevalenceFigures(
        prevalence=value,
        low=low,
        high=high,
        intervals=_intervals(cells, i, n, shares, settings, own),
        **dict(zip(FIGURES, map(defined, figures), strict=True)),
    )


def _intervals(
    cells: Floats, i: int, n: int, shares: _Shares, settings: IntervalSettings, drawn: Floats | None
) -> dict[str, Interval]:
    """Intervals over the test set alone, by jackknife, or over test set and corpus, by bootstrap."""
    if len(cells) < settings.min_groups:
        return {}
    groups, least = int(cells[:, i].any(axis=1).sum()), math.ceil(settings.min_groups / 2)
    reason = shares.unbounded
    if not reason and groups < least:
        reason = f"{counted(groups, 'test group')}, fewer than {least}"
    if reason:
        return dict.fromkeys(FIGURES, Interval(None, None, reason=reason))
    lowest = float(shares.values[i])
    if drawn is not None and shares.draws is not None:
        ends = [percentile_interval(column, settings.confidence) or (None, None) for column in drawn.T]
        dropped = np.isnan(drawn).sum(axis=0)
        found = {
            name: Interval(low, high, int(lost)) for name, (low, high), lost in zip(FIGURES, ends, dropped, strict=True)
        }
        lowest = (percentile_interval(shares.draws[:, i], settings.confidence) or (0.0, 1.0))[0]
    else:
        measured = _at(cells.sum(axis=0), shares.values, n)[i]
        sums = cells.reshape(len(cells), -1)

        def statistic(each: Floats) -> Floats:
            return _at(each.reshape(*each.shape[:-1], *cells.shape[1:]), shares.values, n)[..., i, :]

        influence = jackknife_influence(statistic, sums)
        found = {
            name: logit_interval(
                float(measured[k]), influence[:, k], groups=groups, confidence=settings.confidence, min_groups=least
            )
            for k, name in enumerate(FIGURES)
        }
    return found | without_false_positives(_one_against_rest(cells, i), lowest, found["recall"], settings.confidence)


def _one_against_rest(cells: Floats, i: int) -> Floats:
    """Counts of tp, fp, fn and tn of one label, of shape (groups, 4)."""
    tp, said, held = cells[:, i, i], cells[:, :, i].sum(axis=1), cells[:, i].sum(axis=1)
    return np.column_stack([tp, said - tp, held - tp, cells.sum(axis=(1, 2)) - said - held + tp])


def _checked(
    own: LabelPrevalenceFigures,
    test: LabelledTest,
    classes: Bools,
    shares: Floats,
    i: int,
    test_draws: Floats,
    corpus: Unlabelled,
    corpus_draws: Floats,
) -> LabelPrevalenceFigures:
    """The figures of a label with the check of the assumption, from its probabilities in all classes."""
    found = check_shift(
        test.probabilities[:, i],
        classes,
        test.groups,
        corpus.probabilities[:, i],
        corpus.groups,
        shares,
        test_draws=test_draws,
        corpus_draws=corpus_draws,
    )
    return own.model_copy(update={"distance": found.distance, "p_value": found.p_value})
