"""Report the progress of long-running work to a sink, which the code that displays progress sets once.

The sink is a context variable, so it is available at any call depth without being passed as an argument. asyncio tasks
inherit the sink. Threads and other processes (Ray tasks, followers in distributed training) start without a sink: their
reports are discarded without an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Sink = Callable[[str, int, int], None]
"""A function that is called with (stage, done, total), e.g. ("Training", 120, 400)."""

_sink: ContextVar[Sink | None] = ContextVar("progress_sink", default=None)
_outer_stages: ContextVar[tuple[str, ...]] = ContextVar("progress_stages", default=())


@contextmanager
def progress_to(sink: Sink | None) -> Iterator[None]:
    """Send the progress reported inside the block to `sink`; None discards it.

    The block must not contain the `yield` of a generator: a generator runs in its caller's context and would leak the
    sink into it.
    """
    token = _sink.set(sink)
    try:
        yield
    finally:
        _sink.reset(token)


@contextmanager
def progress_stage(name: str) -> Iterator[None]:
    """Prefix the stages reported inside the block with a name: "Fold 2 of 5: Training". Blocks may be nested."""
    token = _outer_stages.set((*_outer_stages.get(), name))
    try:
        yield
    finally:
        _outer_stages.reset(token)


def report_progress(stage: str, done: int, total: int) -> None:
    """Report that `done` of `total` steps of a stage are done. Exceptions raised by the sink propagate."""
    sink = _sink.get()
    if sink is not None:
        sink(": ".join((*_outer_stages.get(), stage)), done, total)
