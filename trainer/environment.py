"""Prepare the process: shipped folders, output of libraries, interruptions, and rank in distributed training."""

from __future__ import annotations

import _thread
import gc
import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

STARTER_CODEBOOK = "diplomatic"
"""The shipped codebook used to label the starter corpus."""

_HERE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Return the path of the shipped folder `seeds` or `experiments`.

    The folder is in `trainer/_data` of an installed wheel, or at the root of a checkout.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for root in (_HERE / "_data", _HERE.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"the folder '{name}' of communique is missing. Reinstall the package.")


def shipped_experiments() -> list[str]:
    """Return the names of the shipped experiments, without `.toml`."""
    return sorted(path.stem for path in shipped("experiments").glob("*.toml"))


_LOGGERS = ("mlflow", "alembic", "transformers", "datasets", "accelerate", "httpx", "huggingface_hub", "trafilatura")


def silence_libraries() -> None:
    """Silence the loggers, warnings and progress bars of libraries. Call this before the libraries are imported."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    warnings.filterwarnings("ignore", module=r"(mlflow|transformers|torch|accelerate|datasets)(\.|$)")


def collect_garbage_rarely() -> None:
    """Make Python look for unreachable objects after 50,000 new objects instead of 700.

    Imports create hundreds of thousands of permanent objects. Examining them again and again took an eighth of the
    start-up time of a command.
    """
    gc.set_threshold(50_000, 10, 10)


REPEAT_AFTER = 0.05
"""Seconds until an interruption that was lost is repeated."""


def repeat_lost_interrupts() -> None:
    """Make sure that Ctrl+C ends the process, whichever line is running.

    Python may raise KeyboardInterrupt at any line. In a finalizer or in the callback of a weak reference, it cannot be
    propagated, so Python prints it and continues. A timer then repeats the interruption a moment later, because in the
    hook itself it would be lost again.
    """
    hook = sys.unraisablehook
    if getattr(hook, "__name__", "") == "repeat_interrupt":
        return  # the hook is already set, because one process runs several commands

    def repeat_interrupt(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            hook(lost)
            return
        again = threading.Timer(REPEAT_AFTER, _interrupt)
        again.daemon = True
        again.start()

    sys.unraisablehook = repeat_interrupt


def _interrupt() -> None:
    """Interrupt the main thread, even in a system call, which `interrupt_main` would not end."""
    if sys.platform == "win32":
        _thread.interrupt_main()
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def world_size() -> int:
    """Return the number of processes that train together; 1 without a launcher such as torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_follower() -> bool:
    """Return whether this process only trains, while the leading process also evaluates, writes and tracks."""
    return int(os.environ.get("RANK", "0")) > 0
