"""Run the web application with uvicorn: the socket, one or several worker processes, signals and timeouts."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing.connection
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from labels.environment.addresses import bind, is_loopback, url_of
from labels.environment.keys import KEYS_FILE, KeyFile
from labels.errors import CommuniqueError, InputError
from trainer.model.model import Model
from trainer.serving.app import create_app
from trainer.serving.corrections import Corrections
from trainer.serving.drift_watch import Watch, profile_of
from trainer.serving.gate import Access
from trainer.serving.monitoring import Metrics, log_to_stderr, shared_folder
from trainer.serving.scheduling import MAX_BATCH, Background
from trainer.serving.served import Served, Source

logger = logging.getLogger("communique.serving")

_HEADER_SECONDS = 10
SHUTDOWN_SECONDS = 40
"""Maximum time to finish accepted requests at shutdown; longer than the maximum processing time of a request."""
_SPINS = "20000"
"""Number of times that an idle OpenMP thread checks for work before it sleeps: about a millisecond.

The default, which is more than ten times as long, takes the processor from the event loop between batches. Without
checking, threads would sleep and wake up several hundred times per batch.
"""


@dataclass(frozen=True)
class Options:
    """The options of `communique serve`.

    - `trusted_proxies`: addresses of reverse proxies in front of the server
    - `root_path`: the path under which a proxy publishes the server
    - `origins`: origins of sites whose pages may call the API with a key
    - `max_batch`: maximum number of texts per call of the model
    - `store`: the label store that corrections are recorded in; empty to accept no corrections
    - `watch`: whether to watch for a drift
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    keys: Path = Path(KEYS_FILE)
    trusted_proxies: Sequence[str] = ()
    root_path: str = ""
    origins: Sequence[str] = ()
    max_batch: int = MAX_BATCH
    store: str = ""
    watch: bool = False

    @property
    def keyless(self) -> bool:
        """Whether requests without a key are answered: only on a loopback address without a proxy."""
        return is_loopback(self.host) and not self.trusted_proxies and not self.root_path


def run_server(source: Source, options: Options, announce: Callable[[str, Model], None]) -> None:
    """Serve a model until interrupted. Port 0 chooses a free port.

    Args:
        announce: called with the URL and the model as soon as clients can connect.

    Raises:
        InputError: the address is in use or is not an address of this machine, an option is not valid, or the server
            needs a key and has none.
        ArtefactError: the model cannot be loaded, fails its self-test, or has no profile, which `--watch` needs.
    """
    model = checked_model(source, options)
    listener = bind(options.host, options.port)
    announce(url_of(options.host, listener.getsockname()[1]), model)
    if options.workers == 1:
        _serve(source, options, listener, model)
    else:
        del model  # every worker loads its own
        _Workers(source, options, listener).run()


def checked_model(source: Source, options: Options) -> Model:
    """Load the model after checking the options; see `run_server` for the errors."""
    check_options(options)
    prepare_threads()
    if options.store:
        Corrections(options.store)  # fails now rather than in a worker
    model = source.load()
    if options.watch:
        profile_of(model)  # likewise
    return model


def prepare_threads() -> None:
    """Set how long idle OpenMP threads of this process and its workers stay awake, before torch is imported."""
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def check_options(options: Options) -> None:
    """Raise InputError if the server would be open to strangers, or an option is not valid."""
    for origin in options.origins:
        scheme, _, rest = origin.partition("://")
        if scheme not in ("http", "https") or not rest or "*" in origin or "/" in rest:
            raise InputError(
                f"--allow-origin: '{origin}' is not the origin of one site. Use a value such as https://example.org."
            )
    if not options.keyless and not KeyFile(options.keys).all():
        reached = f"on {options.host}, which other machines can reach,"
        reason = "behind a proxy" if is_loopback(options.host) else reached
        raise InputError(
            f"{options.keys}: there are no API keys. Serving {reason} needs a key: run "
            f"`communique keys add NAME --scope predict --keys {options.keys}`, or use --host 127.0.0.1."
        )


def create_served(source: Source, options: Options, model: Model) -> tuple[Served, ASGIApp]:
    """Create the application of a model. Call this inside the event loop that runs the application."""
    metrics = Metrics()
    shared = shared_folder()
    attempts = shared / "failed-attempts" if shared else None
    access = Access(KeyFile(options.keys), options.keyless, options.trusted_proxies, options.origins, attempts)
    corrections = Corrections(options.store) if options.store else None
    watch = Watch(metrics, shared) if options.watch else None
    served = Served(source, model, metrics, max_batch=options.max_batch, watch=watch)
    return served, create_app(served, access, metrics, root_path=options.root_path, corrections=corrections)


def _serve(source: Source, options: Options, listener: socket.socket, model: Model) -> None:
    log_to_stderr()

    async def run() -> None:
        served, app = create_served(source, options, model)
        config = uvicorn.Config(
            app,
            log_level="warning",
            lifespan="on",
            http=_Protocol,
            ws="none",
            proxy_headers=False,  # `gate` reads them, and only those of trusted proxies
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        reloads = Background()
        with suppress(NotImplementedError, RuntimeError, AttributeError):  # not on Windows, or not in the main thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: reloads.start(served.reload()))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])  # blocked while a worker was starting
        await uvicorn.Server(config).serve(sockets=[listener])

    asyncio.run(run())


class _Protocol(H11Protocol):
    """Closes connections that do not send the headers of a request in time, which uvicorn keeps open."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answering and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._start_timer()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(_HEADER_SECONDS, self._close_idle)

    def _close_idle(self) -> None:
        self._timer = None
        if not self._answering and not self.transport.is_closing():
            self.transport.close()


class _Workers:
    """Worker processes that share a socket. A worker that dies is replaced; SIGHUP is passed on to all workers."""

    def __init__(self, source: Source, options: Options, listener: socket.socket) -> None:
        self._source, self._options, self._listener = source, replace(options), listener
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[BaseProcess] = []
        self._stopping = False

    def run(self) -> None:
        """Run until SIGINT or SIGTERM, then let all workers finish their requests."""
        log_to_stderr()
        # Otherwise, the threads of all workers would compete for the same cores.
        threads = max(1, (os.cpu_count() or 1) // self._options.workers)
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
        for received in (signal.SIGINT, signal.SIGTERM):
            signal.signal(received, lambda *_: self._stop())
        signal.signal(signal.SIGHUP, lambda *_: self._send(signal.SIGHUP))
        with tempfile.TemporaryDirectory(prefix="communique-metrics-") as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            self._workers = [self._start() for _ in range(self._options.workers)]
            while not self._stopping:
                self._replace_dead()
                multiprocessing.connection.wait([worker.sentinel for worker in self._workers], timeout=0.5)
            for worker in self._workers:
                worker.join()

    def _start(self) -> BaseProcess:
        worker = self._context.Process(target=_work, args=(self._source, self._options, self._listener))
        # A worker inherits blocked signals: SIGHUP waits until the worker can reload, instead of ending it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        worker.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return worker

    def _replace_dead(self) -> None:
        for position, worker in enumerate(self._workers):
            if not worker.is_alive() and not self._stopping:
                logger.error("worker died", extra={"fields": {"event": "worker died", "code": worker.exitcode}})
                self._workers[position] = self._start()

    def _stop(self) -> None:
        self._stopping = True
        self._send(signal.SIGTERM)

    def _send(self, signal_number: int) -> None:
        for worker in self._workers:
            if worker.is_alive() and worker.pid is not None:
                os.kill(worker.pid, signal_number)


def _work(source: Source, options: Options, listener: socket.socket) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group; the parent sends SIGTERM
    try:
        model = source.load()
    except CommuniqueError as error:  # the artefact was changed or removed after the server had started
        log_to_stderr()
        fields = {"event": "worker cannot load the model", "source": source.reference, "reason": str(error)}
        logger.error("worker", extra={"fields": fields})
        return
    _serve(source, options, listener, model)
