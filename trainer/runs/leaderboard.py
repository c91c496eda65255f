"""The runs side by side: comparable ones together, best on validation first, test figures with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainer.runs.tracking import RunRow, list_runs


@dataclass(frozen=True)
class Board:
    """Runs on one split with one codebook and the same gold to be judged by; only these compare.

    The best macro-F1 on validation comes first. `judging_hash` is of validation and test, empty for runs that did not
    log it; `confidence` is that of the intervals, None where they differ.
    """

    split_hash: str
    judging_hash: str
    data: str
    labels: tuple[str, ...]
    synthetic: bool
    confidence: float | None
    rows: tuple[RunRow, ...]


def leaderboards(experiment: str) -> list[Board]:
    """The boards of an MLflow experiment, the one with the newest run first; runs without figures come last in theirs.

    Raises:
        TrackingError: there is no such experiment.
    """
    groups: dict[tuple[str, ...], list[RunRow]] = {}
    for row in list_runs(experiment):
        key = tuple(row.tags.get(tag, "") for tag in ("split.hash", "data.judging_hash", "codebook.hash"))
        groups.setdefault(key, []).append(row)
    return [_board(split, judging, rows) for (split, judging, _), rows in groups.items()]


def _board(split_hash: str, judging_hash: str, rows: Sequence[RunRow]) -> Board:
    ordered = sorted(rows, key=_on_validation, reverse=True)
    newest = rows[0]
    data = newest.params.get("data.train") or newest.params.get("data.source", "")
    labels = tuple(key.removeprefix("f1.") for key in _metric_names(ordered) if key.startswith("f1."))
    levels = {float(row.params["evaluation.confidence"]) for row in rows if "evaluation.confidence" in row.params}
    return Board(
        split_hash=split_hash,
        judging_hash=judging_hash,
        data=data,
        labels=labels,
        synthetic=newest.tags.get("synthetic") == "true",
        confidence=levels.pop() if len(levels) == 1 else None,
        rows=tuple(ordered),
    )


def _on_validation(row: RunRow) -> float:
    value = row.metric("validation_macro_f1")
    return -1.0 if value is None else value


def _metric_names(rows: Iterable[RunRow]) -> list[str]:
    return sorted({key for row in rows for key in row.metrics})
