"""Workers in this process or in processes of their own, and the futures of their results.

A worker process is a fresh interpreter, not a fork: a fork of a process in which torch has started threads can hang,
and `multiprocessing` would run the caller's script again.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from labels.errors import CommuniqueError, DataError
from trainer.model.model import Model
from trainer.predict.worker import Processing, Worker


class WorkerPool(Protocol):
    """One or more workers. The calls of a block go to the same worker, whose results arrive in the order of the calls.

    `depth` is the number of blocks that may be processed at the same time, and `spare` the number of further blocks
    that this process may take over while it waits.
    """

    depth: int
    spare: int

    def take_over(self, block: int) -> None:
        """Let this process do all calls of a block that was not called yet."""

    def call(self, block: int, method: str, *arguments: Any) -> Future[Any]:
        """Call a method of the worker of a block; the future has the result or the error."""

    def close(self) -> None:
        """End the workers; results that are not ready never arrive."""


class LocalPool:
    """A single worker in this process: every call is finished when it returns."""

    depth = 1
    spare = 0

    def __init__(self, processing: Processing) -> None:
        self._worker = Worker(processing)

    def take_over(self, block: int) -> None:
        """Do nothing: this process does all calls."""

    def call(self, block: int, method: str, *arguments: Any) -> Future[Any]:
        """Call the method at once."""
        future: Future[Any] = Future()
        try:
            future.set_result(getattr(self._worker, method)(*arguments))
        except CommuniqueError as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Do nothing: there is no process."""


class ProcessPool:
    """Workers in processes of their own, and one here: with a fast model, the calling process would otherwise wait.

    Args:
        count: the number of processes.
        artefact: the folder of the model that each worker opens; None if the workers only split and render.
    """

    def __init__(self, processing: Processing, count: int = 1, artefact: Path | None = None) -> None:
        self.depth = 3 * count
        self.spare = 0 if artefact else 2
        self._here, self._taken = LocalPool(processing), set[int]()
        self._workers: list[_WorkerProcess] = []
        try:
            self._workers += (_WorkerProcess(processing, artefact, count) for _ in range(count))
        except BaseException:
            self.close()
            raise

    def call(self, block: int, method: str, *arguments: Any) -> Future[Any]:
        """Send the call to the process of the block."""
        if block in self._taken:
            if method == "render":  # the last call of a block
                self._taken.discard(block)
            return self._here.call(block, method, *arguments)
        return self._workers[block % len(self._workers)].call(method, arguments)

    def take_over(self, block: int) -> None:
        """Let this process do all calls of a block."""
        self._taken.add(block)

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.close()


class _WorkerProcess:
    """A worker process, with a thread that sends calls and a thread that receives results.

    Both are needed: a pipe is full after a few hundred kilobytes, and two processes that only send would wait for each
    other forever.
    """

    def __init__(self, processing: Processing, artefact: Path | None, count: int) -> None:
        ours, theirs = socket.socketpair()
        code = f"from trainer.predict.pool import serve; serve({theirs.fileno()})"
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", code], pass_fds=[theirs.fileno()], env=_environment(count), stdin=subprocess.DEVNULL
        )
        theirs.close()
        self._connection = Connection(ours.detach())
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._ended = threading.Event()
        for work in (self._send, self._receive):
            threading.Thread(target=work, daemon=True).start()
        self._calls.put((processing, artefact))

    def call(self, method: str, arguments: Sequence[Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._results.put(future)
        self._calls.put((method, tuple(arguments)))
        if self._ended.is_set():
            self._fail()
        return future

    def _send(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                self._connection.send(call)
            except (OSError, ValueError):  # the process ended, which `_receive` reports
                return

    def _receive(self) -> None:
        while True:
            try:
                error, result = self._connection.recv()
            except (EOFError, OSError, TypeError):  # TypeError: closed by this process in the meantime
                self._ended.set()
                self._fail()
                return
            future = self._results.get()
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _fail(self) -> None:
        while True:
            try:
                future = self._results.get_nowait()
            except queue.Empty:
                return
            future.set_exception(
                CommuniqueError(
                    "A worker process ended unexpectedly, perhaps because the machine ran out of memory. Use fewer "
                    "--workers."
                )
            )

    def close(self) -> None:
        self._calls.put(None)
        self._process.kill()
        self._process.wait()
        self._connection.close()


def _environment(count: int) -> dict[str, str]:
    """The environment of a worker: the import path of this process, and its share of the processor cores."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    threads = max(1, len(os.sched_getaffinity(0)) // count)
    return {"OMP_NUM_THREADS": str(threads)} | os.environ | {"PYTHONPATH": path}


def work(connection: Connection) -> None:
    """Answer the calls on a connection until it is closed: pairs of an error or None, and the result."""
    # The first process of the group decides what an interrupt means, and then closes the connection.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    processing, artefact = connection.recv()
    worker: Worker | None = None
    while True:
        method, arguments = connection.recv()
        try:
            worker = worker or Worker(processing, Model.load(artefact) if artefact else None)
            answer: tuple[Exception | None, Any] = None, getattr(worker, method)(*arguments)
        except CommuniqueError as error:
            answer = _portable(error), None
        connection.send(answer)


def _portable(error: CommuniqueError) -> CommuniqueError:
    """The error as one that every process can build from its message."""
    return DataError(str(error)) if isinstance(error, DataError) else CommuniqueError(str(error))


def serve(descriptor: int) -> None:
    """Run a worker on an inherited socket."""
    from trainer.environment import collect_garbage_rarely, silence_libraries

    collect_garbage_rarely()  # a block has thousands of objects, none of them in a cycle
    silence_libraries()
    with Connection(descriptor) as connection:
        try:
            work(connection)
        except (EOFError, OSError):  # the other process has finished
            return
