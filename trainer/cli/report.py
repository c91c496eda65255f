"""How the report of a model looks, and its numbers and intervals in tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from rich.table import Table
from rich.text import Text

from labels.cli.terminal import console

if TYPE_CHECKING:
    from trainer.calibration.certificate import Certificate
    from trainer.evaluation import Report


def number(value: float | None, digits: int = 3) -> str:
    """A figure with this many decimals; a dash if it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


class Bounded(Protocol):
    """An object with the two ends of an interval, which may be None."""

    @property
    def low(self) -> float | None:
        """The lower end."""

    @property
    def high(self) -> float | None:
        """The upper end."""


def bounds(interval: Bounded | None, digits: int = 3) -> str:
    """The two ends of an interval; a dash where there is none."""
    if interval is None or interval.low is None:
        return "–"
    return f"{interval.low:.{digits}f}–{interval.high:.{digits}f}"


def figure_table(first: str, others: Sequence[str]) -> Table:
    """An empty table: a column of names, then columns of figures, aligned right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


_MANY_LABELS = 12


def print_report(report: Report) -> None:
    """The main figures of a report, then a row for each label (the twelve most frequent, if there are more)."""
    from trainer.evaluation.tables import remarks

    summary = Table(box=None, pad_edge=False)
    for heading in ("", "value", _interval_heading(report)):
        summary.add_column(heading, justify="left" if not heading else "right")
    for name in ("macro_f1", "micro_f1", report.exact_match_name):
        interval = getattr(report.intervals, name) if report.intervals else None
        summary.add_row(name, number(getattr(report, name)), bounds(interval))
    summary.add_row("calibration error", number(report.calibration.expected_calibration_error), "")
    console.print(summary)
    console.print(_label_table(report))
    if report.certificate:
        console.print(_certificate_table(report.certificate))
    for remark in remarks(report):
        console.print(remark)


def _interval_heading(report: Report) -> str:
    return f"{report.intervals.confidence:.0%} interval" if report.intervals else "interval"


def _label_table(report: Report) -> Table:
    labels = sorted(report.labels, key=lambda label: -report.per_label[label].support)
    shown = set(labels[:_MANY_LABELS])
    table = Table(box=None, pad_edge=False)
    for heading in ("label", "precision", "recall", "F1", _interval_heading(report), "support", "threshold"):
        table.add_column(heading, justify="left" if heading == "label" else "right")
    for label in report.labels:
        if label in shown:
            figures = report.per_label[label]
            interval = report.intervals.per_label_f1.get(label) if report.intervals else None
            table.add_row(
                label,
                number(figures.precision),
                number(figures.recall),
                number(figures.f1),
                bounds(interval),
                str(figures.support),
                number(figures.threshold, 2),
            )
    if len(labels) > _MANY_LABELS:
        table.caption = f"{len(labels) - _MANY_LABELS} rarer labels are in report.json"
    return table


def _certificate_table(certificate: Certificate) -> Table:
    """For a cascade: how much its cheap model answers, and how far it may differ from the expensive one."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for name in ("what", "figures"):
        table.add_column(name, no_wrap=name == "what")
    table.add_row("cheap model answers", f"{certificate.answered_share:.1%} of {certificate.cases} sentences")
    differs = f"{certificate.share:.2%} (at most {certificate.upper_bound:.2%} at confidence "
    table.add_row("differs from expensive", f"{differs}{certificate.confidence:g})")
    labels = certificate.labels
    bounded = [f"{x.name} {x.share:.1%} (at most {x.upper_bound:.1%})" for x in labels if x.upper_bound is not None]
    rare = [f"{x.name} {x.lost} of {x.positives}" for x in labels if x.upper_bound is None]
    for what, losses in (("lost of expensive", bounded), ("too rare for a bound", rare)):
        if losses:
            table.add_row(what, _first(losses))
    if together := certificate.rare:
        counts = f"{together.lost} of {together.positives} ({together.share:.1%}, "
        table.add_row("these together", f"{counts}at most {together.upper_bound:.1%})")
    table.caption = "The bounds take sentences to be independent; sentences of one document rarely are."
    return table


def _first(figures: Sequence[str]) -> Text:
    """The figures of labels in one line; of very many, the first."""
    left = len(figures) - _MANY_LABELS
    return Text(", ".join(figures[:_MANY_LABELS]) + (f", {left} more in report.json" if left > 0 else ""))
