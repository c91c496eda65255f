"""Logging to MLflow: the parameters, figures, files and model of an experiment's run, and the location of the store.

MLflow's own setting MLFLOW_TRACKING_URI names the store; by default it is a SQLite file in the working folder. The
module `registry` registers models and reads runs.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labels.errors import TrackingError
from labels.files import cache_folder
from labels.settings import store_name
from trainer.config.experiment import Experiment
from trainer.environment import silence_libraries
from trainer.model.model import folder_size

if TYPE_CHECKING:
    from labels.records import Example
    from trainer.data.dataset import Dataset

logger = logging.getLogger(__name__)

ARTEFACT = "artefact"
"""Name of a run's model and of the model's folder."""
DEFAULT_URI = "sqlite:///mlflow.db"
_TAG_HOST, _TAG_PID, _TAG_STARTED = "communique.host", "communique.pid", "communique.process_started"
_CLOCK_STEP = 5.0
"""Tolerance in seconds for the start time of a process, which shifts if the system clock is adjusted."""


@contextmanager
def mlflow_store(what: str) -> Iterator[Any]:
    """Provide the MLflow module, and convert its errors to TrackingError.

    MLflow is imported here because the import takes seconds, which commands without tracking need not spend. `what` is
    the operation on the store, for messages: "read", "written"...
    """
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield mlflow
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise TrackingError(
            f"the MLflow store at {mlflow.get_tracking_uri()} could not be {what} "
            f"({str(error).splitlines()[0][:200]}). Check MLFLOW_TRACKING_URI."
        ) from error


class Tracker:
    """An open MLflow run, identified by `run_id`. The methods `log_*` write to the run."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters as text of at most 500 characters."""
        with mlflow_store("written") as mlflow:
            mlflow.log_params({key: str(value)[:500] for key, value in params.items()})

    def log_metrics(self, metrics: Mapping[str, float | None], step: int | None = None) -> None:
        """Log metrics, optionally at a step of a series; undefined metrics (None) are left out."""
        with mlflow_store("written") as mlflow:
            mlflow.log_metrics({key: float(value) for key, value in metrics.items() if value is not None}, step=step)

    def log_nested(
        self, name: str, params: Mapping[str, Any], metrics: Mapping[str, float | None], problem: str = ""
    ) -> None:
        """Log a finished child run; with a problem, its status is FAILED and its tag `problem` gives the reason."""
        with mlflow_store("opened") as mlflow:
            run = mlflow.start_run(run_name=name, nested=True, tags={"problem": problem[:5000]} if problem else {})
        status = "FAILED"
        try:
            nested = Tracker(run.info.run_id)
            nested.log_params(params)
            nested.log_metrics(metrics)
            status = status if problem else "FINISHED"
        finally:
            mlflow.end_run(status)  # ends the child run: MLflow ends the run that was started last

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        with mlflow_store("written") as mlflow:
            mlflow.set_tags(dict(tags))

    def log_output(self, path: Path) -> None:
        """Log a file, or a folder with all its files, as run artifacts under its own name."""
        with mlflow_store("written") as mlflow:
            if path.is_dir():
                mlflow.log_artifacts(str(path), path.name)
            else:
                mlflow.log_artifact(str(path))

    def log_text(self, text: str, name: str) -> None:
        """Log a text as a run artifact called `name`."""
        with mlflow_store("written") as mlflow:
            mlflow.log_text(text, name)

    def log_examples(self, part: str, examples: Sequence[Example], source: str, digest: str) -> None:
        """Log one part of the data as an MLflow dataset: its size, columns and digest, but not its texts."""
        import pandas as pd

        columns = {"text": [e.text for e in examples], "labels": ["|".join(e.labels) for e in examples]}
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
        info = mlflow.models.Model.log(artifact_path=None, name=ARTEFACT, flavor=_ArtefactFlavor, folder=folder)
    return str(info.model_uri)


class _ArtefactFlavor:
    """Writes an artefact as `mlflow.pyfunc.save_model` does with models-from-code, without its extra copy of the
    artefact and without comparing every installed package with the requirements, which takes seconds."""

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
    """Return the files, by name, that list the packages MLflow must install to serve the model."""
    python, requirements = platform.python_version(), [f"mlflow=={mlflow_version}", "communique"]
    return {
        "requirements.txt": "\n".join(requirements),
        "python_env.yaml": f"python: {python}\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n",
        "conda.yaml": f"name: mlflow-env\nchannels:\n- conda-forge\ndependencies:\n- python={python}\n- pip\n- pip:\n"
        + "".join(f"  - {requirement}\n" for requirement in requirements),
    }


def _link_or_copy(source: str, target: str) -> None:
    """Make a hard link if the file system allows it, else a copy: MLflow copies the content to its store anyway."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def connect() -> None:
    """Point MLflow at its store, and mark runs whose process has ended as KILLED.

    Raises:
        TrackingError: the store cannot be reached.
    """
    silence_libraries()
    with mlflow_store("reached") as mlflow:
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            mlflow.set_tracking_uri(DEFAULT_URI)
        _create_database(mlflow.get_tracking_uri())
        mark_stale_runs()


def _create_database(uri: str) -> None:
    """Create a missing SQLite tracking database by copying an empty database.

    MLflow itself would run all its schema migrations, which takes seconds. If the copy fails, MLflow creates the
    database.
    """
    path = sqlite_file(uri)
    if path is None or path.exists() or not path.parent.is_dir():
        return
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        shutil.copyfile(_empty_database(), draft)
        # Unlike a move, a link cannot replace a file that another process created in the meantime.
        os.link(draft, path)
    except (OSError, ImportError):  # the function that creates the tables is not part of MLflow's public API
        return
    finally:
        draft.unlink(missing_ok=True)


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a plain `sqlite:///PATH` tracking URI; None for any other URI."""
    name = uri.removeprefix("sqlite:///")
    return Path(name) if name and name != uri and name != ":memory:" and "?" not in name else None


def _empty_database() -> Path:
    """Return a SQLite file in the cache that has the empty tables of this version of MLflow."""
    import mlflow
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine_with_retry

    path = cache_folder() / "mlflow" / f"empty-{mlflow.__version__}.db"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        logger.info("Making an empty MLflow database in %s, to be copied from now on", path)
        draft = path.with_suffix(f".{uuid.uuid4().hex[:8]}")
        try:
            engine = create_sqlalchemy_engine_with_retry(f"sqlite:///{draft}")
            _initialize_tables(engine)
            engine.dispose()
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return path


@contextmanager
def tracked_run(experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[Tracker]:
    """Open an MLflow run. Its final status is FINISHED, FAILED after an error, or KILLED after an interruption."""
    import mlflow

    if mlflow.active_run() is not None:
        raise TrackingError("an MLflow run is already open in this process. End the run with `mlflow.end_run()`.")
    with mlflow_store("opened"):
        mlflow.set_experiment(experiment)
        run = mlflow.start_run(run_name=name, tags={**_process_tags(), **tags})
    status = "FAILED"
    try:
        yield Tracker(run.info.run_id)
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        mlflow.end_run(status)


@contextmanager
def track_experiment(experiment: Experiment, dataset: Dataset, *, beside: str = "") -> Iterator[Tracker | None]:
    """Open an MLflow run with an experiment's parameters, data and tags; yields None if tracking is off.

    Args:
        beside: if given, the run is logged in the MLflow experiment `NAME-BESIDE`, separate from the runs that the
            leaderboard ranks.
    """
    if not experiment.tracking.enabled:
        yield None
        return
    connect()
    tags = {
        "codebook.name": dataset.codebook.name,
        "codebook.hash": dataset.codebook.hash,
        "split.hash": dataset.split.hash,
        "data.training_hash": dataset.training_hash,
        # The tag keeps its original name, so that the leaderboard groups earlier runs with later runs.
        "data.judging_hash": dataset.evaluation_hash,
        "synthetic": str(dataset.synthetic).lower(),
    }
    name = "-".join(part for part in (experiment.tracking.experiment, beside) if part)
    with tracked_run(name, experiment.name, tags) as tracker:
        tracker.log_params(_flattened(published(experiment)))
        for part, examples in dataset.parts.items():
            tracker.log_examples(part, examples, dataset.source, dataset.split.hash)
        yield tracker


def published(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment's content without the password of its label store."""
    content = experiment.model_dump()
    if experiment.data.store:
        content["data"]["store"] = store_name(experiment.data.store)
    return content


def _flattened(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested sections to values by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def mark_stale_runs() -> int:
    """Mark RUNNING runs of this host whose process has ended as KILLED; returns the number of marked runs."""
    import mlflow

    running = mlflow.search_runs(
        search_all_experiments=True, filter_string="attributes.status = 'RUNNING'", output_format="list"
    )
    stale = [run.info for run in running if is_gone(run.data.tags)]
    for run in stale:
        mlflow.MlflowClient().set_terminated(run.run_id, status="KILLED")
        logger.info("Run %s (%s) was left open by a process that ended: marked KILLED", run.run_id, run.run_name)
    return len(stale)


def _process_tags() -> dict[str, str]:
    import psutil

    process = psutil.Process()
    started = f"{process.create_time():.2f}"
    return {_TAG_HOST: socket.gethostname(), _TAG_PID: str(process.pid), _TAG_STARTED: started}


def is_gone(tags: Mapping[str, str]) -> bool:
    """Return whether a run's process ran on this host and has ended (another process may have the same id now)."""
    import psutil

    if tags.get(_TAG_HOST) != socket.gethostname() or _TAG_PID not in tags:
        return False
    try:
        started: float = psutil.Process(int(tags[_TAG_PID])).create_time()
        return abs(started - float(tags.get(_TAG_STARTED, 0))) > _CLOCK_STEP
    except psutil.Error:
        return True
