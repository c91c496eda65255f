"""Run the web application as a Ray Serve deployment: replicas on one machine or a cluster, scaled by load.

Every replica has the model and the whole application, with keys, limits and batching, as a worker process of
`trainer.serving.server` has. Ray's HTTP proxy passes requests on to the replicas, and Ray replaces a replica that dies.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from starlette.types import ASGIApp

from labels.environment.addresses import bind, url_of
from labels.errors import InputError
from trainer.model.model import Model
from trainer.serving.monitoring import log_to_stderr
from trainer.serving.served import Source
from trainer.serving.server import SHUTDOWN_SECONDS, Options, checked_model, create_served

logger = logging.getLogger("communique.serving")

NAME = "communique"
_MOST_REQUESTS = 1000
"""Maximum number of requests at a replica. Its own queue refuses requests long before."""
_TARGET_REQUESTS = 16
"""Number of requests at a replica above which Ray starts another: they are predicted together."""


@dataclass(frozen=True)
class Replicas:
    """The minimum and maximum number of replicas."""

    minimum: int = 1
    maximum: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read MIN or MIN-MAX, such as "2" or "1-8".

        Raises:
            InputError: the text has another form, or is not between 1 and 1,000.
        """
        found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text.strip())
        if found:
            minimum = int(found[1])
            maximum = int(found[2] or minimum)
            if 1 <= minimum <= maximum <= 1000:
                return cls(minimum, maximum)
        raise InputError(
            f"--replicas: '{text}' is not a number of replicas. Use a number or a range, such as 2 or 1-4."
        )


class Replica:
    """One replica: loads the model and builds the application when it starts.

    Args:
        folder: the working folder of the command, to which relative paths refer.
        reloads: number of reloads so far; Ray replaces the replicas, one after another, when it changes.
    """

    def __init__(self, source: Source, options: Options, folder: str, reloads: int) -> None:
        os.chdir(folder)
        if metrics := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            Path(metrics).mkdir(parents=True, exist_ok=True)  # another machine does not have it
        log_to_stderr()
        self._source, self._options = source, options

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return create_served(self._source, self._options, self._source.load())[1]


def run_on_ray(source: Source, options: Options, replicas: Replicas, announce: Callable[[str, Model], None]) -> None:
    """Serve a model with Ray Serve until interrupted; see `trainer.serving.server.run_server`.

    A cluster is used if `RAY_ADDRESS` names one; otherwise Ray is started on this machine.

    Raises:
        InputError: Ray Serve is not installed, the replicas cannot be started, or an option is not valid.
        ArtefactError: see `run_server`.
    """
    if find_spec("ray") is None or find_spec("grpc") is None:
        raise InputError('--engine ray needs Ray Serve. Install it with `pip install "communique[ray]"`.')
    model = checked_model(source, options)
    log_to_stderr()
    with bind(options.host, options.port) as listener:
        port = listener.getsockname()[1]
    with TemporaryDirectory(prefix="communique-metrics-") as metrics, _cluster(replicas, options, port):
        deploy = partial(_deploy, source, options, replicas, metrics)
        deploy(0)
        announce(url_of(options.host, port), model)
        _wait(deploy)


@contextmanager
def _cluster(replicas: Replicas, options: Options, port: int) -> Iterator[None]:
    """Connect to the cluster of `RAY_ADDRESS`, or start Ray on this machine; at the end, stop what was started."""
    import ray
    from ray import serve

    try:
        _connect(replicas)
    except Exception as error:  # Ray raises many types, even Exception itself
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"Ray could not be started or reached ({reason}). Check RAY_ADDRESS and /tmp/ray.") from error
    try:
        if options.watch and len(ray.nodes()) > 1:
            raise InputError(
                "--watch needs all replicas on one machine, but the Ray cluster has several machines. Leave out "
                "--watch."
            )
        serve.start(proxy_location="HeadOnly", http_options={"host": options.host, "port": port})
        yield
    finally:
        serve.delete(NAME)  # finishes accepted requests; other applications of the cluster keep running
        ray.shutdown()


def _connect(replicas: Replicas) -> None:
    import ray

    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
        return
    # A replica takes one core by Ray's count; on a small machine, replicas share the cores.
    cores = max(os.cpu_count() or 1, replicas.maximum + 1)
    ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False)


def _deploy(source: Source, options: Options, replicas: Replicas, metrics: str, reloads: int) -> None:
    """Start the replicas, or replace them one after another: an old replica answers until the new one has started."""
    from ray import serve

    scaling = {"min_replicas": replicas.minimum, "max_replicas": replicas.maximum}
    deployment = serve.deployment(
        serve.ingress()(Replica),
        name=NAME,
        autoscaling_config=scaling | {"target_ongoing_requests": _TARGET_REQUESTS},
        max_ongoing_requests=_MOST_REQUESTS,
        graceful_shutdown_timeout_s=SHUTDOWN_SECONDS,
        ray_actor_options={"num_cpus": 1, "runtime_env": {"env_vars": {"PROMETHEUS_MULTIPROC_DIR": metrics}}},
    )
    bound: Any = deployment.bind(source, options, str(Path.cwd()), reloads)
    try:
        serve.run(bound, name=NAME, route_prefix="/")
    except RuntimeError as error:
        raise InputError(f"Ray Serve could not start the replicas: {error}. See its log in /tmp/ray.") from error


def _wait(reload: Callable[[int], None]) -> None:
    """Wait for SIGINT or SIGTERM; at SIGHUP, call `reload` with the number of signals so far."""
    woken, received = threading.Event(), list[int]()

    def note(number: int, _: object) -> None:
        received.append(number)
        woken.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, note)
    while True:
        woken.wait()
        woken.clear()
        if {signal.SIGINT, signal.SIGTERM} & set(received):
            return
        try:
            reload(len(received))
        except InputError as error:  # the current replicas keep running
            logger.error("reload rejected", extra={"fields": {"event": "reload rejected", "reason": str(error)}})
