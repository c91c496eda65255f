"""The trials of a sweep: proposed by Optuna, run, and saved in a journal that outlives the process.

Trials run in this process, one after the other, or as tasks of a Ray cluster. The code that runs a trial does not
depend on studies or MLflow.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labels.errors import DataError, ExperimentError
from trainer.config.experiment import Experiment, with_values
from trainer.data.dataset import Dataset
from trainer.runs.evaluate import macro_f1, predict_examples
from trainer.runs.fitting import fit_model

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OpenTrial


_NAME = "sweep"
_IDENTITY, _TESTED = "identity", "tested"
_SECONDS, _PROBLEM = "seconds", "problem"
_FEWEST_FOR_IMPORTANCES = 10


@dataclass(frozen=True)
class TrialOutcome:
    """The outcome of a trial: macro-F1 on validation, or the problem that ended it."""

    score: float | None
    seconds: float
    problem: str = ""


@dataclass(frozen=True)
class Trial:
    """One combination of settings, and its outcome."""

    number: int
    values: Mapping[str, Any]
    outcome: TrialOutcome

    @property
    def score(self) -> float:
        """Macro-F1 on validation to rank by; failed trials come last."""
        return -1.0 if self.outcome.score is None else self.outcome.score


class SweepStudy:
    """An open study that proposes trials from its space and seed, and records their outcomes.

    If trials run one after the other, a proposal depends only on the seed and the trials finished before it: a sweep
    that was interrupted continues as if it had not been interrupted.
    """

    def __init__(
        self, study: Study, space: Mapping[str, BaseDistribution], *, seed: int, startup: int, parallel: bool
    ) -> None:
        self._study = study
        self._space = dict(space)
        self._seed, self._startup, self._parallel = seed, startup, parallel
        self._open: dict[int, OpenTrial] = {}

    @property
    def trials(self) -> list[Trial]:
        """The finished trials, in order."""
        return [_trial(frozen) for frozen in self._study.get_trials(deepcopy=False) if _is_finished(frozen)]

    @property
    def tested(self) -> list[int]:
        """Numbers of the trials whose settings were evaluated on test, in order."""
        return list(self._study.user_attrs.get(_TESTED, ()))

    def note_tested(self, number: int) -> None:
        """Record that a trial's settings were evaluated on test."""
        self._study.set_user_attr(_TESTED, [*self.tested, number])

    def propose(self) -> tuple[int, dict[str, Any]]:
        """Propose a new trial; returns its number and values."""
        from optuna.samplers import TPESampler

        # A new sampler for every proposal: the state of a kept sampler would be lost when the process ends, and a
        # resumed sweep would then propose other values than an uninterrupted one.
        place = len(self.trials) + len(self._open)
        seed = int(np.random.SeedSequence([self._seed, place]).generate_state(1)[0])
        self._study.sampler = TPESampler(n_startup_trials=self._startup, seed=seed, constant_liar=self._parallel)
        trial = self._study.ask(self._space)
        self._open[trial.number] = trial
        return trial.number, dict(trial.params)

    def record(self, number: int, outcome: TrialOutcome) -> Trial:
        """Store the outcome of a proposed trial and mark the trial as finished."""
        from optuna.trial import TrialState

        # The attributes first: once a trial has a final state, Optuna refuses changes.
        trial = self._open.pop(number)
        trial.set_user_attr(_SECONDS, outcome.seconds)
        trial.set_user_attr(_PROBLEM, outcome.problem)
        state = TrialState.FAIL if outcome.score is None else TrialState.COMPLETE
        return _trial(self._study.tell(trial, outcome.score, state))

    def importances(self) -> dict[str, float]:
        """Compute the share of the score's variance that each key explains, the largest share first.

        Returns an empty dictionary if there are fewer than ten scores, if all scores are equal, or if the space has
        only one key.

        Source: functional ANOVA of a random forest (Hutter, Hoos and Leyton-Brown 2014).
        """
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        # Failed trials have no score, and a forest fitted to a handful of scores explains only noise.
        scores = [trial.score for trial in self.trials if trial.outcome.score is not None]
        if len(scores) < _FEWEST_FOR_IMPORTANCES or len(set(scores)) < 2 or len(self._space) < 2:
            return {}
        return dict(get_param_importances(self._study, evaluator=FanovaImportanceEvaluator(seed=self._seed)))


def require_optuna() -> None:
    """Raise ExperimentError if Optuna is not installed."""
    if find_spec("optuna") is None:
        raise ExperimentError('a sweep needs Optuna: install it with `pip install "communique[sweep]"`.')


def open_study(
    path: Path,
    space: Mapping[str, BaseDistribution],
    *,
    seed: int,
    startup: int,
    parallel: bool,
    identity: Mapping[str, str],
) -> SweepStudy:
    """Open the study in a journal file, and create the file if it is missing.

    Args:
        startup: number of trials drawn at random before earlier trials guide the choice.
        parallel: whether several trials are open at a time; proposals then avoid the values of open trials.
        identity: hashes, by name, that all trials of a study must share.

    Raises:
        ExperimentError: the file contains a study with another identity.
        DataError: the file cannot be read or written.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # A journal instead of SQLite: only whole lines are appended, so a killed process loses at most its current trial,
    # and the file also works on network drives. This lock does not need symbolic links, which Windows may forbid.
    try:
        storage = JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
        study = optuna.create_study(storage=storage, study_name=_NAME, direction="maximize", load_if_exists=True)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: this study cannot be opened ({error}). Choose another folder with --out.") from error
    _check_identity(study, path, identity)
    return SweepStudy(study, space, seed=seed, startup=startup, parallel=parallel)


def _check_identity(study: Study, path: Path, identity: Mapping[str, str]) -> None:
    stated = study.user_attrs.get(_IDENTITY)
    if stated is None:  # a new study
        study.set_user_attr(_IDENTITY, dict(identity))
        return
    other = [name for name, value in identity.items() if stated.get(name) != value]
    if other:
        raise ExperimentError(
            f"{path}: this sweep was started with another {', '.join(other)}; new trials cannot be compared with its "
            "trials. Choose another folder with --out, or start again with --overwrite."
        )


def _is_finished(trial: FrozenTrial) -> bool:
    """Return whether a trial has an outcome; an interrupted trial does not."""
    return trial.state.is_finished() and (trial.values is not None or bool(trial.user_attrs.get(_PROBLEM)))


def _trial(trial: FrozenTrial) -> Trial:
    outcome = TrialOutcome(
        trial.values[0] if trial.values else None, trial.user_attrs[_SECONDS], trial.user_attrs[_PROBLEM]
    )
    return Trial(trial.number, dict(trial.params), outcome)


@dataclass(frozen=True)
class Job:
    """A trial to run: its number in the study, and values by key of the experiment."""

    number: int
    values: Mapping[str, Any]


def run_jobs(experiment: Experiment, dataset: Dataset, jobs: Iterator[Job]) -> Iterator[tuple[Job, TrialOutcome]]:
    """Run jobs on the sweep's executor; yields each job with its outcome, in the order in which jobs end.

    The next job is requested only when a worker is free.
    """
    if experiment.sweep.executor == "ray":
        yield from _run_on_ray(experiment, dataset, jobs)
        return
    for job in jobs:
        yield job, run_trial(experiment, dataset, job)


def run_trial(experiment: Experiment, dataset: Dataset, job: Job) -> TrialOutcome:
    """Fit and calibrate a model and score it on validation; a failure is returned as an outcome, not raised."""
    # The journal stores outcomes, not models: only the best settings are run again and saved.
    start = time.perf_counter()
    score: float | None = None
    problem = ""
    try:
        tried = with_values(experiment, job.values, f"trial {job.number}")
        model = fit_model(tried, dataset).model
        score = macro_f1(model.labels, predict_examples(model, dataset.parts["validation"]))
        problem = "" if score is not None else "macro-F1 on validation is undefined: no label occurs or is predicted"
    except Exception as error:  # out of memory, diverged, too few data: the sweep continues
        problem = describe_problem(error)
    return TrialOutcome(score, time.perf_counter() - start, problem)


def describe_problem(error: BaseException) -> str:
    """Describe an error in one line of at most 500 characters."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"[:500] if first else type(error).__name__


def require_ray() -> None:
    """Raise ExperimentError if Ray is not installed."""
    if find_spec("ray") is None:
        raise ExperimentError(
            'sweep.executor = "ray" needs Ray: install Ray with `pip install "communique[ray]"`, or set sweep.executor '
            'to "local".'
        )


def _run_on_ray(experiment: Experiment, dataset: Dataset, jobs: Iterator[Job]) -> Iterator[tuple[Job, TrialOutcome]]:
    """Run jobs as Ray tasks, each on one core and a share of the GPUs.

    Ray joins the cluster at RAY_ADDRESS, or starts a cluster on this machine.
    """
    ray: Any = import_module("ray")
    workers = experiment.sweep.workers
    ours = not ray.is_initialized()
    if ours:
        logging.getLogger("ray").setLevel(logging.ERROR)
        # The dashboard's processes would take longer to start than many sweeps run.
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    try:
        gpus = min(1.0, ray.cluster_resources().get("GPU", 0) / workers)
        # A task whose process died is not repeated: it would most likely run out of memory again.
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(run_trial)
        sent = ray.put(dataset)  # once, instead of once per task
        running: dict[Any, tuple[Job, float]] = {}
        while True:
            # Proposals are requested as late as possible, because each learns from all trials that have ended.
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
