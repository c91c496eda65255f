"""What a sweep may try: the keys and values of `[sweep.space]`, held against the experiment before the first trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from labels.errors import ExperimentError
from trainer.config.experiment import Experiment, SweepRange
from trainer.config.load import parse_experiment, set_key

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SWEPT = "model"
"""The section whose keys can be swept, but for `kind`: another kind has other keys.

The others decide what is compared, not what is best. Keys of [calibration] too: trials are judged on the rows that
calibrate them, where whatever follows these rows most closely would win.
"""


def with_values(experiment: Experiment, values: Mapping[str, Any], place: str) -> Experiment:
    """The experiment with values at dotted keys, without its sweep; `place` names their origin in messages.

    Raises:
        ExperimentError: a key is unknown, or a value is outside its limits.
    """
    content = experiment.model_dump(exclude={"sweep"})
    for key, value in values.items():
        set_key(content, key, value, place)
    return parse_experiment(content, place)


def read_space(experiment: Experiment) -> dict[str, BaseDistribution]:
    """Key -> Optuna's distribution of it. Both ends of every range, and every choice, are allowed by the experiment.

    Raises:
        ExperimentError: the space is empty, or holds a key or value that a trial could not run with; or the model is a
            cascade, whose proof counts once only.
    """
    if experiment.model.kind == "cascade":
        raise ExperimentError(
            f"{experiment.name}: a cascade cannot be swept: every trial would be proven on the same sentences, and the "
            "best of many proofs proves nothing. Sweep its two models by themselves, and put what is best into "
            "[model.cheap] and [model.expensive]."
        )
    if not experiment.sweep.space:
        raise ExperimentError(
            f"{experiment.name}: [sweep.space] is empty. Say what to try, e.g. model.C = {{ low = 0.1, high = 100.0, "
            "log = true }."
        )
    return {key: _distribution(experiment, key) for key in experiment.sweep.space}


def _distribution(experiment: Experiment, key: str) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution

    place = f"{experiment.name}: [sweep.space] {key}"
    if key.split(".")[0] != SWEPT or key == "model.kind":
        raise ExperimentError(f"{place}: this key cannot be swept. Keys of [model] can, but for model.kind.")
    wanted = experiment.sweep.space[key]
    ends = (wanted.low, wanted.high) if isinstance(wanted, SweepRange) else wanted
    taken = [_value_at(with_values(experiment, {key: end}, f"{place} = {end}"), key) for end in ends]
    if isinstance(wanted, SweepRange):
        return _range(wanted, taken, place)
    return CategoricalDistribution(wanted)


def _range(wanted: SweepRange, taken: list[Any], place: str) -> BaseDistribution:
    """A distribution of whole numbers where the key takes such, as its values show, else of any."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in taken):
        raise ExperimentError(f"{place}: this key takes no numbers. Give a list of choices.")
    low, high = taken
    if not isinstance(low, int):
        return FloatDistribution(low, high, log=wanted.log, step=wanted.step)
    step = 1 if wanted.step is None else int(wanted.step)
    if wanted.step not in (None, step):
        raise ExperimentError(f"{place}: this key takes whole numbers, but step = {wanted.step}. Give a whole step.")
    return IntDistribution(low, high, log=wanted.log, step=step)


def _value_at(experiment: Experiment, key: str) -> Any:
    value: Any = experiment
    for part in key.split("."):
        value = getattr(value, part)
    return value
