"""The page of a comparison: figures, and the sentences that two models label differently, side by side."""

from __future__ import annotations

from pathlib import Path

from labels.output.drafts import write_whole
from trainer.evaluation.comparison import MACRO_F1, RARE_LABELS, Difference
from trainer.evaluation.report_tables import p_text
from trainer.runs.choice.comparing import Compared
from trainer.runs.publication.rendering import render


def write_changes(compared: Compared, path: Path) -> None:
    """Write the page of a comparison as one HTML file without links to other files.

    Raises:
        DataError: the file cannot be written.
    """
    write_whole(path, [render("comparison.html", compared=compared, rows=figure_rows(compared))])


def figure_rows(compared: Compared) -> list[tuple[str, ...]]:
    """Return the table of a comparison as text: name, positives, F1 of both, effect, interval, adjusted p, verdict."""
    found = compared.comparison
    decided = [(own, own.adjusted_p) for own in found.decided]
    lines = [(found.macro_f1, found.macro_f1.p), *decided, *((own, None) for own in found.rare)]
    return [_row(own, p, found.confidence) for own, p in lines]


def _row(own: Difference, p: float | None, confidence: float) -> tuple[str, ...]:
    name = {MACRO_F1: "macro-F1", RARE_LABELS: f"rare labels ({len(own.labels)})"}.get(own.name, own.name)
    between = "–" if own.low is None else f"{_signed(own.low)} to {_signed(own.high or 0.0)}"
    return (
        name,
        str(own.positives),
        *("–" if value is None else f"{value:.3f}" for value in (own.first, own.second)),
        "–" if own.effect is None else _signed(own.effect),
        between,
        "–" if p is None else p_text(p),
        _says(own, p, 1 - confidence),
    )


def _says(own: Difference, p: float | None, level: float) -> str:
    if p is None or own.effect is None:
        return "not decided singly" if own.positives and own.effect is not None else "not decided"
    if p > level:
        return "no difference shown"
    return "second is better" if own.effect > 0 else "first is better"


def _signed(value: float) -> str:
    shown = f"{value:+.3f}"
    return "0.000" if shown in ("+0.000", "-0.000") else shown
