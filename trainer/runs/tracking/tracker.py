"""An MLflow run: its parameters, figures, files, data and model, logged while the run is open.

The module `connection` finds MLflow's store, `track` logs the folder of a run, `registry` registers models.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from labels.errors import DataError, TrackingError
from trainer.model.model import folder_size
from trainer.runs.tracking.connection import impatient, mlflow_store, process_tags
from trainer.runs.tracking.locations import use_experiment

logger = logging.getLogger(__name__)

_LONGEST_PROBLEM = 5000
"""Maximum length of the tag `problem`: MLflow's limit."""
ARTEFACT = "artefact"
"""Name of a run's model and of the model's folder."""


class Tracker:
    """An open MLflow run, identified by `run_id`. The methods `log_*` write to the run.

    Set `incomplete` if something could not be logged: the run then ends as FAILED.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.incomplete = False

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters as text of at most 500 characters."""
        with mlflow_store("written") as mlflow:
            mlflow.log_params({key: str(value)[:500] for key, value in params.items()})

    def log_metrics(self, metrics: Mapping[str, float | None], step: int | None = None) -> None:
        """Log metrics, optionally at a step of a series; undefined metrics (None) are left out."""
        with mlflow_store("written") as mlflow:
            mlflow.log_metrics({key: float(value) for key, value in metrics.items() if value is not None}, step=step)

    def log_nested(
        self,
        name: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float | None],
        problem: str,
        tags: Mapping[str, str],
    ) -> None:
        """Log a finished child run; with a problem, its status is FAILED and its tag `problem` gives the reason."""
        with mlflow_store("opened") as mlflow:
            own = {**tags, "problem": problem[:_LONGEST_PROBLEM]} if problem else dict(tags)
            run = mlflow.start_run(run_name=name, nested=True, tags=own)
        status = "FAILED"
        try:
            nested = Tracker(run.info.run_id)
            nested.log_params(params)
            nested.log_metrics(metrics)
            status = status if problem else "FINISHED"
        finally:
            _end_run(status)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        with mlflow_store("written") as mlflow:
            mlflow.set_tags(dict(tags))

    def log_output(self, path: Path) -> None:
        """Log a file, or a folder with all its files, as run artifacts under its own name.

        Raises:
            DataError: the file or folder does not exist.
        """
        if not path.exists():
            raise DataError(f"{path}: this output of the run is missing. Restore the file, or repeat the run.")
        with mlflow_store("written") as mlflow:
            if path.is_dir():
                mlflow.log_artifacts(str(path), path.name)
            else:
                mlflow.log_artifact(str(path))

    def log_text(self, text: str, name: str) -> None:
        """Log a text as a run artifact called `name`."""
        with mlflow_store("written") as mlflow:
            mlflow.log_text(text, name)

    def log_examples(self, part: str, rows: int, source: str, digest: str) -> None:
        """Log one part of the data as an MLflow dataset: its size, columns and digest, but not its texts."""
        import pandas as pd

        # MLflow stores only the schema and the number of rows, so the cells can be empty.
        columns = {"text": [""] * rows, "labels": [""] * rows}
        with mlflow_store("written") as mlflow:
            dataset = mlflow.data.from_pandas(pd.DataFrame(columns), source=source, name=part, digest=digest)
            mlflow.log_input(dataset, context=part)


def log_model(folder: Path) -> str:
    """Log an artefact's folder to the open run, as a model that `mlflow models serve` and Spark can load.

    Returns:
        The model's URI, `models:/m-...`.

    Raises:
        TrackingError: MLflow reported an error.
    """
    with mlflow_store("written") as mlflow:
        info = mlflow.models.Model.log(
            artifact_path=None,
            name=ARTEFACT,
            flavor=_ArtefactFlavor,
            folder=folder,
            validate_serving_input=False,  # MLflow would load the model, and all of torch, in another process
        )
    return str(info.model_uri)


class _ArtefactFlavor:
    """Writes an artefact as `mlflow.pyfunc.save_model` does with models-from-code, without its extra copy of the
    artefact and without comparing every installed package with the requirements, which takes seconds."""

    __name__ = "mlflow.pyfunc"

    @staticmethod
    def save_model(path: str, mlflow_model: Any, folder: Path, **_: Any) -> None:
        """Write `MLmodel`, the environment, the loading code, an input example and `artifacts/artefact` to a new folder
        at `path`."""
        import mlflow.pyfunc
        from mlflow.models import ModelSignature
        from mlflow.types.schema import AnyType, ColSpec, Schema

        # Links instead of copies: an encoder may have gigabytes, and MLflow copies this folder to its store anyway.
        root = Path(path)
        shutil.copytree(folder, root / "artifacts" / ARTEFACT, copy_function=_link_or_copy)
        shutil.copyfile(_LOADING_CODE, root / _LOADING_CODE.name)
        mlflow_model.signature = ModelSignature(
            inputs=Schema([ColSpec("string", "text")]),
            outputs=Schema([ColSpec(AnyType(), name) for name in ("labels", "probabilities")]),
        )
        _save_example(mlflow_model, path)
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


_EXAMPLE = "The envoy called for a truce in the valley."
"""The input example of every model: a sentence of the data may be confidential."""


def _save_example(mlflow_model: Any, path: str) -> None:
    """Save the input example, which MLflow's page shows and `mlflow models serve` documents."""
    import pandas as pd

    # ImportError: the function is not part of MLflow's public API, and a model without an example works as well.
    with suppress(ImportError):
        from mlflow.models.utils import _save_example as save_example

        save_example(mlflow_model, pd.DataFrame({"text": [_EXAMPLE]}), path)


_LOADING_CODE = Path(__file__).parents[2] / "model" / "pyfunc.py"


def _environment(mlflow_version: str) -> dict[str, str]:
    """Return the files, by name, that list the packages MLflow must install to serve the model."""
    python, requirements = platform.python_version(), [f"mlflow=={mlflow_version}", "communique"]
    return {
        "requirements.txt": "\n".join(requirements),
        "python_env.yaml": f"python: {python}\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n",
        "conda.yaml": f"name: mlflow-env\nchannels:\n- conda-forge\ndependencies:\n- python={python}\n- pip\n- pip:\n"
        + "".join(f"  - {requirement}\n" for requirement in requirements),
    }


def _link_or_copy(source: str, target: str) -> None:
    """Make a hard link if the file system allows it, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@contextmanager
def tracked_run(
    experiment: str, name: str, tags: Mapping[str, str], *, run_id: str = "", system_metrics: bool = False
) -> Iterator[Tracker]:
    """Open an MLflow run. Its final status is FINISHED, FAILED after an error, or KILLED after an interruption; the tag
    `problem` then gives the reason.

    Args:
        run_id: continue this run instead of starting a new one.
        system_metrics: also log the load of processors, memory, disk and network while the run is open.

    Raises:
        TrackingError: the run cannot be opened. If the run cannot be ended, nothing is raised: an error of MLflow must
            not replace the result, or an earlier error.
    """
    import mlflow

    if mlflow.active_run() is not None:
        raise TrackingError("an MLflow run is already open in this process. End the run with `mlflow.end_run()`.")
    with mlflow_store("opened"):
        use_experiment(experiment)
        run = mlflow.start_run(
            run_id=run_id or None,
            run_name=name,
            tags={**process_tags(), **tags},
            log_system_metrics=system_metrics or None,  # None: MLflow's own setting decides
        )
    status = "FAILED"
    tracker = Tracker(run.info.run_id)
    try:
        yield tracker
        status = "FAILED" if tracker.incomplete else "FINISHED"
    except BaseException as error:
        status = "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"
        _note_problem(tracker, error)
        raise
    finally:
        _end_run(status)


def _note_problem(tracker: Tracker, error: BaseException) -> None:
    """Set the tag `problem` to the error that ends the run, if MLflow can be reached."""
    text = "interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
    with impatient():
        try:
            tracker.set_tags({"problem": text[:_LONGEST_PROBLEM]})
        except TrackingError as failure:
            logger.info("The problem of the MLflow run could not be recorded: %s", failure)


def _end_run(status: str) -> None:
    """End the run that was started last; if MLflow cannot be reached, its status stays RUNNING."""
    import mlflow

    with impatient():
        try:
            mlflow.end_run(status)
        except Exception as error:  # must not replace the result or the error of the run
            logger.info("The MLflow run could not be marked %s: %s", status, error)
