"""Include the disagreement of coders in the intervals of an estimate, by multiple imputation.

Gold hides that coders disagree: another team might have decided otherwise. Here each of M estimates takes, for every
sentence that several coders decided on, the decision of one of them at random. The mean of the M shares is published;
its variance is the mean of their variances plus (1 + 1 / M) times the variance between them.

Source: Rubin (1987), "Multiple Imputation for Nonresponse in Surveys", section 3.1, for the distances to both bounds
separately, because intervals of rare labels are not symmetric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from labels.environment.progress import report_progress
from labels.errors import InputError, counted
from trainer.estimate.checking import Choices, Texts
from trainer.estimate.coverage import student_quantile
from trainer.estimate.estimating import estimate_from
from trainer.estimate.given.audits import Audit
from trainer.estimate.given.predictions import Predictions
from trainer.estimate.results import Estimate, Figure

FEWEST = 5
"""Fewest imputations: the variance between fewer is too uncertain."""


def imputed_estimate(predictions: Predictions, audit: Audit, choices: Choices, texts: Texts | None = None) -> Estimate:
    """Estimate shares `choices.imputations` times with random coders, and combine them.

    Raises:
        InputError: there are too few imputations, no sentence was coded twice, or see `estimate_from`.
    """
    if choices.imputations < FEWEST:
        raise InputError(f"--impute-coders {choices.imputations}: choose at least {FEWEST}, such as 20.")
    if not audit.coded:
        raise InputError(
            "--impute-coders: no sentence of the sample was decided on by several coders under this codebook, so their "
            "disagreement is unknown. Let a second coder label a part of the sample (`communique label --strategy "
            "overlap`), or omit this option. A sample in a table does not record coders: use a store instead."
        )
    generator = np.random.default_rng([choices.seed, 2])
    found = []
    for number in range(choices.imputations):
        found.append(estimate_from(predictions, audit.imputed(generator), choices, texts))
        report_progress("Imputing coders", number + 1, choices.imputations)
    disagreed = sum(bool(np.ptp(own, axis=0).any()) for own in audit.coded.values())
    note = (
        f"{counted(len(audit.coded), 'sentence')} of the sample {'has' if len(audit.coded) == 1 else 'have'} several "
        f"coders, who disagree on {disagreed}; the figures combine {len(found)} estimates with the decisions of random "
        "coders (Rubin's rules)"
    )
    return combined(found, note)


def combined(found: Sequence[Estimate], note: str) -> Estimate:
    """Combine estimates that differ in the gold of some sentences; adjusted counts are left out, being no averages."""
    first = found[0]
    cells = []
    for cells_of in zip(*(one.cells for one in found), strict=True):
        figures = {
            method: combined_figure([own.figures[method] for own in cells_of], first.confidence)
            if method != "adjusted"
            else Figure(share=None, low=None, high=None)
            for method in cells_of[0].figures
        }
        positives = round(float(np.mean([own.positives for own in cells_of])))
        cells.append(cells_of[0].model_copy(update={"figures": figures, "positives": positives}))
    changes = [
        own[0].model_copy(update={"figure": combined_figure([one.figure for one in own], first.confidence, low=-1.0)})
        for own in zip(*(one.changes for one in found), strict=True)
    ]
    rows: list[dict[str, str | float]] = []
    for own in zip(*(one.sample_rows for one in found), strict=True):
        gold = {name: float(np.mean([float(row[name]) for row in own])) for name in own[0] if name.startswith("gold:")}
        rows.append(own[0] | gold)
    update = {"cells": cells, "changes": changes, "sample_rows": rows, "notes": [*first.notes, note]}
    return first.model_copy(update=update)


def combined_figure(found: Sequence[Figure], confidence: float, *, low: float = 0.0) -> Figure:
    """Combine the figures of M imputations by Rubin's rules; undefined if one of them is.

    Args:
        low: the lowest possible value, -1 for a difference of shares.
    """
    numbers = [(own.share, own.low, own.high) for own in found if own.share is not None and own.low is not None]
    if len(numbers) < len(found):
        return Figure(share=None, low=None, high=None)
    shares, lows, highs = np.array(numbers, dtype=float).T
    m, share = len(shares), float(shares.mean())
    between = (1 + 1 / m) * float(shares.var(ddof=1))
    normal = float(student_quantile(np.array(math.inf), confidence))
    reached = []
    for distances in (shares - lows, highs - shares):
        within = float((distances**2).mean()) / normal**2
        freedom = (m - 1) * (1 + within / between) ** 2 if between > 0 else math.inf
        quantile = float(student_quantile(np.array(freedom), confidence))
        reached.append(quantile * math.sqrt(within + between))
    return Figure(share=share, low=max(share - reached[0], low), high=min(share + reached[1], 1.0))
