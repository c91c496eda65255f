"""Pictures: of a report F1 with intervals, precision and recall, reliability, and confusion of exclusive labels; and of
a learning curve.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.evaluation.metrics import CALIBRATION_BINS, reliability_bins
from trainer.evaluation.report import Outcome, Report

if TYPE_CHECKING:
    from trainer.evaluation.curve_figures import LearningCurve, Outlook

_MANY = 12
_MOST_BARS = 100
"""Of more labels only the most frequent ones are drawn: a taller picture cannot be read."""
_MOST_CLASSES = 40
"""With more classes the numbers in a confusion matrix cannot be read."""
_BEYOND = 1.25
"""How far past the data the law of a learning curve is drawn, at least."""
BLUE, GREY, INK = "#2b5c8a", "#b8c4d0", "#222222"


def draw_plots(outcome: Outcome, report: Report, folder: Path) -> list[Path]:
    """Write the plots that fit the codebook as PNG files into `folder`; their paths."""
    tall = max(4.5, 0.35 * min(len(outcome.labels), _MOST_BARS) + 1.5)
    drawn = [
        _save(folder / "f1_per_label.png", lambda axes: draw_f1(axes, report), height=tall),
        _save(folder / "precision_recall.png", lambda axes: _draw_precision_recall(axes, outcome)),
        _save(folder / "reliability.png", lambda axes: _draw_reliability(axes, outcome)),
    ]
    if outcome.exclusive and len(outcome.labels) <= _MOST_CLASSES:
        wide, confusion = max(6.5, tall), folder / "confusion.png"
        drawn.append(_save(confusion, lambda axes: _draw_confusion(axes, outcome), width=wide, height=tall))
    return drawn


def draw_learning_curve(curve: LearningCurve, path: Path) -> None:
    """Write a curve as a PNG: means with intervals, every repeat, and the law through them drawn out."""

    def draw(axes: Any) -> None:
        _draw_points(axes, curve)
        if curve.outlook:
            _draw_law(axes, curve.points[0].labelled, curve.outlook)
        _label_curve(axes, curve)

    _save(path, draw)


def _save(path: Path, draw: Callable[[Any], None], *, width: float = 6.5, height: float = 4.5) -> Path:
    # A canvas of its own instead of pyplot: pyplot would choose a backend and keep every figure in memory.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes)
    axes.spines[["top", "right"]].set_visible(False)
    # Without the name of the software the same figures give the same bytes.
    figure.savefig(path, metadata={"Software": None})
    return path


def draw_f1(axes: Any, report: Report) -> None:
    """Draw a bar for the F1 of each label (the most frequent ones, if there are very many), and a line for its
    interval.
    """
    labels = _most_frequent(report)
    values = [report.per_label[label].f1 for label in labels]
    support = [report.per_label[label].support for label in labels]
    positions = np.arange(len(labels))[::-1]
    axes.barh(positions, [value or 0 for value in values], color=GREY, height=0.6)
    if report.intervals:
        for position, label in zip(positions, labels, strict=True):
            bounds = report.intervals.per_label_f1[label]
            if bounds.low is not None:
                axes.hlines(position, bounds.low, bounds.high, color=BLUE, linewidth=2.5)
    for position, value in zip(positions, values, strict=True):
        axes.text(0.012, position, "undefined" if value is None else f"{value:.2f}", va="center", color=INK)
    axes.set_yticks(positions, [f"{label}  (n={n})" for label, n in zip(labels, support, strict=True)])
    axes.set_xlim(0, 1)
    axes.set_xlabel(
        "F1 on test, line: bootstrap interval" if report.intervals else "F1 on test, too few groups for intervals"
    )
    macro = "undefined" if report.macro_f1 is None else f"{report.macro_f1:.3f}"
    left_out = f"; the {len(labels)} most frequent labels" if len(labels) < len(report.labels) else ""
    axes.set_title(f"macro-F1 {macro}, n = {report.n_test}{left_out}", loc="left")


def _most_frequent(report: Report) -> list[str]:
    """The labels to be drawn, in the codebook's order."""
    by_support = sorted(report.labels, key=lambda label: -report.per_label[label].support)
    drawn = set(by_support[:_MOST_BARS])
    return [label for label in report.labels if label in drawn]


def _draw_precision_recall(axes: Any, outcome: Outcome) -> None:
    from sklearn.metrics import precision_recall_curve

    shown = [i for i in range(len(outcome.labels)) if outcome.gold[:, i].any()]
    for i in sorted(shown, key=lambda i: -outcome.gold[:, i].sum())[:_MANY]:
        precision, recall, _ = precision_recall_curve(outcome.gold[:, i], outcome.probabilities[:, i])
        (line,) = axes.step(recall, precision, where="post", label=outcome.labels[i], linewidth=1.6)
        gold, predicted = outcome.gold[:, i], outcome.predicted[:, i]
        if predicted.any():
            hits = (gold & predicted).sum()
            axes.plot(hits / gold.sum(), hits / predicted.sum(), "o", color=line.get_color(), markersize=7)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.set_title("Precision and recall; dots: what is assigned", loc="left")
    if shown:
        axes.legend(frameon=False, fontsize=8, loc="lower left")


def _draw_reliability(axes: Any, outcome: Outcome) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    order = np.argsort(-outcome.gold.sum(axis=0))
    for i in order[:_MANY]:
        predicted, observed, _ = reliability_bins(outcome.probabilities[:, i], outcome.gold[:, i])
        axes.plot(predicted, observed, "o-", markersize=4, linewidth=1.2, label=outcome.labels[i])
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1.02),
        xlabel=f"mean predicted probability ({CALIBRATION_BINS} bins of equal mass)",
        ylabel="share that has the label",
    )
    axes.set_title("Reliability on test", loc="left")
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _draw_confusion(axes: Any, outcome: Outcome) -> None:
    names = [*outcome.labels, "none"]
    true = np.where(outcome.gold.any(axis=1), outcome.gold.argmax(axis=1), len(outcome.labels))
    predicted = np.where(outcome.predicted.any(axis=1), outcome.predicted.argmax(axis=1), len(outcome.labels))
    matrix = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(matrix, (true, predicted), 1)
    # "none" is shown only if it occurs.
    used = len(names) if matrix[-1].any() or matrix[:, -1].any() else len(names) - 1
    matrix, names = matrix[:used, :used], names[:used]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(matrix > 0):
        color = "white" if shares[row, column] > 0.5 else INK
        axes.text(column, row, matrix[row, column], ha="center", va="center", color=color, fontsize=8)
    axes.set_xticks(range(used), names, rotation=45, ha="right")
    axes.set_yticks(range(used), names)
    axes.set(xlabel="predicted", ylabel="gold")
    axes.set_title("Confusion on test", loc="left")


def _draw_points(axes: Any, curve: LearningCurve) -> None:
    fits = [fit for point in curve.points for fit in point.fits if fit.macro_f1 is not None]
    sizes = [fit.train + fit.validation for fit in fits]
    axes.plot(sizes, [fit.macro_f1 for fit in fits], "o", color=GREY, markersize=4, label="each repeat")
    for point in curve.points:
        mean = point.macro_f1
        if mean.value is not None:
            axes.plot(point.labelled, mean.value, "o", color=BLUE, markersize=7)
        if mean.low is not None:
            axes.vlines(point.labelled, mean.low, mean.high, color=BLUE, linewidth=2)


def _draw_law(axes: Any, first: int, law: Outlook) -> None:
    """The power law from the smallest size on, and beyond the data."""
    last = law.labelled
    end = max(last + law.more, _BEYOND * last)
    for start, stop, line, label in ((first, last, "-", "power law"), (last, end, "--", "beyond the data")):
        n = np.geomspace(start, stop, 50)
        axes.plot(n, law.ceiling - law.scale * n**-law.rate, line, color=INK, linewidth=1.2, label=label)


def _label_curve(axes: Any, curve: LearningCurve) -> None:
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    axes.set_xscale("log")
    axes.set_xticks([point.labelled for point in curve.points])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    interval = f"line: {curve.confidence:.0%} interval" if not curve.intervals_reason else "no intervals"
    axes.set(
        ylim=(0, 1),
        xlabel="labelled sentences (train and validation)",
        ylabel=f"macro-F1 on test, {interval}",
    )
    axes.set_title(f"{curve.experiment}: mean of {len(curve.points[0].fits)} repeats", loc="left")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
