"""Locations of MLflow's artifacts: deleted experiments and moved files are detected before a run.

MLflow records absolute paths in its SQLite file, so they are wrong after the project folder was moved or copied.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from labels.errors import InputError, TrackingError
from trainer.runs.tracking.connection import refuse_missing_store, sqlite_file, store_uri

CORRECT = "communique track --moved"
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Columns of MLflow's SQLite file with absolute paths."""


def use_experiment(name: str) -> None:
    """Set the MLflow experiment to which runs are logged; creates the experiment if it is missing.

    Raises:
        TrackingError: the experiment was deleted, or its artifacts were moved.
    """
    import mlflow

    found = mlflow.get_experiment_by_name(name)
    if found is not None:
        refuse_deleted(found)
        refuse_moved(found)
    mlflow.set_experiment(name)


def refuse_deleted(experiment: Any) -> None:
    """Raise TrackingError if an MLflow experiment was deleted."""
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"the MLflow experiment '{experiment.name}' was deleted. Restore the experiment and its runs with "
            f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`, or choose another experiment "
            "(tracking.experiment, or the option --experiment)."
        )


def refuse_moved(experiment: Any) -> None:
    """Raise TrackingError if the files of an MLflow experiment are no longer at their recorded location."""
    problem = describe_move(experiment.artifact_location)
    if problem:
        raise TrackingError(f"the MLflow experiment '{experiment.name}': {problem}")


def describe_move(location: str) -> str:
    """Explain that the folder of MLflow's artifacts at `location` was moved or copied; empty if it was not."""
    import mlflow

    database, recorded = sqlite_file(mlflow.get_tracking_uri()), _Place.of(location)
    if database is None or recorded is None:
        return ""
    here = _Place(database.resolve().parent, recorded.tail)
    if not _is_elsewhere(recorded, here):
        return ""
    if recorded.root.is_dir():
        return (
            f"its files are recorded in {recorded.root}, but {here.root} has a copy of them: the project folder was "
            f"probably copied. To use the copy from now on, correct MLflow's records with `{CORRECT}`."
        )
    return (
        f"its files are recorded in {recorded.root}, which no longer exists: the project folder was probably moved. "
        f"Correct MLflow's records with `{CORRECT}`."
    )


@dataclass(frozen=True)
class _Place:
    """A folder of MLflow's artifacts: `tail`, which begins with `mlruns`, in the project folder `root`."""

    root: Path
    tail: Path

    @staticmethod
    def of(location: str) -> _Place | None:
        """The parts of an artifact location; None if it is not a local folder that MLflow has chosen."""
        parts = urlsplit(location)
        path = Path(unquote(parts.path)) if parts.scheme in ("", "file") else Path()
        if not path.is_absolute() or "mlruns" not in path.parts:
            return None
        start = len(path.parts) - 1 - path.parts[::-1].index("mlruns")
        return _Place(Path(*path.parts[:start]), Path(*path.parts[start:]))

    @property
    def folder(self) -> Path:
        return self.root / self.tail


def _is_elsewhere(recorded: _Place, here: _Place) -> bool:
    """Whether a recorded place no longer exists, or there is another folder next to the SQLite file."""
    if not recorded.root.is_dir():
        return True
    if not here.folder.is_dir():
        return False
    return not (recorded.folder.is_dir() and recorded.folder.samefile(here.folder))


def correct_locations() -> tuple[Path, int]:
    """Correct the paths of artifacts in MLflow's SQLite file after its folder was moved or copied.

    Returns:
        The SQLite file, and the number of corrected paths.

    Raises:
        InputError: MLflow's store is not a SQLite file.
        TrackingError: the store does not exist or cannot be written.
    """
    path = sqlite_file(uri := store_uri())
    if path is None:
        raise InputError(f"{uri}: --moved corrects only a SQLite file such as mlflow.db. Set MLFLOW_TRACKING_URI.")
    refuse_missing_store()
    try:
        with closing(sqlite3.connect(path)) as database, database:
            return path, sum(_correct(database, path.resolve().parent, *column) for column in _COLUMNS)
    except sqlite3.Error as error:
        raise TrackingError(
            f"{path}: the paths could not be corrected ({error}). Check that the file is MLflow's and is writable."
        ) from error


def _correct(database: sqlite3.Connection, root: Path, table: str, column: str) -> int:
    """Correct one column; returns the number of changed values."""
    values = [value for (value,) in database.execute(f"SELECT DISTINCT {column} FROM {table}") if value]  # noqa: S608
    places = {value: place for value in values if (place := _Place.of(value))}
    changes = [
        (_rewritten(value, place, root), value)
        for value, place in places.items()
        if _is_elsewhere(place, _Place(root, place.tail))
    ]
    update = f"UPDATE {table} SET {column} = ? WHERE {column} = ?"  # noqa: S608
    return sum(database.execute(update, change).rowcount for change in changes)


def _rewritten(value: str, place: _Place, root: Path) -> str:
    """Return a recorded path or file URI with another project folder."""
    moved = root / place.tail
    return moved.as_uri() if value.startswith("file:") else str(moved)
