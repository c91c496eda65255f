"""The picture of a learning curve: points with intervals, every repeat, and the law through them drawn out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_BLUE, _GREY, _INK = "#2b5c8a", "#b8c4d0", "#222222"
_BEYOND = 1.25
"""How far past the data the law is drawn, at least."""


def draw_learning_curve(report: dict[str, Any], path: Path) -> None:
    """Write a PNG of what `learning_curve.json` holds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6.5, 4.5), dpi=110, layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots()
    _draw_points(axes, report)
    if report["outlook"]:
        _draw_law(axes, report)
    _label_axes(axes, report)
    drawing.savefig(path, metadata={"Software": None})


def _draw_points(axes: Any, report: dict[str, Any]) -> None:
    fits = [fit for point in report["points"] for fit in point["fits"] if fit["macro_f1"] is not None]
    axes.plot(
        [fit["train"] + fit["validation"] for fit in fits],
        [fit["macro_f1"] for fit in fits],
        "o",
        color=_GREY,
        markersize=4,
        label="each repeat",
    )
    for point in report["points"]:
        bounds = point["macro_f1"]
        if bounds["value"] is None:
            continue
        axes.plot(point["labelled"], bounds["value"], "o", color=_BLUE, markersize=7)
        if bounds["low"] is not None:
            axes.plot([point["labelled"]] * 2, [bounds["low"], bounds["high"]], color=_BLUE, linewidth=2)


def _draw_law(axes: Any, report: dict[str, Any]) -> None:
    law = report["outlook"]
    first, last = report["points"][0]["labelled"], law["labelled"]
    end = max(last + law["more"], _BEYOND * last)
    for start, stop, line, label in ((first, last, "-", "power law"), (last, end, "--", "beyond the data")):
        n = np.geomspace(start, stop, 50)
        axes.plot(n, law["ceiling"] - law["scale"] * n ** -law["rate"], line, color=_INK, linewidth=1.2, label=label)


def _label_axes(axes: Any, report: dict[str, Any]) -> None:
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    sizes = [point["labelled"] for point in report["points"]]
    axes.set_xscale("log")
    axes.set_xticks(sizes)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 1)
    axes.set_xlabel("labelled sentences (train and validation)")
    interval = f"line: {report['confidence']:.0%} interval" if not report["intervals_reason"] else "no intervals"
    axes.set_ylabel(f"macro-F1 on test, {interval}")
    axes.set_title(f"{report['experiment']}: mean of {len(report['points'][0]['fits'])} repeats", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
