"""Progress of long work: library code reports it; the code that displays it binds a sink once.

The sink is a context variable, so it reaches code at any depth without being passed down. asyncio tasks inherit it.
Threads and other processes (Ray tasks, followers of a distributed training) start without one, so that what they report
goes nowhere; nothing fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Sink = Callable[[str, int, int], None]
"""Called with (stage, done, total), e.g. ("Training", 120, 400)."""

_sink: ContextVar[Sink | None] = ContextVar("progress_sink", default=None)
_outer_stages: ContextVar[tuple[str, ...]] = ContextVar("progress_stages", default=())


@contextmanager
def progress_to(sink: Sink | None) -> Iterator[None]:
    """Send what is reported inside the block to `sink`; None silences it.

    The binding must not span the `yield` of a generator: a generator runs in its caller's context and would leak it.
    """
    token = _sink.set(sink)
    try:
        yield
    finally:
        _sink.reset(token)


@contextmanager
def progress_stage(name: str) -> Iterator[None]:
    """Put a name before the stages reported inside the block: "Fold 2 of 5: Training". Blocks may be nested."""
    token = _outer_stages.set((*_outer_stages.get(), name))
    try:
        yield
    finally:
        _outer_stages.reset(token)


def report_progress(stage: str, done: int, total: int) -> None:
    """Report that `done` of `total` steps of a stage are done. An exception of the sink reaches the caller."""
    sink = _sink.get()
    if sink is not None:
        sink(": ".join((*_outer_stages.get(), stage)), done, total)
