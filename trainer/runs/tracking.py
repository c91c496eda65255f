"""What MLflow is told, and asked for: runs, metrics, models, registry, leaderboard rows.

No other module knows MLflow but `pyfunc`, which MLflow itself runs. It is told where to log by its own
MLFLOW_TRACKING_URI; without it, a SQLite file in the working folder.
"""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from labels.errors import ArtefactError, TrackingError
from trainer.environment import quiet_libraries

if TYPE_CHECKING:
    from labels.records import Example

DEFAULT_URI = "sqlite:///mlflow.db"
ARTEFACT = "artefact"
CHAMPION = "champion"
_TAG_HOST, _TAG_PID, _TAG_STARTED = "communique.host", "communique.pid", "communique.process_started"
_CLOCK_STEP = 5.0
"""Seconds by which a clock that is set may move a process's start."""


@dataclass(frozen=True)
class RunRow:
    """One finished run, as the leaderboard shows it. Figures that were not logged are None."""

    run_id: str
    name: str
    kind: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    champion: bool

    def metric(self, name: str) -> float | None:
        """A metric by name."""
        return self.metrics.get(name)


P = ParamSpec("P")
R = TypeVar("R")


def _writes(method: Callable[P, R]) -> Callable[P, R]:
    """Turn whatever MLflow raises in a method that writes into a TrackingError."""

    @wraps(method)
    def explained(*args: P.args, **kwargs: P.kwargs) -> R:
        with _explained("written"):
            return method(*args, **kwargs)

    return explained


class Tracker:
    """An open run. `log_*` write to it; `run_id` identifies it."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id

    @_writes
    def log_params(self, params: Mapping[str, Any]) -> None:
        """Parameters, as text of at most 500 characters."""
        import mlflow

        mlflow.log_params({key: str(value)[:500] for key, value in params.items()})

    @_writes
    def log_metrics(self, metrics: Mapping[str, float | None], step: int | None = None) -> None:
        """Metrics, at a step of a series where one is given; undefined ones (None) are left out."""
        import mlflow

        mlflow.log_metrics({key: float(value) for key, value in metrics.items() if value is not None}, step=step)

    def log_nested(
        self, name: str, params: Mapping[str, Any], metrics: Mapping[str, float | None], problem: str = ""
    ) -> None:
        """A run under this one, over already; with a problem it is FAILED, and the tag `problem` says why."""
        import mlflow

        with _explained("opened"):
            run = mlflow.start_run(run_name=name, nested=True, tags={"problem": problem[:5000]} if problem else {})
        status = "FAILED"
        try:
            nested = Tracker(run.info.run_id)
            nested.log_params(params)
            nested.log_metrics(metrics)
            status = status if problem else "FINISHED"
        finally:
            mlflow.end_run(status)

    @_writes
    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tags."""
        import mlflow

        mlflow.set_tags(dict(tags))

    @_writes
    def log_folder(self, folder: Path, name: str) -> None:
        """All files of a folder as run artifacts under `name`."""
        import mlflow

        mlflow.log_artifacts(str(folder), name)

    @_writes
    def log_file(self, path: Path) -> None:
        """One file as a run artifact."""
        import mlflow

        mlflow.log_artifact(str(path))

    @_writes
    def log_text(self, text: str, name: str) -> None:
        """A text as a run artifact called `name`."""
        import mlflow

        mlflow.log_text(text, name)

    @_writes
    def log_examples(self, part: str, examples: Sequence[Example], source: str, digest: str) -> None:
        """One part of the data as an MLflow dataset: its size, columns and digest, never the texts."""
        import mlflow.data
        import pandas as pd

        frame = pd.DataFrame(
            {
                "text": [example.text for example in examples],
                "labels": ["|".join(example.labels) for example in examples],
            }
        )
        dataset = mlflow.data.from_pandas(frame, source=source, name=part, digest=digest)
        mlflow.log_input(dataset, context=part)

    @_writes
    def log_model(self, folder: Path) -> str:
        """The artefact folder as a models-from-code pyfunc; its `models:/m-...` URI."""
        import mlflow
        from mlflow.models import ModelSignature
        from mlflow.types.schema import AnyType, ColSpec, Schema

        inputs = Schema([ColSpec("string", "text")])
        outputs = Schema([ColSpec(AnyType(), name) for name in ("labels", "probabilities")])
        info = mlflow.pyfunc.log_model(
            name=ARTEFACT,
            python_model=str(Path(__file__).parents[1] / "model" / "pyfunc.py"),
            artifacts={ARTEFACT: str(folder)},
            signature=ModelSignature(inputs=inputs, outputs=outputs),
            pip_requirements=["communique"],
        )
        return str(info.model_uri)


def connect() -> None:
    """Point MLflow at its store and mark runs whose process is gone as KILLED.

    Raises:
        TrackingError: the store cannot be reached.
    """
    quiet_libraries()
    import mlflow

    if not os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(DEFAULT_URI)
    with _explained("reached"):
        mark_stale_runs()


@contextmanager
def tracked_run(experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[Tracker]:
    """An MLflow run that ends FINISHED, FAILED after an error, or KILLED when interrupted."""
    import mlflow

    if mlflow.active_run() is not None:
        raise TrackingError("an MLflow run is open already in this process. End it first with `mlflow.end_run()`.")
    with _explained("opened"):
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


def mark_stale_runs() -> int:
    """Mark RUNNING runs of this host whose process is gone as KILLED; how many there were."""
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    client = MlflowClient()
    marked = 0
    for run in client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments()],
        filter_string="attributes.status = 'RUNNING'",
        run_view_type=ViewType.ACTIVE_ONLY,
    ):
        if _is_gone(run.data.tags):
            client.set_terminated(run.info.run_id, status="KILLED")
            marked += 1
    return marked


def register(model_uri: str, name: str, tags: Mapping[str, str]) -> str:
    """Register a logged model under `name`; its version."""
    import mlflow

    # mlflow prints what it registers; communique says it itself.
    with _explained("written"), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return str(mlflow.register_model(model_uri, name, tags=dict(tags)).version)


def point_champion(name: str, version: str) -> None:
    """Let the alias `champion` of a registered model point at a version."""
    from mlflow import MlflowClient

    with _explained("written"):
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
            f"{reference}: MLflow at {mlflow.get_tracking_uri()} does not give this model "
            f"({str(error).splitlines()[0][:200]}). `communique leaderboard` lists what is there."
        ) from error
    for candidate in (folder, folder / ARTEFACT, *sorted(folder.glob("artifacts/*"))):
        if (candidate / "manifest.json").is_file():
            return candidate
    raise ArtefactError(
        f"{reference}: this model was not logged by communique: no manifest.json in it. "
        "Give a model that `communique train` logged."
    )


def list_runs(experiment: str) -> list[RunRow]:
    """All runs of an experiment, newest first.

    Raises:
        TrackingError: there is no such experiment.
    """
    connect()
    import mlflow
    from mlflow import MlflowClient

    client = MlflowClient()
    with _explained("read"):
        found = client.get_experiment_by_name(experiment)
        if found is None:
            raise TrackingError(
                f"MLflow at {mlflow.get_tracking_uri()} has no experiment '{experiment}' yet. "
                "Run `communique train finetune` first, or name another with --experiment."
            )
        champions = _champion_runs(client)
        rows = []
        token = None
        while True:
            page = client.search_runs([found.experiment_id], order_by=["attributes.start_time DESC"], page_token=token)
            rows += [_row(run, champions) for run in page]
            token = page.token
            if not token:
                return rows


def _row(run: Any, champions: set[str]) -> RunRow:
    return RunRow(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        kind=run.data.params.get("model.kind", ""),
        status=run.info.status,
        params=run.data.params,
        metrics=run.data.metrics,
        tags=run.data.tags,
        champion=run.info.run_id in champions,
    )


def _champion_runs(client: Any) -> set[str]:
    """Runs whose model bears the alias `champion`."""
    runs: set[str] = set()
    token = None
    while True:
        page = client.search_registered_models(page_token=token)
        for model in page:
            if CHAMPION in model.aliases:
                runs.add(client.get_model_version_by_alias(model.name, CHAMPION).run_id)
        token = page.token
        if not token:
            return runs


def _process_tags() -> dict[str, str]:
    import psutil

    process = psutil.Process()
    return {
        _TAG_HOST: socket.gethostname(),
        _TAG_PID: str(process.pid),
        _TAG_STARTED: f"{process.create_time():.2f}",
    }


def _is_gone(tags: Mapping[str, str]) -> bool:
    """Whether a run's process was on this host and is not there any more (another process may bear its number)."""
    import psutil

    if tags.get(_TAG_HOST) != socket.gethostname() or _TAG_PID not in tags:
        return False
    try:
        started: float = psutil.Process(int(tags[_TAG_PID])).create_time()
        return abs(started - float(tags.get(_TAG_STARTED, 0))) > _CLOCK_STEP
    except psutil.Error:
        return True


@contextmanager
def _explained(what: str) -> Iterator[None]:
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise TrackingError(
            f"the MLflow store at {mlflow.get_tracking_uri()} could not be {what} "
            f"({str(error).splitlines()[0][:200]}). Check MLFLOW_TRACKING_URI."
        ) from error
