"""Reports as pandas tables, as text with the caveats that a reader must know, and as metrics for MLflow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from labels.errors import counted
from trainer.evaluation.figures import AgreementFigures, FoldFigures, SliceFigures
from trainer.evaluation.intervals import Interval
from trainer.evaluation.report import Report

if TYPE_CHECKING:
    import pandas as pd

_MANY_LABELS = 12
"""Maximum number of labels named in a remark."""
_COLUMNS = {
    **dict.fromkeys(("precision", "recall", "f1", "low", "high"), float),
    "support": int,
    **dict.fromkeys(("predicted", "threshold", "average_precision", "roc_auc", "mcc"), float),
    **dict.fromkeys(("expected_calibration_error", "brier_score", "log_loss"), float),
}
"""Columns of the table and their types."""


def report_frame(report: Report) -> pd.DataFrame:
    """Return a table with one row per label, then `micro avg`, `macro avg` and `weighted avg`.

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
        ("micro", report.micro_f1, drawn.micro_f1 if drawn else None),
        ("macro", report.macro_f1, drawn.macro_f1 if drawn else None),
        ("weighted", None, None),
    ):
        if own := report.averages.get(name):  # reports of older versions have F1 only
            rows[f"{name} avg"] = {**own.model_dump(), "support": support, **_ends(own.intervals.get("f1"))}
        elif name != "weighted":
            rows[f"{name} avg"] = {"f1": f1, "support": support, **_ends(interval)}
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


FOLD_HEADINGS = ("fold", "sentences", "train", "validation", "macro-F1", "micro-F1")


def fold_rows(report: Report) -> list[tuple[str, ...]]:
    """Return the rows of the table of folds of a cross-validation, with `FOLD_HEADINGS`."""
    return [
        (
            fold.name,
            *map(str, (fold.n_test, fold.n_train, fold.n_validation)),
            *("undefined" if f1 is None else f"{f1:.3f}{mark}" for f1, mark in _fold_means(fold)),
        )
        for fold in report.folds
    ]


def _fold_means(fold: FoldFigures) -> tuple[tuple[float | None, str], ...]:
    """Macro- and micro-F1; macro-F1 with its number of labels if some are undefined, so that it averages fewer."""
    defined = sum(f1 is not None for f1 in fold.per_label_f1.values())
    every = counted(len(fold.per_label_f1), "label")
    mark = "" if defined == len(fold.per_label_f1) else f" ({defined} of {every})"
    return (fold.macro_f1, mark), (fold.micro_f1, "")


def p_text(p: float) -> str:
    """Return a p value as text, never as 0.000."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def agreement_text(report: Report) -> str:
    """Return how well the human coders agree on each label, as a sentence; also says that it is not known."""
    if not report.agreement:
        return (
            "How well coders agree is unknown: the data do not record decisions of several coders on the same "
            "sentences. `communique evaluate --store` measures agreement on sentences that two coders have labelled."
        )
    n = max(own.n_sentences for own in report.agreement.values())
    found = ", ".join(f"{_alpha(own)} on {label}" for label, own in report.agreement.items())
    return f"Agreement of the coders: {found} (Krippendorff's alpha; {counted(n, 'sentence')} with several coders)."


def _alpha(own: AgreementFigures) -> str:
    if own.alpha is None:
        return f"undefined ({own.reason})" if own.reason else "undefined"
    return f"{own.alpha:.2f}" + ("" if own.low is None else f" ({own.low:.2f} to {own.high:.2f})")


def remarks(report: Report) -> list[str]:
    """Return the caveats that a reader of the figures must know, one per line."""
    per_label = report.intervals.per_label_f1 if report.intervals else {}
    rare = {label: own.reason for label, own in per_label.items() if report.per_label[label].f1 is not None}
    lines = [] if report.intervals else [f"No intervals: {report.intervals_reason}."]
    lines += [
        f"No interval for {labels}: {reason}. The interval of macro_f1 understates the uncertainty of such labels."
        for reason, labels in _by_reason(rare)
    ]
    lines += [f"Not calibrated: {labels} ({reason})." for reason, labels in _by_reason(report.uncalibrated)]
    lines += [f"Note: {note}." for note in report.notes]
    if report.folds and not report.exclusive:
        lines.append(
            "Note: the thresholds of the labels are those of the saved model; each fold was labelled with its own "
            "thresholds."
        )
    if report.prevalence:
        without = {label: own.reason for label, own in report.prevalence.per_label.items()}
        lines += [f"No figures at the prevalence for {labels}: {reason}." for reason, labels in _by_reason(without)]
        lines.append(f"The figures at the prevalence assume {report.prevalence.assumption}.")
        if report.prevalence.source == "given":
            lines.append("This assumption cannot be checked for a given prevalence, only with an unlabelled corpus.")
        lines += [f"Warning: {warning}." for warning in report.prevalence.warnings]
    lines += [slice_remark(own) for own in report.slices if own.worse]
    if report.test_looks and report.test_looks > 1:
        lines.append(f"Note: figures of these test sentences were shown {report.test_looks} times, this time included.")
    if report.synthetic:
        lines.append("Note: this model was trained on invented text (synthetic). Evaluate it on your own labels.")
    return lines


def slice_remark(own: SliceFigures) -> str:
    """Return the remark on a slice that is reliably worse."""
    p = p_text(own.adjusted_p or 0)
    shown_p = f"p {p}" if p.startswith("<") else f"p = {p}"
    return (
        f"Warning: worse where {own.by} is '{own.value}' ({counted(own.n, 'sentence')}): micro-F1 "
        f"{_shown(own.micro_f1)}, {_shown(abs(own.difference or 0))} below the others ({shown_p}, "
        "corrected for the number of slices)."
    )


def _summary(report: Report) -> str:
    exact = getattr(report.intervals, report.exact_match_name, None)
    ends = f" ({_between(exact.low, exact.high)})" if exact and exact.low is not None else ""
    exact_match = f"{report.exact_match_name.replace('_', ' ')} {_shown(report.exact_match)}{ends}"
    error = f"calibration error {_shown(report.calibration.expected_calibration_error)}"
    return f"{counted(report.n_test, 'text')} in {counted(report.n_groups, 'group')}: {exact_match}, {error}"


def _ends(interval: Interval | None) -> dict[str, float | None]:
    return {"low": interval.low, "high": interval.high} if interval else {}


def _line(wide: int, name: str, *cells: str) -> str:
    return (f"{name:>{wide}}" + "".join(f"{cell:>14}" for cell in cells)).rstrip()


def _shown(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2f}"


def _between(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{low:.2f} - {high:.2f}"


def _by_reason(reasons: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each reason with its labels as text; the text names at most `_MANY_LABELS` labels."""
    for reason in filter(None, dict.fromkeys(reasons.values())):
        labels = [label for label, own in reasons.items() if own == reason]
        more = len(labels) - _MANY_LABELS
        yield reason, ", ".join(labels[:_MANY_LABELS]) + (f" and {more} more" if more > 0 else "")


def headline_metrics(report: Report) -> dict[str, float | None]:
    """Return the figures of a report that are logged to MLflow as metrics, by name."""
    # Runs in existing MLflow stores have these names: under a new name, a figure would be missing from leaderboards.
    names = (
        "macro_f1",
        "micro_f1",
        report.exact_match_name,
        "train_seconds",
        "sentences_per_second",
        "validation_macro_f1",
        "artefact_bytes",
        "n_test",
        "n_groups",
        "n_train",
    )
    figures = {name: getattr(report, name) for name in names}
    figures |= {f"f1.{label}": own.f1 for label, own in report.per_label.items()}
    figures |= {
        f"calibration.{name}": getattr(report.calibration, name)
        for name in ("expected_calibration_error", "brier_score", "log_loss")
    }
    if report.intervals:
        own = report.intervals
        bounds = {"macro_f1": own.macro_f1, "micro_f1": own.micro_f1, report.exact_match_name: report.exact_interval}
        figures |= {f"{name}.{end}": getattr(found, end) for name, found in bounds.items() if found for end in ENDS}
    return figures | _detailed_metrics(report)


ENDS = ("low", "high")
DETAILS = ("precision", "recall", "average_precision", "mcc")


def _detailed_metrics(report: Report) -> dict[str, float | None]:
    """Figures per label and averages beside F1, with intervals, and those of slices, checks and the prevalence.

    The names begin with the figure, "f1_low.aid", so that "f1." still begins the F1 of labels alone.
    """
    figures: dict[str, float | None] = {}
    for label, own in report.per_label.items():
        figures |= {f"{name}.{label}": getattr(own, name) for name in DETAILS}
        if report.intervals:
            found = report.intervals.per_label_f1[label]
            figures |= {f"f1_{end}.{label}": getattr(found, end) for end in ENDS}
    for average, mean in report.averages.items():
        figures |= {f"{average}_{name}": getattr(mean, name) for name in DETAILS}
    if report.slices:
        figures["slices.worse"] = sum(own.worse for own in report.slices)
    if report.checks:
        figures["checks.failure_rate"] = report.checks.rates[-1].rate
    if report.prevalence:
        figures["at_prevalence.macro_f1"] = report.prevalence.macro.f1
    return figures
