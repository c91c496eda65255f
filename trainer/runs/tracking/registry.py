"""Models registered in MLflow, and artefacts fetched from MLflow by URI."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from labels.errors import ArtefactError, TrackingError, did_you_mean
from trainer.model.starter import is_starter, starter_artefact
from trainer.runs.tracking.connection import connect, first_line, mlflow_store, shown_store
from trainer.runs.tracking.locations import describe_move
from trainer.runs.tracking.tracker import ARTEFACT

CHAMPION = "champion"
MAX_COPY = 4 * 2**30
"""Maximum size in bytes of an artefact that is copied from a registry."""
_SCHEMES = ("models:/", "runs:/")


def check_registration(name: str) -> None:
    """Check that a model can be registered under `name`; an empty name is not checked.

    Raises:
        TrackingError: MLflow does not allow the name, or has a prompt with this name.
    """
    if not name:
        return
    if "/" in name or ":" in name or not name.strip():
        raise TrackingError(
            f"a model cannot be registered as '{name}': MLflow does not allow '/' and ':' in names. Change "
            "tracking.register_as, or for `communique track` the option --register-as."
        )
    with mlflow_store("read") as mlflow:
        prompt = mlflow.MlflowClient().get_prompt(name)
    if prompt is not None:
        raise TrackingError(
            f"a model cannot be registered as '{name}': MLflow has a prompt with this name. Change "
            "tracking.register_as, or for `communique track` the option --register-as."
        )


def _registered_model(client: Any, name: str) -> Any:
    """Return a registered model, or None if MLflow has no model with this name."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def find_version(name: str, run_id: str) -> str:
    """Return the version of a registered model that comes from a run; empty if there is none."""
    with mlflow_store("read") as mlflow:
        quoted = name.replace("'", "''")
        found = mlflow.MlflowClient().search_model_versions(f"name='{quoted}'")
    return next((str(version.version) for version in found if version.run_id == run_id), "")


def register(model_uri: str, name: str, tags: Mapping[str, str]) -> str:
    """Register a logged model under `name`; returns the new version."""
    # Output is suppressed because MLflow prints a message about the registration, and so does the command.
    with mlflow_store("written") as mlflow, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return str(mlflow.register_model(model_uri, name, tags=dict(tags)).version)


def point_champion(name: str, version: str) -> None:
    """Point the alias `champion` of a registered model at a version."""
    with mlflow_store("written") as mlflow:
        mlflow.MlflowClient().set_registered_model_alias(name, CHAMPION, version)


def champion_runs() -> set[str]:
    """Return the ids of the runs whose models are champions; a champion whose version was deleted is left out."""
    from mlflow.exceptions import MlflowException

    runs: set[str] = set()
    with mlflow_store("read") as mlflow:
        client = mlflow.MlflowClient()
        for model in mlflow.search_registered_models():
            if CHAMPION in model.aliases:
                try:
                    runs.add(client.get_model_version_by_alias(model.name, CHAMPION).run_id)
                except MlflowException:
                    continue
    return runs


def fetch_artefact(reference: str) -> Path:
    """Return the local artefact folder for a path, an MLflow URI (`models:/...`, `runs:/...`) or `starter`.

    A path may name the artefact folder or the folder of a run that contains it. `starter` is the shipped model, unless
    the current folder has a file or folder of that name.

    Raises:
        ArtefactError: MLflow has no model with this URI, its files are missing, or it does not contain an artefact.
        TrackingError: MLflow cannot be reached, or has no store yet.
    """
    if not reference.startswith(_SCHEMES):
        if is_starter(reference):
            return starter_artefact()
        path = Path(reference)
        return path / ARTEFACT if (path / ARTEFACT / "manifest.json").is_file() else path
    connect(create=False)
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=reference))
    except (MlflowException, OSError, ImportError) as error:
        raise ArtefactError(f"{reference}: {explain(reference, error)}") from error
    for candidate in (folder, folder / ARTEFACT, *sorted(folder.glob("artifacts/*"))):
        if (candidate / "manifest.json").is_file():
            return candidate
    raise ArtefactError(
        f"{reference}: this model was not logged by communique: it does not contain manifest.json. "
        "Use a model that `communique train` logged."
    )


def current_version(reference: str) -> str:
    """Return the model version that an MLflow URI with an alias refers to now; empty for other references.

    Raises:
        TrackingError: MLflow cannot be reached, or the alias does not exist.
    """
    name, separator, alias = reference.removeprefix("models:/").partition("@")
    if not reference.startswith("models:/") or not separator:
        return ""
    connect(create=False)
    with mlflow_store("read") as mlflow:
        return str(mlflow.MlflowClient().get_model_version_by_alias(name, alias).version)


def copy_artefact(reference: str, folder: Path, max_bytes: int = MAX_COPY) -> Path:
    """Return an artefact that does not change while a server uses it: the artefact of an MLflow URI is copied.

    Only plain files are copied, so that a model in a shared registry cannot make a server read other files of its
    machine. The path of an artefact on the local disk is returned unchanged.

    Args:
        folder: the empty folder for the copy.
        max_bytes: maximum size of the artefact.

    Raises:
        ArtefactError: see `fetch_artefact`; also if the artefact contains a link or is larger than `max_bytes`.
        TrackingError: see `fetch_artefact`.
    """
    if not reference.startswith(_SCHEMES):
        return fetch_artefact(reference)
    connect(create=False)
    _check_size(reference, max_bytes)
    source, size = fetch_artefact(reference), 0
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ArtefactError(
                f"{reference}: {name} is a link or special file. Log the model again without this file."
            )
        if path.is_dir():
            (folder / name).mkdir(parents=True)
            continue
        size += path.stat().st_size
        if size > max_bytes:
            raise _too_large(reference, max_bytes)
        shutil.copyfile(path, folder / name, follow_symlinks=False)
    return folder


def _check_size(reference: str, max_bytes: int) -> None:
    """Refuse an artefact that is too large before it is downloaded; stores that list no sizes are checked later."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        repository = get_artifact_repository(reference)
        folders, size = [""], 0
        while folders:
            for entry in repository.list_artifacts(folders.pop() or None):
                folders += [entry.path] if entry.is_dir else []
                size += entry.file_size or 0
                if size > max_bytes:
                    raise _too_large(reference, max_bytes)
    except (MlflowException, OSError) as error:
        raise ArtefactError(f"{reference}: {explain(reference, error)}") from error


def _too_large(reference: str, max_bytes: int) -> ArtefactError:
    return ArtefactError(
        f"{reference}: the model is larger than {max_bytes / 2**30:g} GiB. Serve a folder on this machine."
    )


# -- explanations of failed fetches


def explain(reference: str, error: Exception) -> str:
    """Explain why MLflow could not resolve a reference, and how to fix the problem."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    scheme, _, place = reference.partition(":/")
    explain = _explain_run if scheme == "runs" else _explain_logged if place.startswith("m-") else _explain_registered
    try:
        found = explain(MlflowClient(), place.strip("/"))
    except (MlflowException, ValueError):
        found = ""
    return found or (
        f"MLflow at {shown_store()} does not have this model ({first_line(error)}). Run `communique leaderboard` to "
        "list the logged models."
    )


def _explain_run(client: Any, place: str) -> str:
    run_id = place.partition("/")[0]
    run = client.get_run(run_id)
    if run.info.lifecycle_stage == "deleted":
        return f"this run was deleted. Restore the run with `mlflow runs restore --run-id {run_id}`."
    if moved := describe_move(run.info.artifact_uri):
        return moved
    return ""


def _explain_logged(client: Any, model_id: str) -> str:
    return describe_move(client.get_logged_model(model_id).artifact_location)


def _explain_registered(client: Any, place: str) -> str:
    name, _, alias = place.partition("@")
    name, _, number = name.partition("/")
    model = _registered_model(client, name)
    if model is None:
        known = sorted(each.name for each in client.search_registered_models())
        models = f"Registered models: {', '.join(known)}. " if known else ""
        return (
            f"MLflow at {shown_store()} has no registered model '{name}'{did_you_mean(name, known)}. {models}"
            "Run `communique leaderboard` to list the logged models."
        )
    versions = sorted(int(each.version) for each in client.search_model_versions(f"name='{name}'"))
    if alias:
        number = str(model.aliases.get(alias, ""))
    if number and int(number) in versions:
        return _explain_version(client, name, number)
    return _explain_missing_version(name, alias, number, versions)


def _explain_missing_version(name: str, alias: str, number: str, versions: list[int]) -> str:
    what = f"alias '{alias}'" if alias else f"version {number}"
    problem = f"MLflow at {shown_store()} has no {what} of the registered model '{name}'"
    if alias and number:
        problem = f"the alias '{alias}' points at version {number} of '{name}', which was deleted"
    if not versions:
        return f"{problem}, and no version is left. Register a model with `communique track RUN --register-as {name}`."
    repair = f"Use a version that exists ({', '.join(f'models:/{name}/{each}' for each in versions[-5:])})"
    if alias:
        call = f"mlflow.MlflowClient().set_registered_model_alias('{name}', '{alias}', '{versions[-1]}')"
        repair += f', or point the alias at a version: python -c "import mlflow; {call}"'
    return f"{problem}. {repair}. Run `communique leaderboard` to list the logged models."


def _explain_version(client: Any, name: str, number: str) -> str:
    """Explain why an existing version cannot be used: its files cannot be read."""
    version = client.get_model_version(name, number)
    source = str(version.source)
    if source.startswith("models:/m-"):
        source = client.get_logged_model(source.removeprefix("models:/")).artifact_location
    return describe_move(source) or (
        f"version {number} of '{name}' is registered, but its files in {source} cannot be read. Restore this folder, "
        f"or use the folder of run {version.run_id} instead, such as runs/finetune."
    )
