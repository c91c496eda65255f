"""Runs logged in MLflow, compared on leaderboards."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from labels.errors import InputError, TrackingError, did_you_mean
from trainer.runs.tracking.connection import (
    connect,
    first_line,
    is_gone,
    mlflow_store,
    shown_store,
    sqlite_file,
    store_uri,
)
from trainer.runs.tracking.locations import refuse_deleted
from trainer.runs.tracking.registry import CHAMPION, champion_runs

_PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class RunRow:
    """One run. `started` is the time of its start in milliseconds since 1970, or None."""

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    champion: bool
    started: int | None = None
    experiment: str = ""

    @property
    def cross_validated(self) -> bool:
        """Whether the figures are out-of-fold, those named after validation included."""
        folds = self.params.get("split.folds", "0"), self.params.get("split.leave_one_out", "False")
        return folds != ("0", "False")

    def value(self, name: str) -> float | str | None:
        """Return a metric, param or tag by its name, or the start time; None if the run has none."""
        if name == "started":
            return self.started
        if name in self.metrics:
            return self.metrics[name]
        return self.params.get(name, self.tags.get(name))

    def shown(self, name: str) -> str:
        """Return `value` as text, with a dash for a missing one."""
        found = self.value(name)
        return "–" if found is None else f"{found:.4g}" if isinstance(found, float) else str(found)


@dataclass(frozen=True)
class Board:
    """Runs that can be compared, because they have the same split, codebook and gold.

    The run with the best macro-F1 on validation comes first. `evaluation_hash` identifies the texts and labels of
    validation and test; it is empty if the runs did not log it. `confidence` is the confidence level of the intervals;
    None if the runs have different levels. `cross_validated`: the figures of the runs are out-of-fold.
    """

    split_hash: str
    evaluation_hash: str
    data: str
    labels: tuple[str, ...]
    synthetic: bool
    confidence: float | None
    rows: tuple[RunRow, ...]
    cross_validated: bool = False


def leaderboards(experiment: str) -> list[Board]:
    """Return the boards of an MLflow experiment; the board with the newest run comes first.

    Runs without figures come last on their board. The list is empty if the experiment has no runs.

    Raises:
        TrackingError: there is no MLflow store, or the experiment does not exist or was deleted.
    """
    # Scores can be compared only if the runs have the same split, gold and codebook.
    groups: dict[tuple[str, ...], list[RunRow]] = {}
    rows = _rows_of_file(experiment)
    for row in list_runs(experiment) if rows is None else rows:
        if _PARENT in row.tags:  # a fold: its figures are part of those of the run above it
            continue
        key = tuple(row.tags.get(tag, "") for tag in ("split.hash", "data.judging_hash", "codebook.hash"))
        groups.setdefault(key, []).append(row)
    return [_board(split, evaluation, rows) for (split, evaluation, _), rows in groups.items()]


def _board(split_hash: str, evaluation_hash: str, rows: Sequence[RunRow]) -> Board:
    ordered = sorted(rows, key=lambda row: row.metrics.get("validation_macro_f1", -1.0), reverse=True)
    newest = rows[0]
    data = newest.params.get("data.train") or newest.params.get("data.source", "")
    names = sorted({name for row in rows for name in row.metrics})
    labels = tuple(name.removeprefix("f1.") for name in names if name.startswith("f1."))
    levels = {float(row.params["evaluation.confidence"]) for row in rows if "evaluation.confidence" in row.params}
    return Board(
        split_hash=split_hash,
        evaluation_hash=evaluation_hash,
        data=data,
        labels=labels,
        synthetic=newest.tags.get("synthetic") == "true",
        confidence=levels.pop() if len(levels) == 1 else None,
        rows=tuple(ordered),
        cross_validated=newest.cross_validated,  # as are all: the hash of the split is that of its folds
    )


def list_runs(experiment: str) -> list[RunRow]:
    """Return all runs of an experiment, newest first.

    Raises:
        TrackingError: there is no MLflow store, or the experiment does not exist or was deleted.
    """
    connect(create=False)
    with mlflow_store("read") as mlflow:
        found = mlflow.get_experiment_by_name(experiment)
        if found is None:
            raise TrackingError(_missing_experiment(experiment, [each.name for each in mlflow.search_experiments()]))
        refuse_deleted(found)
        champions = champion_runs()
        newest_first = ["attributes.start_time DESC"]
        runs = mlflow.search_runs([found.experiment_id], order_by=newest_first, output_format="list")
    return [_row(run, champions, experiment) for run in runs]


def _row(run: Any, champions: Collection[str], experiment: str) -> RunRow:
    return RunRow(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        status=run.info.status,
        params=run.data.params,
        metrics=run.data.metrics,
        tags=run.data.tags,
        champion=run.info.run_id in champions,
        started=run.info.start_time,
        experiment=experiment,
    )


def find_runs(experiment: str = "", where: str = "") -> list[RunRow]:
    """Return all runs that a filter of MLflow matches, newest first, child runs included.

    Args:
        experiment: name of an experiment; empty for all.
        where: an expression of MLflow's search, e.g. "metrics.macro_f1 > 0.8"; empty for all runs.

    Raises:
        InputError: MLflow does not understand the filter.
        TrackingError: there is no MLflow store, or no such experiment.
    """
    connect(create=False)
    with mlflow_store("read") as mlflow:
        names = {each.experiment_id: each.name for each in mlflow.search_experiments()}
        if experiment and experiment not in names.values():
            raise TrackingError(_missing_experiment(experiment, list(names.values())))
        champions = champion_runs()
        chosen = [key for key, name in names.items() if experiment in ("", name)]
        try:
            runs = mlflow.search_runs(
                chosen, filter_string=where, order_by=["attributes.start_time DESC"], output_format="list"
            )
        except mlflow.exceptions.MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            raise InputError(
                f"--filter {where}: MLflow does not understand this filter ({first_line(error)}). Compare metrics with "
                'numbers and params and tags with quoted text, e.g. "metrics.macro_f1 > 0.8 and '
                "params.`model.kind` = 'tfidf'\"."
            ) from error
    return [_row(run, champions, names[run.info.experiment_id]) for run in runs]


def sorted_runs(rows: Sequence[RunRow], by: str) -> list[RunRow]:
    """Return runs in the order of a value, with "-" before its name the largest first; runs without it come last.

    Raises:
        InputError: no run has such a value.
    """
    name = by.removeprefix("-")
    have = [row for row in rows if row.value(name) is not None]
    if rows and not have:
        known = {key for row in rows for key in (*row.metrics, *row.params, *row.tags)}
        raise InputError(f"--sort {by}: no run has a metric, param or tag '{name}'{did_you_mean(name, known)}.")
    numbers = all(isinstance(row.value(name), int | float) for row in have)

    def key(row: RunRow) -> tuple[float, str]:
        found = row.value(name)
        return (float(found), "") if numbers and found is not None else (0.0, str(found))

    return [*sorted(have, key=key, reverse=by.startswith("-")), *(row for row in rows if row.value(name) is None)]


def count_deleted_runs(experiment: str) -> int:
    """Return the number of deleted runs of an experiment that exists."""
    with mlflow_store("read") as mlflow:
        found = mlflow.search_runs(
            experiment_names=[experiment],
            run_view_type=mlflow.entities.ViewType.DELETED_ONLY,
            output_format="list",
        )
    return len(found)


def _missing_experiment(name: str, known: Sequence[str]) -> str:
    own = sorted(set(known) - {"Default"})
    others = f" It has {', '.join(own)}." if own else ""
    return (
        f"MLflow at {shown_store()} has no experiment '{name}'{did_you_mean(name, own)}.{others} "
        "Run `communique train` first, or choose another experiment with --experiment."
    )


def _rows_of_file(experiment: str) -> list[RunRow] | None:
    """Return the result of `list_runs` read directly from MLflow's SQLite file, because importing MLflow takes seconds.

    Returns None if `list_runs` is needed: MLflow is already imported, its store is not a SQLite file or has an
    unexpected form, the experiment does not exist, or a process that has ended left a run open.
    """
    path = sqlite_file(store_uri())
    if "mlflow" in sys.modules or os.environ.get("MLFLOW_REGISTRY_URI") or path is None or not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            rows = _read_rows(database, experiment)
    except sqlite3.Error:
        return None
    return None if any(row.status == "RUNNING" and is_gone(row.tags) for row in rows) else rows or None


def _read_rows(database: sqlite3.Connection, experiment: str) -> list[RunRow]:
    """Return the rows of an active experiment, newest first."""
    chosen = (
        "SELECT run_uuid FROM runs JOIN experiments USING (experiment_id) "
        "WHERE experiments.name = ? AND experiments.lifecycle_stage = 'active' AND runs.lifecycle_stage = 'active'"
    )

    def values(table: str, value: str) -> dict[str, dict[str, Any]]:
        """Read a table; returns the values by key, by run id."""
        found: dict[str, dict[str, Any]] = {}
        query = f"SELECT run_uuid, key, {value} FROM {table} WHERE run_uuid IN ({chosen})"  # noqa: S608
        for run_id, key, content in database.execute(query, [experiment]):
            found.setdefault(run_id, {})[key] = content
        return found

    params, tags = values("params", "value"), values("tags", "value")
    # MLflow stores nan as 0 and sets the column is_nan.
    metrics = values("latest_metrics", "CASE WHEN is_nan THEN 'nan' ELSE value END")
    versions = "SELECT run_id FROM registered_model_aliases JOIN model_versions USING (name, version) WHERE alias = ?"
    champions = {run_id for (run_id,) in database.execute(versions, [CHAMPION])}
    runs = database.execute(
        f"SELECT run_uuid, name, status, start_time FROM runs WHERE run_uuid IN ({chosen}) "  # noqa: S608
        "ORDER BY start_time DESC, run_uuid",
        [experiment],
    )
    return [
        RunRow(
            run_id=run_id,
            name=name or "",
            status=status,
            params=params.get(run_id, {}),
            metrics={key: float(value) for key, value in metrics.get(run_id, {}).items()},
            tags=tags.get(run_id, {}),
            champion=run_id in champions,
            started=started,
            experiment=experiment,
        )
        for run_id, name, status, started in runs
    ]
