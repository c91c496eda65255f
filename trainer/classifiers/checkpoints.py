"""Where an interrupted training resumes: a folder of checkpoints for one experiment on one set of examples.

Kept apart from the training loop, so that `finetune` can be loaded to predict without importing torch.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from labels.records import Example
from trainer.environment import is_follower

_FINGERPRINT, _STATE = "fingerprint.txt", "trainer_state.json"


def fingerprint(settings: dict[str, Any], *parts: Sequence[Example]) -> str:
    """64 hex digits that are equal where a training would take the same steps: settings, examples, library versions."""
    content = {
        "settings": settings,
        "parts": [[(example.text, example.labels) for example in part] for part in parts],
        "packages": [version(name) for name in ("torch", "transformers")],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def claim_folder(folder: Path, mark: str) -> None:
    """Reserve `folder` for the training with this fingerprint; what another training left there is deleted.

    In a distributed training the leader does it, and the followers wait.
    """
    path = folder / _FINGERPRINT
    # Followers must not look for checkpoints before the leader has deleted those of another training.
    while is_follower() and not _has(path, mark):
        time.sleep(0.1)
    if _has(path, mark):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path.write_text(mark, encoding="utf-8")


def _has(path: Path, mark: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == mark
    except OSError:  # not there, or deleted by the leader this moment
        return False


def drop_fruitless(folder: Path) -> None:
    """Delete a claimed folder from which no training can resume; a follower leaves that to the leader."""
    if not is_follower() and last_whole_checkpoint(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end: the trainer writes its state last."""
    # By number, since "checkpoint-100" sorts before "checkpoint-20" as text.
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next((path for path in found if _is_whole(path)), None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        _state(checkpoint)
    except (OSError, ValueError):
        return False
    return True


def _state(checkpoint: Path) -> Any:
    return json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))


def epochs_done(checkpoint: Path) -> int:
    """After how many epochs a whole checkpoint was written."""
    return round(float(_state(checkpoint)["epoch"]))


def epochs_when_stopped(checkpoint: Path) -> int | None:
    """After how many epochs training ended, because patience or epochs ran out; None where it did not end.

    A resumed `Trainer` forgets that it had been told to stop, and would train another epoch.
    """
    stopped = _state(checkpoint)["stateful_callbacks"]["TrainerControl"]["args"]["should_training_stop"]
    return epochs_done(checkpoint) if stopped else None
