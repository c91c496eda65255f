"""The shipped folders, the libraries' output on the terminal, and this process's place in a distributed training."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

STARTER_CODEBOOK = "diplomatic"
"""The shipped codebook that the shipped seeds are coded with."""

_HERE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The shipped folder `seeds` or `experiments`: in an installed wheel under `trainer/_data`, else in the checkout.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for root in (_HERE / "_data", _HERE.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"communique's own folder '{name}' is missing: install the package again")


def shipped_experiments() -> list[str]:
    """Names of the shipped experiments, without `.toml`."""
    return sorted(path.stem for path in shipped("experiments").glob("*.toml"))


_LOGGERS = ("mlflow", "alembic", "transformers", "datasets", "accelerate", "httpx", "huggingface_hub", "trafilatura")


def silence_libraries() -> None:
    """Silence the libraries' loggers, warnings and progress bars; call it before they are imported."""
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
    warnings.filterwarnings("ignore", module=r"(mlflow|transformers|torch|accelerate|datasets)(\.|$)")


def world_size() -> int:
    """How many processes train together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_follower() -> bool:
    """Whether another process leads: evaluates, writes and tracks, while this one only helps to train."""
    return int(os.environ.get("RANK", "0")) > 0
