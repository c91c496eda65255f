"""Log the folder of a run to MLflow: right after the run, or later if MLflow failed.

The results of a run are in its folder before anything is logged, so no failure of MLflow can lose them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from labels.errors import DataError, TrackingError
from trainer.evaluation.report import Report
from trainer.runs.tracking.connection import connect, describe, mlflow_store
from trainer.runs.tracking.looks import count_looks
from trainer.runs.tracking.record import RUN_TAG, Record, Tracked, read_record
from trainer.runs.tracking.registry import check_registration, find_version, register
from trainer.runs.tracking.tracker import Tracker, tracked_run
from trainer.runs.tracking.uploads import log_beginning, log_folder, log_trial

logger = logging.getLogger(__name__)


class OpenRun:
    """A running computation, and its open MLflow run, if there is one.

    `problem` is the reason why the run could not be opened in MLflow.
    """

    def __init__(self, record: Record, tracker: Tracker | None = None, problem: str = "") -> None:
        self.record = record
        self._tracker = tracker
        self._problem = problem

    def log_trial(
        self, number: int, values: Mapping[str, Any], metrics: Mapping[str, float | None], problem: str
    ) -> None:
        """Log a trial of a sweep as a child run. After a failure, trials wait for `finish`."""
        if self._tracker is None or self._tracker.incomplete:
            return
        try:
            log_trial(self._tracker, self.record, number, values, metrics, problem)
        except Exception as error:
            logger.warning("Trial %s is not logged to MLflow yet: %s", number, describe(error))
            self._tracker.incomplete = True

    def with_looks(self, report: Report, folder: Path) -> Report:
        """Add the number of looks at the test sentences to a report, and write it again; not if nothing is tracked."""
        looks = count_looks(report.test_hash) if self._tracker and report.test_hash else None
        if looks is None:
            return report
        report = report.extended(test_looks=looks)
        (folder / "report.json").write_text(report.to_text(), encoding="utf-8")
        return report

    def finish(self, folder: Path) -> Tracked:
        """Log the finished folder of the run; returns its place in MLflow, or the problem.

        Nothing is raised: whatever MLflow reports now, the folder is complete and can be logged later.
        """
        if self._tracker is None:
            return Tracked(problem=self._problem)
        self._tracker.incomplete = True
        try:
            model_uri = log_folder(self._tracker, self.record, folder)
            self._tracker.incomplete = False
            return _note(folder, self.record, _register(self.record, self._tracker.run_id, model_uri))
        except KeyboardInterrupt:
            return Tracked(problem="logging was interrupted.")
        except Exception as error:
            return Tracked(problem=describe(error))


@contextmanager
def open_run(record: Record, *, enabled: bool = True, required: bool = True) -> Iterator[OpenRun]:
    """Open an MLflow run for a computation, and log its parameters, data and tags.

    Everything that can be checked is checked before the block: the server, the experiment, the location of its
    artifacts, and the name of the registered model.

    Args:
        enabled: if false, nothing is logged.
        required: if false, a run that cannot be opened raises no error.

    Raises:
        TrackingError: the run is required and cannot be opened.
    """
    if not enabled:
        yield OpenRun(record)
        return
    with ExitStack() as stack:
        try:
            tracker = _start(stack, record)
        except TrackingError as error:
            if required:
                raise
            yield OpenRun(record, problem=str(error))
        else:
            yield OpenRun(record, tracker)


def _start(stack: ExitStack, record: Record) -> Tracker:
    connect()
    check_registration(record.register_as)
    with ExitStack() as own:
        tracker = own.enter_context(_logged_run(record))
        log_beginning(tracker, record)
        stack.push(own.pop_all())
    return tracker


def _logged_run(record: Record, run_id: str = "") -> AbstractContextManager[Tracker]:
    watched = bool(record.params.get("tracking", {}).get("system_metrics"))
    tags = {**record.tags, RUN_TAG: record.id}
    return tracked_run(record.experiment, record.name, tags, run_id=run_id, system_metrics=watched)


def track_finished(folder: Path, record: Record) -> Tracked:
    """Log the folder of a run that has just finished; returns its place in MLflow, or the problem."""
    with open_run(record, required=False) as run:
        return run.finish(folder)


def track_later(folder: Path, *, experiment: str = "", register_as: str = "") -> tuple[Tracked, bool]:
    """Log the folder of a run to MLflow, completely, unless it is logged already.

    A run that was logged only in part is continued.

    Args:
        experiment: name of the MLflow experiment; empty for the experiment that the run names.
        register_as: name under which the model is registered; empty for the name that the run asks for, if any.

    Returns:
        The run's place in MLflow, and whether the run was already logged.

    Raises:
        DataError: the folder is not the folder of a run, or is not complete.
        TrackingError: MLflow reported an error.
    """
    record = read_record(folder)
    record = record.but(experiment=experiment or record.experiment, register_as=register_as or record.register_as)
    connect()
    check_registration(record.register_as)
    found = _find_run(record, anywhere=not experiment)
    if found is not None and found.info.status == "FINISHED":
        return _note(folder, record, _register(record, found.info.run_id, _model_of(found))), True
    if found is not None:
        record = record.but(experiment=_experiment_of(found))
    with _logged_run(record, found.info.run_id if found else "") as tracker:
        log_beginning(tracker, record)
        model_uri = log_folder(tracker, record, folder)
    return _note(folder, record, _register(record, tracker.run_id, model_uri)), False


def continue_run(folder: Path) -> Tracked:
    """Log what has been added to the folder of a run to its MLflow run, or to a new one.

    Raises:
        DataError, TrackingError: see `track_later`.
    """
    record = read_record(folder)
    connect()
    found = _find_run(record, anywhere=True)
    with _logged_run(record, found.info.run_id if found else "") as tracker:
        if found is None:
            log_beginning(tracker, record)
        log_folder(tracker, record, folder)
    return _note(folder, record, Tracked(run_id=tracker.run_id))


def _find_run(record: Record, *, anywhere: bool) -> Any:
    """Return the MLflow run of a record, or None. With `anywhere`, search all experiments: names may change."""
    with mlflow_store("read") as mlflow:
        scope: dict[str, Any] = (
            {"search_all_experiments": True} if anywhere else {"experiment_names": [record.experiment]}
        )
        for tag, value in ((RUN_TAG, record.id), ("model.id", record.older_model)):
            query = f"tags.`{tag}` = '{value}'"
            found = mlflow.search_runs(**scope, filter_string=query, output_format="list") if value else []
            # A finished run comes first: an earlier attempt may have failed.
            for run in sorted(found, key=lambda run: run.info.status != "FINISHED"):
                return run
    return None


def _experiment_of(run: Any) -> str:
    with mlflow_store("read") as mlflow:
        return str(mlflow.get_experiment(run.info.experiment_id).name)


def _model_of(run: Any) -> str:
    """Return the URI of the model that a run logged last; empty if it logged none."""
    models = run.outputs.model_outputs if run.outputs else []
    return f"models:/{models[-1].model_id}" if models else ""


def _register(record: Record, run_id: str, model_uri: str) -> Tracked:
    """Register the model of a logged run, if the run asks for it and the model is not registered yet."""
    if not (model_uri and record.register_as):
        return Tracked(run_id=run_id, model_uri=model_uri)
    try:
        check_registration(record.register_as)  # again: MLflow would add the model as a version of a prompt
        version = find_version(record.register_as, run_id) or register(
            model_uri, record.register_as, {"kind": str(record.params["model"]["kind"])}
        )
    except Exception as error:
        problem = f"its model could not be registered: {describe(error)}"
        return Tracked(run_id=run_id, model_uri=model_uri, problem=problem)
    return Tracked(run_id=run_id, model_uri=model_uri, registered_version=version)


def _note(folder: Path, record: Record, tracked: Tracked) -> Tracked:
    """Save the place of a run in MLflow to its folder, if the folder can be written."""
    try:
        record.but(tracked=tracked).save(folder)
    except DataError as error:
        logger.warning("%s", error)
    return tracked
