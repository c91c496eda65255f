"""The plot of an estimate: the published shares with their intervals, and the raw counts of predictions behind them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trainer.estimate.given.domains import PERIODS
from trainer.estimate.results import Cell, Estimate
from trainer.estimate.results import Figure as Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

    from trainer.estimate.combined.bridging import Bridge

_COLOUR, _RAW = "#1f5fa8", "#9aa0a6"
_MOST_TICKS = 12
_ALONE = "few positives or negatives: the sample alone"
_HOLLOW: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 5,
    "markerfacecolor": "white",
    "markeredgecolor": _COLOUR,
    "zorder": 4,
}


def write_plot(found: Estimate, path: Path) -> None:
    """Write the plot as PNG; see `draw_estimate`."""
    draw_estimate(found).savefig(path, dpi=150)


def draw_estimate(found: Estimate) -> Canvas:
    """Return the plot: one panel per label, over time or groups; without groups, all labels in one panel."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    panels = len(found.labels) if found.groups else 1
    height = 2.1 * panels + 0.9 if found.groups else 0.5 * len(found.labels) + 1.6
    canvas = Canvas(figsize=(8.0, height), layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.subplots(panels, 1, sharex=bool(found.groups), squeeze=False)[:, 0]
    if found.groups:
        for axis, label in zip(axes, found.labels, strict=True):
            _panel(axis, label, [found.cell(label, group) for group in found.groups], found)
    else:
        _overall(axes[0], found)
    _legend(canvas, axes)
    canvas.supylabel(f"share of {found.unit}", fontsize=9) if found.groups else None
    return canvas


def draw_bridge(found: Bridge) -> Canvas:
    """Return the plot of a spliced series: one panel per label, with the figures before they were moved behind."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    labels = list(dict.fromkeys(one.label for one in found.points))
    canvas = Canvas(figsize=(8.0, 2.1 * len(labels) + 0.9), layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.subplots(len(labels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, label in zip(axes, labels, strict=True):
        own = [one for one in found.points if one.label == label]
        places = np.arange(len(own))
        shares, low, high = (_numbers([one.figure for one in own], name) for name in ("share", "low", "high"))
        raw = _numbers([one.unshifted for one in own], "share")
        moved = int(sum(one.shifted for one in own))
        axis.plot(places[:moved], raw[:moved], color=_RAW, marker="o", markersize=3, linewidth=1, label="as coded")
        axis.fill_between(places, low, high, color=_COLOUR, alpha=0.18, linewidth=0)
        name = f"at the new level, {found.confidence:.0%} interval"
        axis.plot(places, shares, color=_COLOUR, marker="o", markersize=3.5, linewidth=1.4, label=name)
        _lone(axis, places, shares, low, high)
        axis.axvline(moved - 0.5, color="#5f6368", linewidth=1, linestyle=":", label="change")
        step = max(1, -(-len(own) // _MOST_TICKS))
        periods = [one.period for one in own]
        axis.set_xticks(places[::step], periods[::step], rotation=30 if len(own) > 6 else 0, fontsize=8)
        axis.set_title(label, fontsize=9, loc="left")
        _style(axis, "y", np.fmax(high, np.nan_to_num(raw)))
    _legend(canvas, axes)
    return canvas


def _numbers(figures: list[Interval], name: str) -> Any:
    return np.array([np.nan if getattr(one, name) is None else getattr(one, name) for one in figures], dtype=float)


def _legend(canvas: Canvas, axes: Any) -> None:
    """One legend for all panels, above them: not every panel has points from the sample alone."""
    entries: dict[str, Any] = {}
    for axis in axes:
        entries |= {name: handle for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    canvas.legend(entries.values(), entries.keys(), loc="outside upper right", ncols=3, frameon=False, fontsize=8)


def _panel(axis: Axes, label: str, cells: list[Cell], found: Estimate) -> None:
    places = np.arange(len(cells))
    shares, low, high = (_column(cells, name) for name in ("share", "low", "high"))
    raw = np.array([cell.raw for cell in cells])
    interval = f"estimate, {found.confidence:.0%} interval"
    if found.by in PERIODS:
        axis.plot(places, raw, color=_RAW, linewidth=1, alpha=0.7, label="predictions counted")
        axis.fill_between(places, low, high, color=_COLOUR, alpha=0.18, linewidth=0)
        axis.plot(places, shares, color=_COLOUR, marker="o", markersize=3.5, linewidth=1.4, label=interval)
        _lone(axis, places, shares, low, high)
    else:
        axis.plot(places, raw, "_", color=_RAW, markersize=12, label="predictions counted")
        _whiskers(axis, places, shares, low, high, interval)
    small = np.array([cell.small for cell in cells], dtype=bool)
    if small.any():
        axis.plot(places[small], shares[small], **_HOLLOW, label=_ALONE)
    step = max(1, -(-len(cells) // _MOST_TICKS))
    axis.set_xticks(places[::step], found.groups[::step], rotation=30 if len(cells) > 6 else 0, fontsize=8)
    axis.set_title(label, fontsize=9, loc="left")
    _style(axis, "y", high)


def _lone(axis: Axes, places: Any, shares: Any, low: Any, high: Any) -> None:
    """Whiskers for periods between two without an estimate, where a band has no width."""
    known = np.concatenate([[False], np.isfinite(shares), [False]])
    lone = known[1:-1] & ~known[:-2] & ~known[2:]
    if lone.any():
        reach = np.abs(np.vstack([shares - low, high - shares]))[:, lone]
        axis.errorbar(places[lone], shares[lone], yerr=reach, fmt="none", ecolor=_COLOUR, alpha=0.5, capsize=3)


def _whiskers(axis: Axes, places: Any, shares: Any, low: Any, high: Any, name: str) -> None:
    reach = np.abs(np.vstack([shares - low, high - shares]))
    axis.errorbar(places, shares, yerr=reach, fmt="o", color=_COLOUR, markersize=4, capsize=3, label=name)


def _overall(axis: Axes, found: Estimate) -> None:
    cells = [found.cell(label) for label in reversed(found.labels)]
    places = np.arange(len(cells))
    shares, low, high = (_column(cells, name) for name in ("share", "low", "high"))
    axis.plot([cell.raw for cell in cells], places, "|", color=_RAW, markersize=12, label="predictions counted")
    reach = np.abs(np.vstack([shares - low, high - shares]))
    axis.errorbar(
        shares, places, xerr=reach, fmt="o", color=_COLOUR, markersize=4, capsize=3,
        label=f"estimate, {found.confidence:.0%} interval",
    )  # fmt: skip
    small = np.array([cell.small for cell in cells], dtype=bool)
    if small.any():
        axis.plot(shares[small], places[small], **_HOLLOW, label=_ALONE)
    axis.set_yticks(places, [cell.label for cell in cells], fontsize=9)
    axis.set_ylim(-0.6, len(cells) - 0.4)
    axis.set_xlabel(f"share of {found.unit}", fontsize=9)
    _style(axis, "x", high)


def _style(axis: Axes, which: Literal["x", "y"], high: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    getattr(axis, f"{which}axis").set_major_formatter(PercentFormatter(1.0))
    top = float(np.nanmax(high)) if np.isfinite(high).any() else 1.0
    getattr(axis, f"set_{which}lim")(0, max(top * 1.12, 1e-4))
    axis.grid(axis=which, color="#e3e6ea", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def _column(cells: list[Cell], name: str) -> Any:
    return _numbers([cell.published for cell in cells], name)
