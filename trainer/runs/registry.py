"""Models in MLflow: logged with a run, registered, found again by their URI."""

from __future__ import annotations

import io
import os
import platform
import shutil
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from labels.errors import ArtefactError
from trainer.model.model import folder_size
from trainer.runs.tracking import connect, mlflow_errors

ARTEFACT = "artefact"
CHAMPION = "champion"


def log_model(folder: Path) -> str:
    """Log an artefact's folder with the open run, as a model that `mlflow models serve` and Spark can load.

    Returns:
        Its URI, `models:/m-...`.

    Raises:
        TrackingError: MLflow refused.
    """
    from mlflow.models import Model

    with mlflow_errors("written"):
        info = Model.log(artifact_path=None, name=ARTEFACT, flavor=_ArtefactFlavor, folder=folder)
    return str(info.model_uri)


class _ArtefactFlavor:
    """Writes an artefact as `mlflow.pyfunc.save_model` would write it with models-from-code.

    That function copies the artefact once more, and compares every installed package with the requirements, which takes
    seconds.
    """

    __name__ = "mlflow.pyfunc"

    @staticmethod
    def save_model(path: str, mlflow_model: Any, folder: Path) -> None:
        """Write `MLmodel`, the environment, the loading code and `artifacts/artefact` to a new folder at `path`."""
        import mlflow.pyfunc
        from mlflow.models import ModelSignature
        from mlflow.types.schema import AnyType, ColSpec, Schema

        root = Path(path)
        shutil.copytree(folder, root / "artifacts" / ARTEFACT, copy_function=_link_or_copy)
        shutil.copyfile(_LOADING_CODE, root / _LOADING_CODE.name)
        mlflow_model.signature = ModelSignature(
            inputs=Schema([ColSpec("string", "text")]),
            outputs=Schema([ColSpec(AnyType(), name) for name in ("labels", "probabilities")]),
        )
        mlflow.pyfunc.add_to_model(
            mlflow_model,
            loader_module="mlflow.pyfunc.loaders.code_model",
            conda_env="conda.yaml",
            python_env="python_env.yaml",
            model_code_path=_LOADING_CODE.name,
            streamable=False,
            artifacts={ARTEFACT: {"path": f"artifacts/{ARTEFACT}", "uri": folder.name}},
        )
        mlflow_model.model_size_bytes = folder_size(root)
        mlflow_model.save(str(root / "MLmodel"))
        for name, text in _environment(mlflow.__version__).items():
            (root / name).write_text(text, encoding="utf-8")


_LOADING_CODE = Path(__file__).parents[1] / "model" / "pyfunc.py"


def _environment(mlflow_version: str) -> dict[str, str]:
    """The files, by name, from which MLflow installs what is needed to serve the model."""
    python, requirements = platform.python_version(), [f"mlflow=={mlflow_version}", "communique"]
    return {
        "requirements.txt": "\n".join(requirements),
        "python_env.yaml": f"python: {python}\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n",
        "conda.yaml": f"name: mlflow-env\nchannels:\n- conda-forge\ndependencies:\n- python={python}\n- pip\n- pip:\n"
        + "".join(f"  - {requirement}\n" for requirement in requirements),
    }


def _link_or_copy(source: str, target: str) -> None:
    """A hard link where the file system allows one: MLflow copies the content from there to its store anyway."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def register(model_uri: str, name: str, tags: Mapping[str, str]) -> str:
    """Register a logged model under `name`; its version."""
    import mlflow

    # MLflow prints what it registers; here the command does that.
    with mlflow_errors("written"), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return str(mlflow.register_model(model_uri, name, tags=dict(tags)).version)


def point_champion(name: str, version: str) -> None:
    """Let the alias `champion` of a registered model point at a version."""
    from mlflow import MlflowClient

    with mlflow_errors("written"):
        MlflowClient().set_registered_model_alias(name, CHAMPION, version)


def fetch_artefact(reference: str) -> Path:
    """The local artefact folder of a path (its own, or that of the run around it) or of an MLflow URI (`models:/...`,
    `runs:/...`).

    Raises:
        ArtefactError: MLflow has no such model, or it holds no artefact.
    """
    if not reference.startswith(("models:/", "runs:/")):
        path = Path(reference)
        return path / ARTEFACT if (path / ARTEFACT / "manifest.json").is_file() else path
    connect()
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=reference))
    except (MlflowException, OSError) as error:
        raise ArtefactError(
            f"{reference}: MLflow at {mlflow.get_tracking_uri()} has no such model "
            f"({str(error).splitlines()[0][:200]}). `communique leaderboard` lists what is there."
        ) from error
    for candidate in (folder, folder / ARTEFACT, *sorted(folder.glob("artifacts/*"))):
        if (candidate / "manifest.json").is_file():
            return candidate
    raise ArtefactError(
        f"{reference}: this model was not logged by communique: no manifest.json in it. "
        "Give a model that `communique train` logged."
    )
