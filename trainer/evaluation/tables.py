"""A report as a pandas table and as readable text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from trainer.evaluation.metrics import Interval
from trainer.evaluation.report import Report

if TYPE_CHECKING:
    import pandas as pd

_MANY_LABELS = 12
"""Maximum number of labels named in a remark."""
_COLUMNS = {
    **dict.fromkeys(("precision", "recall", "f1", "low", "high"), float),
    "support": int,
    **dict.fromkeys(("predicted", "threshold", "average_precision"), float),
    **dict.fromkeys(("expected_calibration_error", "brier_score", "log_loss"), float),
}
"""Columns of the table and their types."""


def report_frame(report: Report) -> pd.DataFrame:
    """Return a table with one row per label, then `micro avg` and `macro avg`.

    `low` and `high` are the bounds of the F1 interval. NaN means undefined.
    """
    import pandas as pd

    drawn = report.intervals
    rows: dict[str, dict[str, Any]] = {
        label: {
            **own.model_dump(),
            **report.calibration.per_label[label].model_dump(),
            **_ends(drawn.per_label_f1[label] if drawn else None),
        }
        for label, own in report.per_label.items()
    }
    support = sum(own.support for own in report.per_label.values())
    for name, f1, interval in (
        ("micro avg", report.micro_f1, drawn.micro_f1 if drawn else None),
        ("macro avg", report.macro_f1, drawn.macro_f1 if drawn else None),
    ):
        rows[name] = {"f1": f1, "support": support, **_ends(interval)}
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=list(_COLUMNS)).astype(_COLUMNS)


def report_text(report: Report) -> str:
    """Return a text table like scikit-learn's `classification_report`, with F1 intervals, followed by remarks."""
    frame = report_frame(report)
    wide = max(map(len, frame.index))
    interval = f"{report.intervals.confidence:.0%} interval" if report.intervals else "interval"
    lines = [_line(wide, "", "precision", "recall", "f1-score", interval, "support", "threshold"), ""]
    for name, row in frame.iterrows():
        lines += [""] if name == "micro avg" else []
        cells = (*map(_shown, (row.precision, row.recall, row.f1)), _between(row.low, row.high))
        lines.append(_line(wide, str(name), *cells, f"{row.support:.0f}", _shown(row.threshold)))
    return "\n".join([*lines, "", _summary(report), *remarks(report)])


def remarks(report: Report) -> list[str]:
    """Return the caveats that a reader of the figures must know, one per line."""
    per_label = report.intervals.per_label_f1 if report.intervals else {}
    rare = {label: own.reason for label, own in per_label.items() if report.per_label[label].f1 is not None}
    lines = [] if report.intervals else [f"No intervals: {report.intervals_reason}."]
    lines += [
        f"No interval for {labels}: {reason}. The interval of macro_f1 understates their uncertainty."
        for reason, labels in _by_reason(rare)
    ]
    lines += [f"Not calibrated: {labels} ({reason})." for reason, labels in _by_reason(report.uncalibrated)]
    lines += [f"Note: {note}." for note in report.notes]
    if report.synthetic:
        lines.append("Note: this model was trained on invented text (synthetic). Evaluate it on your own labels.")
    return lines


def _summary(report: Report) -> str:
    exact = getattr(report.intervals, report.exact_match_name, None)
    ends = f" ({_between(exact.low, exact.high)})" if exact and exact.low is not None else ""
    exact_match = f"{report.exact_match_name.replace('_', ' ')} {_shown(report.exact_match)}{ends}"
    error = f"calibration error {_shown(report.calibration.expected_calibration_error)}"
    return f"{report.n_test} texts in {report.n_groups} groups: {exact_match}, {error}"


def _ends(interval: Interval | None) -> dict[str, float | None]:
    return {"low": interval.low, "high": interval.high} if interval else {}


def _line(wide: int, name: str, *cells: str) -> str:
    return (f"{name:>{wide}}" + "".join(f"{cell:>14}" for cell in cells)).rstrip()


def _shown(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2f}"


def _between(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{low:.2f} - {high:.2f}"


def _by_reason(reasons: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each reason and the labels that it applies to; at most `_MANY_LABELS` labels are named."""
    for reason in filter(None, dict.fromkeys(reasons.values())):
        labels = [label for label, own in reasons.items() if own == reason]
        more = len(labels) - _MANY_LABELS
        yield reason, ", ".join(labels[:_MANY_LABELS]) + (f" and {more} more" if more > 0 else "")
