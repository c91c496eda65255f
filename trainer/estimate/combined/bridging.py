"""Bridge a change of model or codebook: the shift in level on sentences coded by both, and a spliced series.

Sentences coded in both ways give paired differences. Their shift in level is applied to the figures from before the
change, whose intervals then also have the uncertainty of the shift.

Source: Newcombe (1998), "Improved confidence intervals for the difference between binomial proportions based on paired
data", with the effective sample size of Kish for sentences of the same documents; Zou and Donner (2008) for sums and
ratios; De la Fuente Moreno (2014), "A 'mixed' splicing procedure for economic time series", for both kinds of links.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from labels.errors import InputError, counted
from trainer.estimate.coverage import effective_sizes, score_interval, student_quantile
from trainer.estimate.estimators import Floats, Ints, sums_by
from trainer.estimate.given.compared import Coding
from trainer.estimate.given.domains import PERIODS
from trainer.estimate.results import Estimate, Figure

Link = Literal["ratio", "difference"]
LINKS: Mapping[Link, str] = {
    "ratio": "shares change in proportion",
    "difference": "shares change by the same number of points",
}
FEWEST = 10
"""With fewer sentences coded differently, a remark says that the shift is uncertain."""


class Shift(BaseModel):
    """The shift in level of one label.

    - `old`, `new`: its name before and after the change
    - `before`, `after`: its share on the overlap
    - `gained`, `lost`: sentences that have it only after, or only before, the change
    - `difference`, `ratio`: of `after` and `before`, with their intervals; the ratio is None where it is undefined
    """

    model_config = ConfigDict(frozen=True)

    old: str
    new: str
    before: float
    after: float
    gained: int
    lost: int
    difference: Figure
    ratio: Figure


class Point(BaseModel):
    """A label's share in a period of the spliced series; `shifted` says whether it was moved to the new level."""

    model_config = ConfigDict(frozen=True)

    label: str
    period: str
    shifted: bool
    figure: Figure
    unshifted: Figure


class Bridge(BaseModel):
    """The shifts of all labels, and the spliced series if there are estimates from before and after the change."""

    model_config = ConfigDict(frozen=True)

    sentences: int
    documents: int
    confidence: float
    link: Link
    by: str
    shifts: list[Shift]
    points: list[Point]
    notes: list[str]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one row per label and period of the spliced series, for a table."""
        for one in self.points:
            names = {"label": one.label, "period": one.period, "shifted": int(one.shifted)}
            unshifted = {f"unshifted_{name}": value for name, value in one.unshifted.model_dump().items()}
            yield names | one.figure.model_dump() | unshifted

    def shift_rows(self) -> Iterator[dict[str, Any]]:
        """Yield one row per label, for a table of the shifts."""
        for one in self.shifts:
            plain = one.model_dump(exclude={"difference", "ratio"})
            for name in ("difference", "ratio"):
                figure: Figure = getattr(one, name)
                plain |= {name: figure.share, f"{name}_low": figure.low, f"{name}_high": figure.high}
            yield plain


def bridge(
    old: Coding,
    new: Coding,
    *,
    renamed: Mapping[str, str] | None = None,
    before: Estimate | None = None,
    after: Estimate | None = None,
    link: Link = "ratio",
    confidence: float = 0.95,
) -> Bridge:
    """Estimate the shift in level between two ways of coding, and splice the series from before and after the change.

    Args:
        old, new: both have the sentences of the overlap; other sentences are left out.
        renamed: new names of labels, by their old names.
        before, after: estimates by the same period; None for the shift alone.
        link: how the shift applies to other periods; see `LINKS`.
        confidence: of the intervals of the shift, in (0, 1).

    Raises:
        InputError: the codings have no sentence or no label in common, or the estimates do not fit.
    """
    pairs = _pairs(old, new, renamed or {})
    places = {identifier: place for place, identifier in enumerate(new.ids)}
    kept = [place for place, identifier in enumerate(old.ids) if identifier in places]
    if not kept:
        raise InputError(
            f"{old.source} and {new.source} have no sentence in common, so the shift is unknown. Code some sentences "
            "in both ways: predict or label a part of the corpus again."
        )
    rows, others = np.array(kept), np.array([places[old.ids[place]] for place in kept])
    weights = np.maximum(old.weights[rows], new.weights[others])
    documents = [old.documents[place] for place in kept]
    number = np.unique(documents, return_inverse=True)[1]
    shifts = [
        _shift(a, b, old.values[rows, old.labels.index(a)], new.values[others, new.labels.index(b)], weights, number,
               confidence)
        for a, b in pairs
    ]  # fmt: skip
    notes = [
        f"{counted(one.gained + one.lost, 'sentence was', 'sentences were')} coded differently for {one.new}: the "
        "shift is uncertain; code more sentences in both ways"
        for one in shifts
        if one.gained + one.lost < FEWEST
    ]
    left = sorted(set(old.labels) - {a for a, _ in pairs}) + sorted(set(new.labels) - {b for _, b in pairs})
    if left:
        notes.append(f"labels in only one coding are left out: {', '.join(left)} (if renamed, use --rename OLD=NEW)")
    points: list[Point] = []
    if before is not None and after is not None:
        _check_series(before, after)
        points = [point for one in shifts for point in _spliced(before, after, one, link)]
        notes.append(f"figures from before the change are moved to the new level, assuming that {LINKS[link]}")
    return Bridge(
        sentences=len(kept),
        documents=int(number.max()) + 1,
        confidence=confidence,
        link=link,
        by=before.by if before else "",
        shifts=shifts,
        points=points,
        notes=notes,
    )


def _pairs(old: Coding, new: Coding, renamed: Mapping[str, str]) -> list[tuple[str, str]]:
    for a, b in renamed.items():
        for name, own in ((a, old), (b, new)):
            if name not in own.labels:
                raise InputError(
                    f"--rename {a}={b}: {own.source} has no label '{name}'. Labels: {', '.join(own.labels)}."
                )
    pairs = [(a, renamed.get(a, a)) for a in old.labels if renamed.get(a, a) in new.labels]
    if not pairs:
        raise InputError(
            f"{old.source} and {new.source} have no label in common ({', '.join(old.labels)}; "
            f"{', '.join(new.labels)}). Name renamed labels with --rename OLD=NEW."
        )
    return pairs


def _shift(
    old: str, new: str, before: Floats, after: Floats, weights: Floats, documents: Ints, confidence: float
) -> Shift:
    """The shift of one label, from arrays of shape (n,)."""
    share = weights / weights.sum()
    first, second = float(share @ before), float(share @ after)
    gain, loss = np.clip(after - before, 0, 1), np.clip(before - after, 0, 1)
    return Shift(
        old=old,
        new=new,
        before=first,
        after=second,
        gained=int((gain > 0).sum()),
        lost=int((loss > 0).sum()),
        difference=_difference(gain, loss, share, documents, confidence),
        ratio=_ratio(before, after, share, documents, confidence),
    )


def _difference(gain: Floats, loss: Floats, share: Floats, documents: Ints, confidence: float) -> Figure:
    """The share gained minus the share lost; the interval has a width even if no sentence changed."""
    n_documents = int(documents.max()) + 1
    quantile = student_quantile(np.array(float(max(n_documents - 1, 1))), confidence)
    least = 1 / float((share**2).sum())
    bounds = []
    for own in (gain, loss):
        value = float(share @ own)
        variance = _clustered(share * (own - value), documents)
        size = effective_sizes(np.array(value), np.array(max(variance, 1e-300)))
        size = np.array(least) if not 0 < value < 1 else np.minimum(size, least)
        low, high = score_interval(np.array(value), size, quantile)
        bounds.append((value, float(low), float(high)))
    (g, g_low, g_high), (l_, l_low, l_high) = bounds
    # Gains and losses exclude each other, so their shares are negatively correlated.
    joint = -math.sqrt(g * l_ / ((1 - g) * (1 - l_))) if g < 1 and l_ < 1 else 0.0
    below = math.sqrt((g - g_low) ** 2 + (l_high - l_) ** 2 - 2 * joint * (g - g_low) * (l_high - l_))
    above = math.sqrt((g_high - g) ** 2 + (l_ - l_low) ** 2 - 2 * joint * (g_high - g) * (l_ - l_low))
    return Figure.of(g - l_, max(g - l_ - below, -1.0), min(g - l_ + above, 1.0))


def _ratio(before: Floats, after: Floats, share: Floats, documents: Ints, confidence: float) -> Figure:
    """The ratio of both shares, on the logarithmic scale by the delta method."""
    first, second = float(share @ before), float(share @ after)
    if first == 0 or second == 0:
        return Figure(share=None, low=None, high=None)
    moved = share * ((after - second) / second - (before - first) / first)
    n = int(documents.max()) + 1
    reach = float(student_quantile(np.array(float(max(n - 1, 1))), confidence)) * math.sqrt(
        _clustered(moved, documents)
    )
    value = second / first
    return Figure.of(value, value * math.exp(-reach), value * math.exp(reach))


def _clustered(moved: Floats, documents: Ints) -> float:
    """The variance of a sum over independent documents."""
    n = int(documents.max()) + 1
    sums = sums_by(moved[:, None], documents, n)[:, 0]
    return float((sums**2).sum()) * n / max(n - 1, 1)


# -- the spliced series


def _check_series(before: Estimate, after: Estimate) -> None:
    if before.by not in PERIODS or before.by != after.by:
        raise InputError(
            f"the series are grouped by '{before.by or 'nothing'}' and by '{after.by or 'nothing'}', but both must be "
            f"grouped by the same period. Create both with `communique estimate --by {PERIODS[2]} --out FOLDER`."
        )
    if not any(one < min(after.groups) for one in before.groups):
        raise InputError(
            f"no {before.by} of the earlier series lies before {min(after.groups)}, where the later one begins, so "
            "there is nothing to move. Name the estimate from before the change with --before."
        )
    if before.unit != after.unit:
        raise InputError(
            f"one series counts {before.unit}, the other {after.unit}. Estimate both with the same --unit."
        )


def _spliced(before: Estimate, after: Estimate, shift: Shift, link: Link) -> Iterator[Point]:
    if shift.old not in before.labels or shift.new not in after.labels:
        return
    if link == "ratio" and shift.ratio.share is None:
        raise InputError(
            f"{shift.new}: no sentence of the overlap has the label in one of the codings, so there is no ratio. Use "
            "--link difference, or code more sentences in both ways."
        )
    first = min(after.groups, default="")
    for period in sorted({*before.groups, *after.groups}):
        if period in after.groups:
            own = after.cell(shift.new, period).published
            yield Point(label=shift.new, period=period, shifted=False, figure=own, unshifted=own)
        elif period < first:
            own = before.cell(shift.old, period).published
            moved = _moved(own, shift, link)
            yield Point(label=shift.new, period=period, shifted=True, figure=moved, unshifted=own)


def _moved(own: Figure, shift: Shift, link: Link) -> Figure:
    """A figure at the new level; the distances to its bounds are root sums of squares of its own and the shift's."""
    by = shift.ratio if link == "ratio" else shift.difference
    if own.share is None or own.low is None or own.high is None or by.share is None:
        return Figure(share=None, low=None, high=None)
    assert by.low is not None
    assert by.high is not None
    if link == "difference":
        share = own.share + by.share
        below, above = (
            math.hypot(own.share - own.low, by.share - by.low),
            math.hypot(own.high - own.share, by.high - by.share),
        )
        return Figure.of(*(min(max(one, 0.0), 1.0) for one in (share, share - below, share + above)))
    share = own.share * by.share
    if own.share == 0:
        return Figure.of(0.0, 0.0, min(own.high * by.high, 1.0))
    up = math.hypot(math.log(own.high / own.share), math.log(by.high / by.share))
    down = math.hypot(math.log(own.share / own.low), math.log(by.share / by.low)) if own.low > 0 else math.inf
    return Figure.of(*(min(one, 1.0) for one in (share, share * math.exp(-down), share * math.exp(up))))
