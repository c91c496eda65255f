"""A plot of agreement: the coefficients of each label with their intervals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labels.agreement.coefficients import Estimate
from labels.agreement.comparisons import Coefficients, Figures
from labels.errors import DataError, counted
from labels.output.drafts import whole_file

FORMATS = (".png", ".svg", ".pdf")
"""The extensions of plots."""

_KINDS = (
    ("kappa", "Cohen's kappa", "o", "#1f5fa8"),
    ("alpha", "Krippendorff's alpha", "s", "#c2570c"),
    ("ac1", "Gwet's AC1", "^", "#3d7a3d"),
)
"""The field of each coefficient, its name, mark and colour."""
_APART = 0.22
"""The distance between the marks of a label; labels are 1 apart."""
_LEFT, _RIGHT = -0.2, 1.02
"""Bounds of the axis; a smaller coefficient or bound is drawn at the left edge."""


def check_plot(path: Path) -> None:
    """Check the extension of a plot before a long computation.

    Raises:
        DataError: plots have other extensions.
    """
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path}: a plot is a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file. Change the extension.")


def plot_agreement(figures: Figures, title: str, path: Path) -> None:
    """Write the coefficients of each label, and of whole label sets, with their intervals.

    Args:
        title: the kind of decisions that `figures` describe.

    Raises:
        DataError: the file has another extension, or cannot be written.
    """
    # Not pyplot: it would choose a backend, which may need a display, and keep every figure in memory.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_plot(path)
    rows = {**figures.per_label, "whole sets": figures.sets}
    figure = Figure(figsize=(7.5, 1.9 + 0.55 * len(rows)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    _draw(axes, rows)
    sizes = f"{counted(figures.n_sentences, 'sentence')} of {counted(figures.n_documents, 'document')}"
    axes.set_title(f"{title}\n{sizes}, {', '.join(figures.annotators)}", loc="left", fontsize=10)
    with whole_file(path) as draft:
        # Without the version and the date, equal figures give equal bytes (except in SVG, which has random ids).
        hidden = {".png": "Software", ".svg": "Date", ".pdf": "CreationDate"}[path.suffix.lower()]
        figure.savefig(draft, format=path.suffix[1:].lower(), metadata={hidden: None})


def _draw(axes: Any, rows: dict[str, Coefficients]) -> None:
    for position, row in enumerate(rows.values()):
        for offset, mark, colour, estimate in _marks(row):
            _draw_estimate(axes, position + offset, mark, colour, estimate)
    for _, name, mark, colour in _KINDS:
        axes.plot([], [], mark, color=colour, label=name)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)  # the first label on top
    axes.set_xlim(_LEFT, _RIGHT)
    axes.axvline(0, color="#999999", linewidth=0.8)
    axes.axhline(len(rows) - 1.5, color="#cccccc", linewidth=0.8)
    axes.set_xlabel("agreement beyond chance (0: chance, 1: perfect), with intervals; hollow: no interval")
    axes.grid(axis="x", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.12 - 0.5 / len(rows)), ncols=3, frameon=False, fontsize=9)


def _marks(row: Coefficients) -> Iterator[tuple[float, str, str, Estimate]]:
    for place, (field, _, mark, colour) in enumerate(_KINDS):
        yield (place - 1) * _APART, mark, colour, getattr(row, field)


def _draw_estimate(axes: Any, height: float, mark: str, colour: str, estimate: Estimate) -> None:
    if estimate.value is None:
        axes.text(_LEFT + 0.01, height, "undefined", color=colour, fontsize=7, va="center")
        return
    if estimate.low is not None and estimate.high is not None:
        axes.hlines(height, max(estimate.low, _LEFT), max(estimate.high, _LEFT), color=colour, linewidth=1.6)
    # A hollow mark has no interval.
    face = colour if estimate.low is not None else "white"
    axes.plot([max(estimate.value, _LEFT)], [height], mark, color=colour, markerfacecolor=face, clip_on=False)
