"""Where the evidence of a drift watch is kept: in memory, or in a folder that several worker processes share."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labels.output.drafts import whole_file
from trainer.serving.drift.evidence import Evidence


class States:
    """The state of each model by its id. Windows of all workers become one sequence: a change waits for the others.

    Args:
        folder: the folder that the workers share; None to keep the states in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._in_memory: dict[str, Evidence] = {}
        self._lock = threading.Lock()

    def read(self, model_id: str, quantities: int) -> Evidence:
        """The state of a model; a new one if no window was recorded."""
        if self._folder is None:
            return self._in_memory.get(model_id) or Evidence.start(quantities)
        path = self._path(model_id)
        if not path.exists():
            return Evidence.start(quantities)
        return Evidence.from_json(json.loads(path.read_text(encoding="utf-8")))

    @contextmanager
    def changing(self, model_id: str, quantities: int) -> Iterator[Evidence]:
        """Yield the state of a model, and keep it as changed inside the block."""
        with self._alone(model_id):
            state = self.read(model_id, quantities)
            yield state
            if self._folder is None:
                self._in_memory[model_id] = state
                return
            with whole_file(self._path(model_id)) as draft:
                draft.write_text(json.dumps(state.to_json(), allow_nan=False), encoding="utf-8")

    @contextmanager
    def _alone(self, model_id: str) -> Iterator[None]:
        from filelock import FileLock

        with self._lock:
            if self._folder is None:
                yield
            else:
                with FileLock(self._path(model_id).with_suffix(".lock")):
                    yield

    def _path(self, model_id: str) -> Path:
        assert self._folder is not None
        return self._folder / f"drift-{model_id}.json"
