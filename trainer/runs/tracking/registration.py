"""A challenger: a logged run, the model that it logged, and the registered versions of this model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labels.errors import ArtefactError, DataError, InputError
from trainer.runs.tracking.connection import mlflow_store
from trainer.runs.tracking.outputs import names_logged, run_behind
from trainer.runs.tracking.record import RUN_TAG, read_record
from trainer.runs.tracking.registry import check_registration, find_version, register


@dataclass(frozen=True)
class Challenger:
    """A finished run that logged a model.

    Attributes:
        versions: the newest version of this run in each registered model, by the model's name.
    """

    run_id: str
    model_uri: str
    kind: str
    versions: Mapping[str, str]

    @property
    def registered_as(self) -> str:
        """The registered model that has a version of this run; empty if none or several have."""
        return next(iter(self.versions)) if len(self.versions) == 1 else ""

    def version_of(self, name: str) -> str:
        """Return the version in this registered model; empty if there is none."""
        return self.versions.get(name, "")


def find_challenger(reference: str) -> Challenger:
    """Find the logged run behind the folder of a run, the id of an MLflow run, or an MLflow URI.

    Raises:
        DataError: the folder is not the folder of a run.
        InputError: the run is not logged, has not finished, or logged no model.
    """
    path = Path(reference)
    run_id = run_behind(reference) if names_logged(reference) and not path.exists() else _logged_run(path)
    with mlflow_store("read") as mlflow:
        run = mlflow.get_run(run_id)
        found = mlflow.MlflowClient().search_model_versions(f"run_id='{run_id}'")
    if run.info.status != "FINISHED":
        raise InputError(f"{reference}: MLflow run {run_id} is {run.info.status}. Promote a run that has finished.")
    models = run.outputs.model_outputs if run.outputs else []
    if not models:
        raise InputError(f"{reference}: MLflow run {run_id} logged no model, so there is nothing to promote.")
    versions = {own.name: str(own.version) for own in sorted(found, key=lambda own: int(own.version))}
    return Challenger(run_id, f"models:/{models[-1].model_id}", run.data.params.get("model.kind", ""), versions)


def _logged_run(path: Path) -> str:
    """Return the id of the MLflow run of the folder of a run."""
    if not path.is_dir():
        raise DataError(
            f"{path}: no such folder. Name the folder of a run, the id of an MLflow run, or a URI such as runs:/ID."
        )
    record = read_record(path)
    with mlflow_store("read") as mlflow:
        query = f"tags.`{RUN_TAG}` = '{record.id}'"
        found = mlflow.search_runs(search_all_experiments=True, filter_string=query, output_format="list")
    if not found:
        raise ArtefactError(f"{path}: this run is not logged in MLflow. Log it with `communique track {path}`.")
    finished = [run for run in found if run.info.status == "FINISHED"]
    return str((finished or found)[0].info.run_id)


def register_challenger(challenger: Challenger, name: str) -> str:
    """Return the challenger's version in a registered model; registers its model if it has none."""
    check_registration(name)
    return find_version(name, challenger.run_id) or register(
        challenger.model_uri, name, {"kind": challenger.kind} if challenger.kind else {}
    )
