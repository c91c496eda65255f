"""Keeps the libraries' own chatter off the terminal, so that what communique says can be read.

Warnings that a user can act on are raised as errors or printed by communique itself.
"""

from __future__ import annotations

import logging
import os
import warnings

_LOGGERS = ("mlflow", "alembic", "transformers", "datasets", "accelerate", "httpx", "huggingface_hub", "trafilatura")


def quiet_libraries() -> None:
    """Lower the libraries' loggers and progress bars; call before they are imported."""
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
