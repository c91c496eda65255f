from __future__ import annotations

import gc
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from trainer.cli import app
from trainer.environment import repeat_lost_interrupts, silence_libraries

SWITCHES = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
LOGGERS = ("mlflow", "alembic", "transformers", "datasets", "accelerate", "httpx", "huggingface_hub", "trafilatura")


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loggers, switches and warning filters as they were found, afterwards."""
    for name in SWITCHES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    with warnings.catch_warnings():
        yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def warn_from(module: str) -> None:
    """A warning, as that module would raise it."""
    warnings.warn_explicit("careful", UserWarning, "somewhere.py", 1, module=module, registry={})


@pytest.mark.parametrize("name", LOGGERS)
def test_libraries_log_errors_only(name: str) -> None:
    logging.getLogger(name).setLevel(logging.DEBUG)
    silence_libraries()
    assert not logging.getLogger(name).isEnabledFor(logging.WARNING)
    assert logging.getLogger(name).isEnabledFor(logging.ERROR)


def test_our_own_and_other_loggers_are_left_alone() -> None:
    logger = logging.getLogger("someone.elses")
    logger.setLevel(logging.INFO)
    before = (logging.getLogger().level, logging.getLogger("trainer").level)
    silence_libraries()
    assert logger.level == logging.INFO
    assert (logging.getLogger().level, logging.getLogger("trainer").level) == before


def test_progress_bars_and_telemetry_are_switched_off() -> None:
    silence_libraries()
    assert {name: os.environ.get(name) for name in SWITCHES} == SWITCHES


@pytest.mark.parametrize("name", SWITCHES)
def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "mine")
    silence_libraries()
    assert os.environ[name] == "mine"


@pytest.mark.parametrize("module", ["mlflow", "mlflow.store.tracking", "torch.nn", "transformers.trainer"])
def test_warnings_of_the_libraries_are_not_shown(module: str) -> None:
    warnings.simplefilter("error")
    silence_libraries()
    warn_from(module)


@pytest.mark.parametrize(
    "module", ["trainer.runs.run", "labels.store", "__main__", "sklearn.linear_model", "torchlight"]
)
def test_warnings_of_everybody_else_are_shown(module: str) -> None:
    warnings.simplefilter("error")
    silence_libraries()
    with pytest.raises(UserWarning, match="careful"):
        warn_from(module)


def test_calling_it_again_adds_no_second_filter() -> None:
    silence_libraries()
    filters = list(warnings.filters)
    silence_libraries()
    assert warnings.filters == filters


def test_a_command_looks_for_garbage_rarely() -> None:
    before = gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)
        CliRunner().invoke(app, ["status", "--help"])
        assert gc.get_threshold() == (50_000, 10, 10)
    finally:
        gc.set_threshold(*before)


class _InterruptedWhenDeleted:
    """Its finalizer is where the interruption arrives."""

    def __del__(self) -> None:
        raise KeyboardInterrupt


def _interrupted() -> None:
    _InterruptedWhenDeleted()
    time.sleep(30)


def test_an_interruption_in_a_finalizer_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    repeat_lost_interrupts()
    with pytest.raises(KeyboardInterrupt):
        _interrupted()


def test_other_errors_of_finalizers_are_reported_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: seen.append(repr(lost.exc_value)))
    repeat_lost_interrupts()

    class Broken:
        def __del__(self) -> None:
            raise ValueError("broken")

    Broken()
    assert seen == ["ValueError('broken')"]
