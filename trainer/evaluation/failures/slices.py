"""Where a model is worse: its figures on slices of the test set, such as one source, one month or headlines alone.

Each slice is compared with all other sentences. A slice is flagged only if it is reliably worse: the p values of all
slices are corrected for their number. A slice in which labels are rarer has a lower F1 for that reason alone, so the
share of labelled sentences stands beside it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.errors import counted
from labels.records import Example
from trainer.calibration.calibration import Bools, Floats
from trainer.evaluation.comparison import holm_adjusted
from trainer.evaluation.figures import SliceFigures
from trainer.evaluation.intervals import jackknife_influence, logit_interval
from trainer.evaluation.metrics import defined, exact_match, group_sums

MIN_ROWS, MIN_GROUPS = 20, 5
"""A value with fewer sentences, or in fewer groups, is pooled with the other rare values of its column."""
MOST_VALUES = 15
"""Maximum number of values of one column that are slices of their own."""
OTHER, UNKNOWN = "other values", "not stated"
LEVEL = 0.05
_NEGLIGIBLE = 1e-9
_LENGTHS = ((10, "1 to 10 words"), (20, "11 to 20 words"), (30, "21 to 30 words"), (45, "31 to 45 words"))
_LONGER = "46 or more words"
_QUOTATION = re.compile(r"[\"“„«‹].{12,}?[\"”“»›]|^[\"“„«‘]|[\"”»’]$")
_SPEECH = re.compile(r"\b(said|says|told|tells|added|stated|according to|announced|declared)\b", re.IGNORECASE)
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])\b")


# -- the slices of examples


def describe_examples(examples: Sequence[Example]) -> dict[str, list[str]]:
    """Return the value of each example in each column by which a test set is sliced.

    The columns are `month`, from the date, `length` in words, `form`, from the text, and those of the metadata, such as
    `source` and `language`. A value that is not stated is `UNKNOWN`.
    """
    columns = {
        "month": [_month(own.date) for own in examples],
        "length": [_length(own.text) for own in examples],
        "form": [form_of(own.text) for own in examples],
    }
    metadata = [own.metadata for own in examples]
    names = dict.fromkeys(name for own in metadata for name in own if name not in columns)
    return {name: [own.get(name) or UNKNOWN for own in metadata] for name in names} | columns


def _month(date: str) -> str:
    found = _MONTH.match(date)
    return found.group() if found else UNKNOWN


def _length(text: str) -> str:
    words = len(text.split())
    return next((name for most, name in _LENGTHS if words <= most), _LONGER)


def form_of(text: str) -> str:
    """Return the form of a sentence by its surface: question, quotation, headline, reported speech or statement.

    Verbs of saying are English ones; the other forms depend on punctuation alone.
    """
    plain = text.strip()
    if plain.endswith("?"):
        return "question"
    if _QUOTATION.search(plain):
        return "quotation"
    if plain and plain[-1] not in '.!…"”»’)' and len(plain.split()) <= 20:
        return "headline"
    return "reported speech" if _SPEECH.search(plain) else "statement"


# -- figures of slices


@dataclass(frozen=True)
class SliceSettings:
    """Confidence of the intervals, in (0, 1), and the minimum number of groups of a slice for an interval."""

    confidence: float
    min_groups: int


def slice_figures(
    gold: Bools, predicted: Bools, groups: Sequence[int], columns: Mapping[str, Sequence[str]], how: SliceSettings
) -> list[SliceFigures]:
    """Return the figures of each slice, and of the sentences outside it as a difference.

    A column is left out if fewer than two of its values are frequent enough.

    Args:
        gold, predicted: of shape (n, labels).
        groups: the group number of each example, of shape (n,).
        columns: the value of each example, by column; see `describe_examples`.
    """
    rows = _rows(gold, predicted)
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    found = []
    for name, values in columns.items():
        for value, members in _members(values, numbers).items():
            labelled = float(gold[members].any(axis=1).mean())
            found.append(_slice(rows, members, numbers, how) | {"by": name, "value": value, "labelled": labelled})
    return _flagged([SliceFigures.model_validate(own) for own in found])


def _rows(gold: Bools, predicted: Bools) -> Floats:
    """True positives, false positives and false negatives over all labels, exact match, and 1, of each row."""
    decisions = (gold & predicted, ~gold & predicted, gold & ~predicted)
    return np.column_stack([*(own.sum(axis=1) for own in decisions), exact_match(gold, predicted), np.ones(len(gold))])


def _members(values: Sequence[str], numbers: NDArray[np.intp]) -> dict[str, Bools]:
    """The rows of each slice of a column, the values in order, rare ones together at the end."""
    names, counts = np.asarray(values, dtype=object), Counter(values)
    members = {value: np.asarray(names == value) for value, n in counts.most_common() if n >= MIN_ROWS}
    frequent = [value for value, own in members.items() if len(np.unique(numbers[own])) >= MIN_GROUPS][:MOST_VALUES]
    if len(frequent) < 2:
        return {}
    found = {value: members[value] for value in sorted(frequent, key=_natural)}
    rest = ~np.logical_or.reduce(list(found.values()))
    return found | ({f"{OTHER} ({len(counts) - len(frequent)})": rest} if rest.any() else {})


def _natural(value: str) -> tuple[int, str]:
    """The key by which "2 to 9" comes before "10 to 19"."""
    number = re.match(r"\d{1,9}", value)
    return int(number.group()) if number else -1, value


def _statistic(sums: Floats) -> Floats:
    """Micro-F1 and the share of exact matches from sums of shape (..., 5)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        held = sums[..., 0] + sums[..., 2] > 0
        f1 = np.where(held, 2 * sums[..., 0] / (2 * sums[..., 0] + sums[..., 1] + sums[..., 2]), np.nan)
        return np.stack([f1, sums[..., 3] / sums[..., 4]], axis=-1)


def _slice(rows: Floats, members: Bools, numbers: NDArray[np.intp], how: SliceSettings) -> dict[str, Any]:
    """The figures of one slice, with intervals from its own groups and the test against all other sentences."""
    inside = group_sums(rows[members], numbers[members])
    n_groups, least = len(inside), math.ceil(how.min_groups / 2)
    values, influence = _statistic(inside.sum(axis=0)), jackknife_influence(_statistic, inside)
    intervals = {
        name: logit_interval(
            float(values[i]), influence[:, i], groups=n_groups, confidence=how.confidence, min_groups=least
        )
        for i, name in enumerate(("micro_f1", "exact_match"))
    }
    found: dict[str, Any] = {
        "n": int(members.sum()),
        "n_groups": n_groups,
        "micro_f1": defined(values[0]),
        "exact_match": defined(values[1]),
        "intervals": intervals,
    }
    if np.isnan(values[0]):
        return found | {"reason": "no sentence has a label"}
    if n_groups < least:
        return found | {"reason": f"{counted(n_groups, 'test group')}, fewer than {least}"}
    return found | _against_rest(rows, members, numbers)


def _against_rest(rows: Floats, members: Bools, numbers: NDArray[np.intp]) -> dict[str, Any]:
    """The difference in micro-F1 between a slice and all other sentences, and its p value.

    A document may have sentences on both sides, so both sides are summed in each group, and the jackknife is that of
    the difference. The degrees of freedom are those of the side with fewer groups.
    """
    from scipy.stats import t

    split = np.column_stack([rows * members[:, None], rows * ~members[:, None]])
    sums, n = group_sums(split, numbers), rows.shape[1]

    def difference(each: Floats) -> Floats:
        return (_statistic(each[..., :n]) - _statistic(each[..., n:]))[..., :1]

    measured = float(difference(sums.sum(axis=0))[0])
    if math.isnan(measured):
        return {"reason": "no other sentence has a label"}
    influence = jackknife_influence(difference, sums)[:, 0]
    if not np.isfinite(influence).all():
        return {"difference": measured, "reason": "undefined without one of the groups"}
    error = math.sqrt(len(sums) / (len(sums) - 1) * (influence**2).sum())
    freedom = max(min((sums[:, n - 1] > 0).sum(), (sums[:, -1] > 0).sum()) - 1, 1)
    p = float(2 * t.sf(abs(measured) / error, freedom)) if error > _NEGLIGIBLE else 1.0
    return {"difference": measured, "p": p}


def _flagged(found: Sequence[SliceFigures]) -> list[SliceFigures]:
    """The slices with their p values adjusted for the number of tests, and the flag of those reliably worse."""
    adjusted = holm_adjusted([own.p for own in found])
    return [
        own.model_copy(
            update={
                "adjusted_p": p,
                "worse": p is not None and p <= LEVEL and own.difference is not None and own.difference < 0,
            }
        )
        for own, p in zip(found, adjusted, strict=True)
    ]
