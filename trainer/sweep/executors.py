"""Where trials run: here, one after the other, or as tasks of a Ray cluster. Neither knows of studies or of MLflow."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from trainer.config.experiment import Experiment
from trainer.data import Dataset
from trainer.errors import ExperimentError
from trainer.fitting import fit_model
from trainer.judging import macro_f1, predict_examples
from trainer.sweep.space import with_values
from trainer.sweep.study import TrialOutcome


@dataclass(frozen=True)
class Job:
    """A trial to be run: its number in the study, and its values at the experiment's keys."""

    number: int
    values: Mapping[str, Any]


def run_jobs(experiment: Experiment, dataset: Dataset, jobs: Iterator[Job]) -> Iterator[tuple[Job, TrialOutcome]]:
    """Each job with what came of it, as they end, where the experiment's sweep wants them run.

    A job is only asked for when there is a place for it.
    """
    if experiment.sweep.executor == "ray":
        yield from _run_on_ray(experiment, dataset, jobs)
        return
    for job in jobs:
        yield job, run_trial(experiment, dataset, job)


def run_trial(experiment: Experiment, dataset: Dataset, job: Job) -> TrialOutcome:
    """Fit and calibrate a model, and judge it on validation; whatever goes wrong is the outcome, not an error."""
    start = time.perf_counter()
    score: float | None = None
    problem = ""
    try:
        tried = with_values(experiment, job.values, f"trial {job.number}")
        model = fit_model(tried, dataset).model
        score = macro_f1(model.labels, predict_examples(model, dataset.parts["validation"]))
        problem = "" if score is not None else "macro-F1 on validation is undefined: no label occurs or is predicted"
    except Exception as error:  # out of memory, diverged, too few data: the sweep goes on
        problem = describe_problem(error)
    return TrialOutcome(score, time.perf_counter() - start, problem)


def describe_problem(error: BaseException) -> str:
    """An error in a line."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"[:500] if first else type(error).__name__


def require_ray() -> None:
    """Raise ExperimentError where Ray is not installed."""
    if find_spec("ray") is None:
        raise ExperimentError(
            'sweep.executor = "ray" needs Ray: install it with `pip install "communique[ray]"`, or set it to "local".'
        )


def _run_on_ray(experiment: Experiment, dataset: Dataset, jobs: Iterator[Job]) -> Iterator[tuple[Job, TrialOutcome]]:
    """Jobs as tasks of one core (and a share of the GPUs) each; the data are sent once.

    Ray joins the cluster that RAY_ADDRESS names, or starts one on this machine.
    """
    ray: Any = import_module("ray")
    workers = experiment.sweep.workers
    ours = not ray.is_initialized()
    if ours:
        logging.getLogger("ray").setLevel(logging.ERROR)
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    try:
        gpus = min(1.0, ray.cluster_resources().get("GPU", 0) / workers)
        # A task whose process died is not tried again: what filled the memory once does so again.
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(run_trial)
        sent = ray.put(dataset)
        running: dict[Any, tuple[Job, float]] = {}
        while True:
            while len(running) < workers and (job := next(jobs, None)) is not None:
                running[task.remote(experiment, sent, job)] = (job, time.perf_counter())
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1)
            job, start = running.pop(done[0])
            try:
                outcome = ray.get(done[0])
            except ray.exceptions.RayError as error:
                outcome = TrialOutcome(None, time.perf_counter() - start, describe_problem(error))
            yield job, outcome
    finally:
        if ours:
            ray.shutdown()
