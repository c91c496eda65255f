"""Estimate shares from predictions and a labelled sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from labels.errors import InputError, counted
from trainer.estimate.arrays import (
    Counted,
    Items,
    counted_arrays,
    document_items,
    sentence_items,
    statement_scale,
)
from trainer.estimate.checking import Choices, Texts, matched, refuse_missing, training_notes, unaudited_notes
from trainer.estimate.coverage import share_bounds
from trainer.estimate.estimators import Floats, Ints
from trainer.estimate.given.audits import Audit, codebook_name
from trainer.estimate.given.domains import PERIODS, Groups, groups_of, listed
from trainer.estimate.given.predictions import Predictions
from trainer.estimate.results import Cell, Change, Estimate, Figure, Unit
from trainer.estimate.shares import METHODS, Method, Shares, estimate_shares, outside_shares, share_differences


def estimate_from(predictions: Predictions, audit: Audit, choices: Choices, texts: Texts | None = None) -> Estimate:
    """Estimate the share of each label.

    Args:
        texts: needed for statements, and to find near-duplicates of training sentences; None if unknown.

    Raises:
        InputError: predictions and sample do not fit, the sample has too many sentences without gold or overlaps with
            the training data, or a group has no labelled sentence; the message says what to do.
        DataError: the groups cannot be made.
    """
    if not 0 < choices.confidence < 1:
        raise InputError(f"the confidence is {choices.confidence:g}. Choose a number between 0 and 1, such as 0.95.")
    predictions, places = matched(predictions, audit)
    notes = [*audit.notes, *predictions.notes, *training_notes(predictions, audit, places, choices, texts)]
    refuse_missing(audit, choices)
    groups = groups_of(predictions, choices.by)
    if groups.unparsed:
        number = counted(sum(groups.unparsed.values()), "sentence has", "sentences have")
        notes.append(f"{number} no date that can be read and count in the whole only: {listed(groups.unparsed)}")
    items, audit, places = _items(predictions, groups, audit, places, choices.unit, texts)
    answered, domains = audit.answered(), groups.domains if groups.names else np.ones((1, 1), dtype=bool)
    answered.refuse_single_units()
    found = counted_arrays(items, answered, _places_of(audit, places), domains)
    notes += unaudited_notes(np.asarray(found.sample.member.any(axis=0)), groups, choices)
    if len(groups.names) > 1:
        notes.append(_GROUPS_ALONE)
    return _estimate(predictions, audit, places, items, groups, found, choices, notes)


_GROUPS_ALONE = "each group is estimated from its own sentences, so their counts need not add up to the overall count"


def _places_of(audit: Audit, places: Ints) -> Ints:
    """The places of the sentences with gold."""
    return np.asarray(places[~np.isnan(audit.gold).any(axis=1)])


def _items(
    predictions: Predictions, groups: Groups, audit: Audit, places: Ints, unit: Unit, texts: Texts | None
) -> tuple[Items, Audit, Ints]:
    if unit == "documents":
        return document_items(predictions, groups, audit, places)
    scale = None
    if unit == "statements":
        if texts is None:
            raise InputError(
                f"{predictions.source} has no texts, so near-duplicates cannot be found. Use a file of `communique "
                "predict` with the column `text`, or a store."
            )
        scale = statement_scale(texts(list(predictions.ids)))
    return sentence_items(predictions, groups, scale), audit, places


# -- the result


def _estimate(
    predictions: Predictions,
    audit: Audit,
    places: Ints,
    items: Items,
    groups: Groups,
    found: Counted,
    choices: Choices,
    notes: Sequence[str],
) -> Estimate:
    documents = found.documents if choices.estimand == "process" else None
    shares, estimates = estimate_shares(
        found.corpus, found.sample, documents, confidence=choices.confidence, seed=choices.seed
    )
    apart, outside = _not_sentences(found, choices.confidence)
    filled = _filled(audit, places, items, groups, choices)
    if filled and choices.missing == "worst":
        low, high = np.fmin(shares["ppi"].low, filled[0].low), np.fmax(shares["ppi"].high, filled[1].high)
        shares["ppi"] = replace(shares["ppi"], low=low, high=high)
    pairs = _pairs(found.corpus.sizes, choices.by, len(groups.names))
    changes = share_differences(found.sample, shares["ppi"], estimates["ppi"], pairs)
    names = (*groups.names, "")
    return Estimate(
        estimand=choices.estimand,
        unit=choices.unit,
        by=choices.by,
        confidence=choices.confidence,
        labels=predictions.labels,
        groups=groups.names,
        cells=[
            _cell(found, shares, filled, names, label, place, group, apart)
            for place, label in enumerate(predictions.labels)
            for group in (len(names) - 1, *range(len(names) - 1))
        ],
        changes=[
            Change(
                label=label,
                group=names[second],
                reference=names[first],
                figure=Figure.of(*(one[number, place] for one in (changes.difference, changes.low, changes.high))),
            )
            for place, label in enumerate(predictions.labels)
            for number, (first, second) in enumerate(pairs)
        ],
        form=shares["ppi"].form,
        missing=dict(audit.missing),
        drawn=len(audit.ids),
        labelled=len(found.sample.gold),
        weights={label: float(one) for label, one in zip(predictions.labels, estimates["ppi"].slope, strict=True)},
        notes=list(notes),
        not_sentences=outside,
        provenance={
            "predictions": predictions.source,
            "model": predictions.model_id or "unknown",
            "codebook": _codebook(predictions.codebook_hash or audit.codebook_hash),
            "sentences of the corpus": str(len(predictions.ids)),
            "documents of the corpus": str(int(items.document.max()) + 1),
            **audit.provenance,
            "strata": _strata(audit),
        },
        sample_rows=_sample_rows(predictions.labels, audit, found, groups),
        corpus_rows=_corpus_rows(predictions.labels, found, names),
    )


def _codebook(codebook_hash: str) -> str:
    name = codebook_name(codebook_hash)
    return f"{name} ({codebook_hash})" if name != codebook_hash else codebook_hash or "unknown"


def _not_sentences(found: Counted, confidence: float) -> tuple[Floats, Figure | None]:
    """The share of each domain that is not a sentence, of shape (G,), and that of the whole with its interval."""
    apart = outside_shares(found.sample)
    if apart is None or found.sample.outside is None:
        return np.zeros(len(found.corpus.sizes)), None
    spans = replace(
        found.sample, gold=found.sample.outside[:, None], probabilities=np.zeros((len(found.sample.gold), 1))
    )
    bounds = share_bounds(spans, apart, apart.slope, np.zeros(apart.shares.shape), confidence)
    whole = Figure.of(apart.shares[-1, 0], bounds.low[-1, 0], bounds.high[-1, 0])
    return np.nan_to_num(apart.shares[:, 0]), whole


_WHOLE = np.ones((1, 1), dtype=bool)


def _filled(audit: Audit, places: Ints, items: Items, groups: Groups, choices: Choices) -> list[Shares]:
    """The published shares if no sentence without gold had a label, and if all had it; none if all have gold."""
    found = []
    for value in (0.0, 1.0) if audit.missing else ():
        own = counted_arrays(items, audit.filled(value), places, groups.domains if groups.names else _WHOLE)
        extra = own.documents if choices.estimand == "process" else None
        shares, _ = estimate_shares(own.corpus, own.sample, extra, confidence=choices.confidence, seed=choices.seed)
        found.append(shares["ppi"])
    return found


def _cell(
    found: Counted,
    shares: Mapping[Method, Shares],
    filled: Sequence[Shares],
    names: Sequence[str],
    label: str,
    i: int,
    g: int,
    apart: Floats,
) -> Cell:
    member = found.sample.member[:, g]
    bounds = [Figure.of(own.share[g, i], own.low[g, i], own.high[g, i]) for own in filled]
    return Cell(
        label=label,
        group=names[g],
        size=float(found.corpus.sizes[g] * (1 - apart[g])),
        labelled=int(member.sum()),
        positives=int(found.sample.gold[member, i].sum()),
        raw=float(found.corpus.counts[g, i] / found.corpus.sizes[g]),
        figures={
            method: Figure.of(shares[method].share[g, i], shares[method].low[g, i], shares[method].high[g, i])
            for method in METHODS
        },
        small=bool(shares["ppi"].small[g, i] and member.any()),
        all_negative=bounds[0] if bounds else None,
        all_positive=bounds[1] if bounds else None,
    )


def _sample_rows(labels: Sequence[str], audit: Audit, found: Counted, groups: Groups) -> list[dict[str, str | float]]:
    """The labelled sentences with all that the estimators know of them."""
    sample, answered = found.sample, audit.answered()
    inside = sample.member[:, : len(groups.names)]
    rows: list[dict[str, str | float]] = []
    for place, identifier in enumerate(answered.ids):
        unit = int(sample.unit[place])
        group = groups.names[int(inside[place].argmax())] if inside[place].any() else ""
        row: dict[str, str | float] = {"id": identifier, "group": group}
        row |= {"stratum": answered.names[int(sample.stratum[unit])], "unit": unit}
        row["weight"] = float(sample.expansion[place])
        if sample.outside is not None:
            row["outside"] = float(sample.outside[place])
        for i, label in enumerate(labels):
            row[f"gold:{label}"] = float(sample.gold[place, i])
            row[f"p:{label}"] = float(sample.probabilities[place, i])
            row[f"assigned:{label}"] = float(sample.assigned[place, i])
        rows.append(row)
    return rows


def _corpus_rows(labels: Sequence[str], found: Counted, names: Sequence[str]) -> list[dict[str, str | float]]:
    rows: list[dict[str, str | float]] = []
    for g, name in enumerate(names):
        row: dict[str, str | float] = {"group": name, "size": float(found.corpus.sizes[g])}
        for i, label in enumerate(labels):
            row[f"sum:{label}"] = float(found.corpus.sums[g, i])
            row[f"count:{label}"] = float(found.corpus.counts[g, i])
        rows.append(row)
    return rows


def _pairs(sizes: Floats, by: str, n: int) -> Ints:
    """Pairs of groups to compare: each period with the one before, other groups with the largest."""
    if n < 2:
        return np.zeros((0, 2), dtype=int)
    if by in PERIODS:
        return np.column_stack([np.arange(n - 1), np.arange(1, n)])
    largest = int(np.argmax(sizes[:n]))
    return np.array([(largest, other) for other in range(n) if other != largest], dtype=int)


def _strata(audit: Audit) -> str:
    parts = [f"{name or 'all'}: {n:g} of {n / share:.0f}" for name, n, share in
             zip(audit.names, audit.drawn, audit.fractions, strict=True)]  # fmt: skip
    return "; ".join(parts)
