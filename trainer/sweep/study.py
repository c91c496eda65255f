"""The trials of a sweep: proposed by Optuna, kept in a journal that outlives the process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labels.errors import DataError
from trainer.errors import ExperimentError

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
    """What came of a trial: macro-F1 on validation, or the problem that it ended with."""

    score: float | None
    seconds: float
    problem: str = ""


@dataclass(frozen=True)
class Trial:
    """One setting, and what came of it."""

    number: int
    values: Mapping[str, Any]
    outcome: TrialOutcome

    @property
    def score(self) -> float:
        """Macro-F1 on validation to rank by; failed trials come last."""
        return -1.0 if self.outcome.score is None else self.outcome.score


class SweepStudy:
    """An open study, whose space and seed decide what is proposed.

    Where trials run one after the other, a proposal depends on the seed and on the trials finished before it alone: a
    sweep that was interrupted goes on as if it had not been.
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
        """The finished ones, in order."""
        return [_trial(frozen) for frozen in self._study.get_trials(deepcopy=False) if _is_finished(frozen)]

    @property
    def tested(self) -> list[int]:
        """Numbers of the trials whose settings have been tried on test, in order."""
        return list(self._study.user_attrs.get(_TESTED, ()))

    def note_tested(self, number: int) -> None:
        """Record that a trial's settings have been tried on test."""
        self._study.set_user_attr(_TESTED, [*self.tested, number])

    def propose(self) -> tuple[int, dict[str, Any]]:
        """Number and values of a new trial."""
        from optuna.samplers import TPESampler

        place = len(self.trials) + len(self._open)
        seed = int(np.random.SeedSequence([self._seed, place]).generate_state(1)[0])
        self._study.sampler = TPESampler(n_startup_trials=self._startup, seed=seed, constant_liar=self._parallel)
        trial = self._study.ask(self._space)
        self._open[trial.number] = trial
        return trial.number, dict(trial.params)

    def record(self, number: int, outcome: TrialOutcome) -> Trial:
        """Keep what came of a proposed trial; from here on it is finished."""
        from optuna.trial import TrialState

        trial = self._open.pop(number)
        trial.set_user_attr(_SECONDS, outcome.seconds)
        trial.set_user_attr(_PROBLEM, outcome.problem)
        state = TrialState.FAIL if outcome.score is None else TrialState.COMPLETE
        return _trial(self._study.tell(trial, outcome.score, state))

    def importances(self) -> dict[str, float]:
        """Share of the score's variance that each key explains, the largest first; empty for fewer than ten scores.

        Source: functional ANOVA of a random forest (Hutter, Hoos and Leyton-Brown 2014).
        """
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        scores = [trial.score for trial in self.trials if trial.outcome.score is not None]
        if len(scores) < _FEWEST_FOR_IMPORTANCES or len(set(scores)) < 2 or len(self._space) < 2:
            return {}
        return dict(get_param_importances(self._study, evaluator=FanovaImportanceEvaluator(seed=self._seed)))


def require_optuna() -> None:
    """Raise ExperimentError where Optuna is not installed."""
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
    """The study in a journal file, which is made where there is none.

    Args:
        startup: trials drawn at random before earlier ones guide the choice.
        parallel: several trials are open at a time; a proposal then keeps away from those.
        identity: what all trials of a study have in common, by name.

    Raises:
        ExperimentError: the file holds a study of another identity.
        DataError: it cannot be read or written.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
        study = optuna.create_study(storage=storage, study_name=_NAME, direction="maximize", load_if_exists=True)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: this study cannot be opened ({error}). Name another folder with --out.") from error
    _check_identity(study, path, identity)
    return SweepStudy(study, space, seed=seed, startup=startup, parallel=parallel)


def _check_identity(study: Study, path: Path, identity: Mapping[str, str]) -> None:
    stated = study.user_attrs.get(_IDENTITY)
    if stated is None:
        study.set_user_attr(_IDENTITY, dict(identity))
        return
    other = [name for name, value in identity.items() if stated.get(name) != value]
    if other:
        raise ExperimentError(
            f"{path}: this sweep was begun with another {', '.join(other)}; new trials cannot be compared with them. "
            "Name another folder with --out, or begin anew with --overwrite."
        )


def _is_finished(trial: FrozenTrial) -> bool:
    """Whether something came of it; not so of a trial that was interrupted."""
    return trial.state.is_finished() and (trial.values is not None or bool(trial.user_attrs.get(_PROBLEM)))


def _trial(trial: FrozenTrial) -> Trial:
    outcome = TrialOutcome(
        trial.values[0] if trial.values else None, trial.user_attrs[_SECONDS], trial.user_attrs[_PROBLEM]
    )
    return Trial(trial.number, dict(trial.params), outcome)
