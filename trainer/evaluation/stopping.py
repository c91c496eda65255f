"""Whether more labels are worth their time: a bound of the gain that a learning curve over rounds promises.

An inverse power law is fitted to macro-F1 against the number of labels, as in `curve_figures`. Source: Figueroa,
Zeng-Treitler, Kandula & Ngo (2012), "Predicting sample size required for classification performance", BMC Medical
Informatics and Decision Making 12:8. The idea to stop when the performance no longer rises: Bloodgood & Vijay-Shanker
(2009), "A Method for Stopping Active Learning Based on Stabilizing Predictions and the Need for User-Adjustable
Stopping", CoNLL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from labels.errors import counted
from trainer.calibration.calibration import Floats
from trainer.evaluation.curve_figures import FEWEST_SIZES, CurveCounts, drawn_figures
from trainer.evaluation.metrics import Counts

MORE = 200
"""Number of additional labels whose gain is bounded."""
LEVEL = 0.90
"""One-sided confidence of the bound: nine in ten bootstrap draws promise less."""

DocumentCounts = Mapping[str, Sequence[Sequence[int]]]
"""Document id -> true positives, false positives and false negatives, each with one number per label."""


def gain_bound(
    rounds: Sequence[tuple[int, DocumentCounts]],
    groups: Mapping[str, int],
    *,
    draws: int = 1000,
    min_groups: int = 20,
    seed: int = 13,
) -> tuple[float | None, str]:
    """The upper bound of the gain in macro-F1 from `MORE` labels, or None and the reason for having none.

    Args:
        rounds: for each round, the number of labels and the counts by document; the last round is the present.
        groups: the group of each document; bootstrap draws resample groups. Other documents are their own group.
    """
    if len(rounds) < FEWEST_SIZES:
        return None, f"the curve needs {FEWEST_SIZES} rounds, and has {len(rounds)}"
    documents = sorted({document for _, counts in rounds for document in counts})
    units = {unit: place for place, unit in enumerate(sorted({_unit(one, groups) for one in documents}))}
    if len(units) < min_groups:
        return None, f"{counted(len(units), 'group')} of documents, fewer than {min_groups}: too few to resample"
    stacked = np.stack([_stacked(counts, groups, units) for _, counts in rounds])  # (rounds, kinds, units, labels)
    tp, fp, fn = (stacked[None, :, kind] for kind in range(3))
    labelled = np.array([[float(n) for n, _ in rounds]])
    curve = CurveCounts(Counts(tp, fp, fn), np.ones_like(labelled, dtype=bool), labelled)
    laws = drawn_figures(curve, draws=draws, seed=seed).laws
    if laws is None:
        return None, "macro-F1 is undefined in too many rounds"
    present = rounds[-1][0]
    return float(np.quantile(laws.at(present + MORE) - laws.at(present), LEVEL)), ""


def _unit(document: str, groups: Mapping[str, int]) -> str:
    return f"group {groups[document]}" if document in groups else document


def _stacked(counts: DocumentCounts, groups: Mapping[str, int], units: Mapping[str, int]) -> Floats:
    """Counts of one round as an array of shape (3, units, labels); zero for units without evaluated sentences."""
    n_labels = len(next(iter(counts.values()))[0])
    stacked = np.zeros((3, len(units), n_labels))
    for document, own in counts.items():
        stacked[:, units[_unit(document, groups)]] += np.asarray(own, dtype=float)
    return stacked
