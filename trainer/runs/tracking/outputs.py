"""Outputs of logged runs, fetched from MLflow by the id of the run or by the URI of a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from labels.errors import ArtefactError, TrackingError
from trainer.runs.tracking.connection import connect, describe, mlflow_store, shown_store
from trainer.runs.tracking.locations import describe_move

_RUN_ID = re.compile(r"[0-9a-f]{32}")


def names_logged(reference: str) -> bool:
    """Return whether a reference is the id of an MLflow run, or an MLflow URI of a run or model."""
    return reference.startswith(("runs:/", "models:/")) or bool(_RUN_ID.fullmatch(reference))


@contextmanager
def fetch_outputs(reference: str, names: Sequence[str]) -> Iterator[Path]:
    """Yield a temporary folder with some outputs of a logged run.

    Args:
        reference: see `names_logged`. For a model, the run that logged it.
        names: the files to fetch, such as "report.json".

    Raises:
        ArtefactError: MLflow has no such run or model, or the run did not log a file.
        TrackingError: MLflow cannot be reached.
    """
    connect(create=False)
    run_id = run_behind(reference)
    with TemporaryDirectory() as folder:
        for name in names:
            _fetch(run_id, name, Path(folder), reference)
        yield Path(folder)


def _fetch(run_id: str, name: str, folder: Path, reference: str) -> None:
    import mlflow

    try:
        mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=name, dst_path=str(folder))
    except Exception as error:  # of MLflow or of a storage service: they have no common base
        location = str(mlflow.get_run(run_id).info.artifact_uri)
        problem = describe_move(location) or (
            f"run {run_id} has no file {name} in {location} ({describe(error)}). Log the folder of the run again with "
            "`communique track RUN`, or name the folder itself."
        )
        raise ArtefactError(f"{reference}: {problem}") from error


def run_behind(reference: str) -> str:
    """Return the id of the run behind a reference (see `names_logged`).

    Raises:
        ArtefactError: MLflow has no such run or model.
        TrackingError: MLflow cannot be reached.
    """
    from mlflow.exceptions import MlflowException

    try:
        with mlflow_store("read") as mlflow:
            return _run_of(mlflow.MlflowClient(), reference)
    except TrackingError as error:
        if not isinstance(error.__cause__, MlflowException):
            raise
        from trainer.runs.tracking.registry import explain

        raise ArtefactError(f"{reference}: {explain(_as_uri(reference), error.__cause__)}") from error


def _as_uri(reference: str) -> str:
    return f"runs:/{reference}" if _RUN_ID.fullmatch(reference) else reference


def _run_of(client: Any, reference: str) -> str:
    scheme, _, place = _as_uri(reference).partition(":/")
    place = place.strip("/")
    if scheme == "runs":
        return str(client.get_run(place.partition("/")[0]).info.run_id)
    name, _, alias = place.partition("@")
    name, _, number = name.partition("/")
    if alias:
        found = client.get_model_version_by_alias(name, alias).run_id
    elif place.startswith("m-"):
        found = client.get_logged_model(place).source_run_id
    else:
        found = client.get_model_version(name, number).run_id
    if not found:
        raise ArtefactError(
            f"{reference}: MLflow at {shown_store()} does not say which run made this model, so its predictions cannot "
            "be found. Name the folder of the run."
        )
    return str(found)
