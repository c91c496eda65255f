"""A sweep: trials on one frozen split, scored on validation, then a run of the best trial, which alone is tested."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labels.environment.progress import progress_stage, report_progress
from labels.environment.settings import command
from labels.errors import ExperimentError, counted
from labels.output.drafts import sole_writer, write_whole
from labels.output.folders import make_folder, refuse_occupied
from labels.output.table_files import write_csv_table
from trainer.config.experiment import Experiment, dump_experiment, with_values
from trainer.config.sections import SweepRange
from trainer.data.dataset import Dataset, files_read, load_dataset
from trainer.environment import silence_libraries, world_size
from trainer.evaluation.report import Report
from trainer.runs.choice.sweep_trials import Job, SweepStudy, Trial, open_study, require_optuna, require_ray, run_jobs
from trainer.runs.run import run_experiment
from trainer.runs.tracking.connection import check_server
from trainer.runs.tracking.record import UNTRACKED, Tracked, read_record, record_experiment
from trainer.runs.tracking.track import OpenRun, open_run

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

STUDY, SPLIT, TRIALS, BEST_FILE, BEST = "study.journal", "split.json", "trials.csv", "best.toml", "best"


_NEWER_KEYS = {"split": {"new_rows", "train_before", "test_after", "by", "leave_one_out", "folds", "missing"}}
"""Keys that are newer than some unfinished sweeps, by section; the hashes of the parts cover them."""
SWEPT = "model"
"""The section whose keys can be swept, except `kind`, because kinds have different keys.

The keys of other sections define the comparison. This includes [calibration]: trials are scored on the rows that
calibrate them, and the calibration that fits these rows most closely would always win.
"""


@dataclass(frozen=True)
class SweepResult:
    """The results of a sweep: its folder, its trials, the best trial, and the report of the best trial's run on test.

    `resumed` is the number of trials that an earlier call finished. `tested` is the number of settings evaluated on the
    test part so far, including those of the best trial. `importances` are the result of `SweepStudy.importances`.
    `tracked` is the place in MLflow of the run that is the parent of the trials, and `best_tracked` the place of the
    best trial's run.
    """

    folder: Path
    trials: tuple[Trial, ...]
    best: Trial
    report: Report
    importances: Mapping[str, float]
    resumed: int
    tested: int
    tracked: Tracked = UNTRACKED
    best_tracked: Tracked = UNTRACKED

    @property
    def run_id(self) -> str:
        """Id of the sweep's MLflow run; empty if the sweep is not tracked."""
        return self.tracked.run_id


def run_sweep(experiment: Experiment, out: Path, *, overwrite: bool = False) -> SweepResult:
    """Try the settings of an experiment's sweep, then run the best settings.

    The study in `out` is saved after every trial: if a call was interrupted, the same call continues the study, and
    finished trials count. At the end, `out` also contains `trials.csv`, `best.toml` (an experiment for `communique
    train`) and `best/` (the outputs of `run_experiment`).

    Raises:
        InputError: the space or the data are not valid, `out` has other contents, or all trials failed.
        TrackingError: MLflow is not available at the start. Later errors of MLflow are returned.
    """
    silence_libraries()
    if world_size() > 1:
        raise ExperimentError("a sweep runs in one process: start it without torchrun or accelerate.")
    require_optuna()
    if experiment.sweep.executor == "ray":
        require_ray()
    space = read_space(experiment)
    # A sweep that continues deletes nothing, so its inputs (such as its own split) may be in the folder.
    refuse_occupied(
        out, overwrite=overwrite or (out / STUDY).is_file(), reads=files_read(experiment) if overwrite else ()
    )
    if experiment.tracking.enabled:
        check_server()
    with sole_writer(out):
        return _sweep(experiment, out, space, overwrite=overwrite)


def _sweep(experiment: Experiment, out: Path, space: Mapping[str, Any], *, overwrite: bool) -> SweepResult:
    # Before the folder is emptied: data that cannot be read must not cost the results of an earlier sweep.
    dataset = load_dataset(experiment if overwrite else _on_split(experiment, out))
    make_folder(out, empty=overwrite)
    study = open_study(
        out / STUDY,
        space,
        seed=experiment.seed,
        startup=experiment.sweep.startup,
        parallel=experiment.sweep.workers > 1,
        identity=_identity(experiment, dataset),
    )
    # After the study has checked its identity: a refused call must not replace the split.
    dataset.split.save(out / SPLIT)
    resumed = len(study.trials)
    record = record_experiment("sweep", experiment, dataset, beside="sweeps")
    with open_run(record, enabled=experiment.tracking.enabled) as run:
        _run_trials(experiment, dataset, study, run)
        best = _best(study.trials, experiment.name)
        _write(experiment, study, best, out)
        record.save(out)
        tracked = run.finish(out)
    # Outside the sweep's MLflow run: the best trial has a run of its own, and MLflow keeps only one run open.
    report, best_tracked = _run_best(experiment, study, best, out)
    return SweepResult(
        folder=out,
        trials=tuple(study.trials),
        best=best,
        report=report,
        importances=study.importances(),
        resumed=resumed,
        tested=len(set(study.tested)),
        tracked=tracked,
        best_tracked=best_tracked,
    )


def _on_split(experiment: Experiment, out: Path) -> Experiment:
    """Return the experiment with the split that the sweep saved, if any: the label store may have grown since.

    If the data name a test file, the files define the split.
    """
    if experiment.data.test or not (out / SPLIT).is_file():
        return experiment
    split = experiment.split.model_copy(update={"manifest": str(out / SPLIT), "new_rows": "ignore"})
    return experiment.model_copy(update={"split": split})


def _identity(experiment: Experiment, dataset: Dataset) -> dict[str, str]:
    """Return the seed and the hashes that all trials of a sweep must share to be comparable."""
    sections = ("data", "split", "model", "calibration")
    return {
        # Hashes of the data as well as of the settings: the same file name may have other rows today.
        "seed": str(experiment.seed),
        "codebook": dataset.codebook.hash,
        "split": dataset.split.hash,
        "train or validation part": dataset.training_hash,
        **{
            f"[{name}]": _digest(getattr(experiment, name).model_dump(exclude=_NEWER_KEYS.get(name)))
            for name in sections
        },
        "[sweep.space]": _digest(experiment.sweep.model_dump()["space"]),
    }


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _run_trials(experiment: Experiment, dataset: Dataset, study: SweepStudy, run: OpenRun) -> None:
    settings = experiment.sweep
    end = time.monotonic() + settings.timeout_minutes * 60 if settings.timeout_minutes else None
    missing = settings.trials - len(study.trials)
    for job, outcome in run_jobs(experiment, dataset, _propose(study, missing, end)):
        trial = study.record(job.number, outcome)
        figures = {"validation_macro_f1": outcome.score, "train_seconds": outcome.seconds}
        run.log_trial(trial.number, trial.values, figures, outcome.problem)
        report_progress("Trials", len(study.trials), settings.trials)


def _propose(study: SweepStudy, missing: int, end: float | None) -> Iterator[Job]:
    """Yield the missing jobs until the timeout."""
    # The first job ignores the timeout, so that every call makes progress.
    for proposed in range(missing):
        if proposed and end is not None and time.monotonic() >= end:
            return
        yield Job(*study.propose())


def _best(trials: Sequence[Trial], name: str) -> Trial:
    scored = [trial for trial in trials if trial.outcome.score is not None]
    if not scored:
        problems = Counter(trial.outcome.problem for trial in trials)
        lines = [f"  {counted(times, 'time')}: {problem}" for problem, times in problems.most_common(5)]
        lines += ["Fix the cause, then repeat the sweep with --overwrite."]
        raise ExperimentError("\n".join([f"{name}: every trial failed ({counted(len(trials), 'trial')}).", *lines]))
    return max(scored, key=lambda trial: trial.score)


def _write(experiment: Experiment, study: SweepStudy, best: Trial, out: Path) -> None:
    write_csv_table(out / TRIALS, [_row(trial) for trial in study.trials])
    head = (
        f"# The best of {counted(len(study.trials), 'trial')} by macro-F1 on validation ({best.score:.4f}, "
        "optimistic).\n"
        f"#   {command('train', out / BEST_FILE, '--out', f'runs/{experiment.name}-best')}\n\n"
    )
    write_whole(out / BEST_FILE, [head, dump_experiment(_winner(experiment, best))])


def _row(trial: Trial) -> dict[str, Any]:
    outcome = trial.outcome
    figures = {"validation_macro_f1": outcome.score, "seconds": outcome.seconds, "problem": outcome.problem}
    return {"trial": trial.number, **trial.values, **figures}


def _winner(experiment: Experiment, best: Trial) -> Experiment:
    name = f"{experiment.name}-best"
    return with_values(experiment, {"name": name, **best.values}, name)


def _run_best(experiment: Experiment, study: SweepStudy, best: Trial, out: Path) -> tuple[Report, Tracked]:
    """Run the best trial; returns its report and its place in MLflow. If it was tested last, read both from its run."""
    folder = out / BEST
    # Every further evaluation on test makes its scores less trustworthy, so an existing report is used again.
    if study.tested[-1:] == [best.number] and (folder / "report.json").is_file():
        return Report.read(folder / "report.json"), read_record(folder).tracked
    winner = _on_split(_winner(experiment, best), out)
    with progress_stage("Best trial"):
        # Not required: the trials took long, and MLflow may have failed since the sweep began.
        result = run_experiment(winner, folder, overwrite=True, required=False)
    study.note_tested(best.number)
    return result.report, result.tracked


def read_space(experiment: Experiment) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution of each key of a sweep.

    Both ends of every range, and every choice, are checked: they are valid values of the experiment.

    Raises:
        ExperimentError: the space is empty or contains an invalid key or value, or the model is a cascade (its
            certificate is not valid after a choice among several trials).
    """
    if experiment.model.kind == "cascade":
        raise ExperimentError(
            f"{experiment.name}: a cascade cannot be swept: all trials would be certified on the same sentences, and "
            "the best of many certificates is not valid. Sweep the two models separately, and copy the best settings "
            "to [model.cheap] and [model.expensive]."
        )
    if not experiment.sweep.space:
        raise ExperimentError(
            f"{experiment.name}: [sweep.space] is empty. Add the settings to try, e.g. "
            "model.C = { low = 0.1, high = 100.0, log = true }."
        )
    return {key: _distribution(experiment, key) for key in experiment.sweep.space}


def _distribution(experiment: Experiment, key: str) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution

    place = f"{experiment.name}: [sweep.space] {key}"
    if key.split(".")[0] != SWEPT or key == "model.kind":
        raise ExperimentError(
            f"{place}: this key cannot be swept. Only keys of [model] except model.kind can be swept."
        )
    asked = experiment.sweep.space[key]
    # Valid ends are enough for a range: the limits of every key are an interval.
    ends = (asked.low, asked.high) if isinstance(asked, SweepRange) else asked
    # The experiment converts each value to the type of the key, e.g. 9.0 to 9 for a key of type int.
    taken = [reduce(getattr, key.split("."), with_values(experiment, {key: end}, f"{place} = {end}")) for end in ends]
    return _range(asked, taken, place) if isinstance(asked, SweepRange) else CategoricalDistribution(asked)


def _range(asked: SweepRange, taken: list[Any], place: str) -> BaseDistribution:
    """Return a distribution of integers if both ends are integers after conversion, else of floats."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in taken):
        raise ExperimentError(f"{place}: this key does not take numbers. Use a list of choices.")
    low, high = taken
    if not isinstance(low, int):
        return FloatDistribution(low, high, log=asked.log, step=asked.step)
    step = 1 if asked.step is None else int(asked.step)
    if asked.step not in (None, step):
        raise ExperimentError(f"{place}: this key takes whole numbers, but step = {asked.step}. Use a whole number.")
    return IntDistribution(low, high, log=asked.log, step=step)
