"""The plots of a report and of a learning curve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.calibration.calibration import Floats
from trainer.evaluation.metrics import CALIBRATION_BINS, confusion, reliability_bins
from trainer.evaluation.report import Outcome, Report

if TYPE_CHECKING:
    from trainer.evaluation.curve_figures import LearningCurve, Outlook


_MANY = 12
_MOST_BARS = 100
"""Maximum number of bars. If there are more labels, only the most frequent are shown, to keep the plot readable."""
_MOST_CLASSES = 40
"""Maximum number of classes in a confusion matrix with readable numbers."""
_FEW_ROWS = 30
"""A bin of a reliability plot with fewer rows is drawn hollow: its observed share is uncertain."""
_BEYOND = 1.25
"""The law of a learning curve is drawn at least up to this multiple of the number of labelled sentences."""
BLUE, GREY, INK = "#2b5c8a", "#b8c4d0", "#222222"


def draw_plots(outcome: Outcome, report: Report, folder: Path) -> list[Path]:
    """Write the plots as PNG files into `folder`; returns their paths.

    There is no confusion matrix if there are too many labels.
    """
    # The height grows with the number of labels, so that label names do not overlap.
    tall = max(4.5, 0.35 * min(len(outcome.labels), _MOST_BARS) + 1.5)
    drawn = [
        _save(folder / "f1_per_label.png", lambda axes: draw_f1(axes, report), height=tall),
        _save(folder / "precision_recall.png", lambda axes: _draw_precision_recall(axes, outcome)),
        _save(folder / "reliability.png", lambda axes: _draw_reliability(axes, outcome)),
    ]
    if len(outcome.labels) <= _MOST_CLASSES:
        wide, path = max(6.5, tall), folder / "confusion.png"
        drawn.append(_save(path, lambda axes: _draw_confusion(axes, outcome), width=wide, height=tall))
    return drawn


def attempt_plots(draw: Callable[[], object]) -> tuple[str, ...]:
    """Call a function that draws plots; returns a note if it fails, so that a failed plot loses no results.

    Raises:
        OSError: a plot cannot be written.
    """
    try:
        draw()
    except OSError:
        raise
    except Exception as error:  # such as a setting in the user's matplotlibrc
        reason = next(iter(str(error).splitlines()), "")[:200]
        return (f"the plots could not be drawn ({type(error).__name__}: {reason}); the report is complete",)
    return ()


def draw_learning_curve(curve: LearningCurve, path: Path) -> None:
    """Write a learning curve as a PNG file: every repeat, the means with intervals, and the extrapolated law."""

    def draw(axes: Any) -> None:
        _draw_points(axes, curve)
        if curve.outlook:
            _draw_law(axes, curve.points[0].labelled, curve.outlook)
        _label_curve(axes, curve)

    _save(path, draw)


def _save(path: Path, draw: Callable[[Any], None], *, width: float = 6.5, height: float = 4.5) -> Path:
    # Not pyplot: it would choose a backend, which may need a display, and keep every figure in memory.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes)
    axes.spines[["top", "right"]].set_visible(False)
    # matplotlib writes its version into the file. Without it, equal figures give equal bytes.
    figure.savefig(path, metadata={"Software": None})
    return path


def draw_f1(axes: Any, report: Report) -> None:
    """Draw a bar for the F1 of each label, with a line for its interval; only the most frequent labels if there are
    more than `_MOST_BARS`.
    """
    labels = _most_frequent(report)
    values = [report.per_label[label].f1 for label in labels]
    support = [report.per_label[label].support for label in labels]
    positions = np.arange(len(labels))[::-1]
    # A label without F1 keeps its row, with the word "undefined" instead of a bar.
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
    line = f"line: {report.intervals.confidence:.0%} interval" if report.intervals else "too few groups for intervals"
    axes.set_xlabel(f"F1 {'on test' if report.basis == 'test' else 'out-of-fold'} ({line})")
    macro = "undefined" if report.macro_f1 is None else f"{report.macro_f1:.3f}"
    left_out = f"; the {len(labels)} most frequent labels" if len(labels) < len(report.labels) else ""
    axes.set_title(f"macro-F1 {macro}, n = {report.n_test}{left_out}", loc="left")


def _most_frequent(report: Report) -> list[str]:
    """Return the labels to draw, in codebook order."""
    by_support = sorted(report.labels, key=lambda label: -report.per_label[label].support)
    drawn = set(by_support[:_MOST_BARS])
    return [label for label in report.labels if label in drawn]


def _draw_precision_recall(axes: Any, outcome: Outcome) -> None:
    from sklearn.metrics import precision_recall_curve

    # Recall is undefined without positives, and many curves in one plot cannot be told apart.
    shown = [i for i in range(len(outcome.labels)) if outcome.gold[:, i].any()]
    for i in sorted(shown, key=lambda i: -outcome.gold[:, i].sum())[:_MANY]:
        precision, recall, _ = precision_recall_curve(outcome.gold[:, i], outcome.probabilities[:, i])
        (line,) = axes.step(recall, precision, where="post", label=outcome.labels[i], linewidth=1.6)
        gold, predicted = outcome.gold[:, i], outcome.predicted[:, i]
        if predicted.any():
            hits = (gold & predicted).sum()
            # For an exclusive codebook this point is off the curve: the decision is the argmax, not a threshold.
            axes.plot(hits / gold.sum(), hits / predicted.sum(), "o", color=line.get_color(), markersize=7)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.set_title("Precision and recall; dots: the assigned labels", loc="left")
    if shown:
        axes.legend(frameon=False, fontsize=8, loc="lower left")


def _draw_reliability(axes: Any, outcome: Outcome) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)  # perfect calibration
    order = np.argsort(-outcome.gold.sum(axis=0))
    for i in order[:_MANY]:
        _draw_bins(axes, outcome.labels[i], *reliability_bins(outcome.probabilities[:, i], outcome.gold[:, i]))
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1.02),
        xlabel=f"mean predicted probability ({CALIBRATION_BINS} bins of equal mass; hollow: under {_FEW_ROWS} rows)",
        ylabel="observed share of the label",
    )
    axes.set_title("Reliability", loc="left")
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _draw_bins(axes: Any, label: str, predicted: Floats, observed: Floats, rows: Floats) -> None:
    """Draw a dot for each bin, hollow if it has few rows, with the Wilson interval of its observed share.

    No line joins the dots: a straight line between two bins would claim what nobody has observed.
    """
    low, high = _wilson(observed, rows)
    (dots,) = axes.plot(predicted, observed, "o", markersize=4, label=label)
    few = rows < _FEW_ROWS
    axes.plot(predicted[few], observed[few], "o", markersize=4, color=dots.get_color(), markerfacecolor="white")
    axes.vlines(predicted, low, high, color=dots.get_color(), linewidth=0.8, alpha=0.6)


def _wilson(shares: Floats, n: Floats) -> tuple[Floats, Floats]:
    """The 95% interval of shares of n rows each (Wilson 1927)."""
    z = 1.96
    middle = (shares + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(shares * (1 - shares) / n + z**2 / (4 * n**2))
    return middle - reach, middle + reach


def _draw_confusion(axes: Any, outcome: Outcome) -> None:
    names = [*outcome.labels, "none"]
    matrix = confusion(outcome.gold, outcome.predicted)
    # "none" is shown only if it occurs.
    used = len(names) if matrix[-1].any() or matrix[:, -1].any() else len(names) - 1
    matrix, names = matrix[:used, :used], names[:used]
    # Colours show the share of each row: otherwise frequent classes would hide the confusion of rare classes.
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(matrix > 0):
        color = "white" if shares[row, column] > 0.5 else INK
        axes.text(column, row, matrix[row, column], ha="center", va="center", color=color, fontsize=8)
    axes.set_xticks(range(used), names, rotation=45, ha="right")
    axes.set_yticks(range(used), names)
    axes.set(xlabel="predicted", ylabel="gold")
    axes.set_title("Confusion", loc="left")


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
    """Draw the power law: solid within the data, dashed beyond the data."""
    last = law.labelled
    end = max(last + law.more, _BEYOND * last)
    for start, stop, line, label in ((first, last, "-", "power law"), (last, end, "--", "beyond the data")):
        n = np.geomspace(start, stop, 50)
        axes.plot(n, law.ceiling - law.scale * n**-law.rate, line, color=INK, linewidth=1.2, label=label)


def _label_curve(axes: Any, curve: LearningCurve) -> None:
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    # Sizes grow geometrically, so on a logarithmic axis they have equal distances.
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
