"""How long work tells of its progress: functions that it calls, if it is given one."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with (done, total)."""
StagedProgress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""
