"""Real server processes: workers, signals, MLflow's own client."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.end_to_end.server import Server, serving
from tests.trainer.conftest import TrackedRun

pytestmark = pytest.mark.slow


def until(holds: Callable[[], Any]) -> Any:
    """Wait until a condition holds, at most a minute; return its value."""
    end = time.monotonic() + 60
    while not (value := holds()):
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.05)
    return value


def post(server: Server) -> httpx.Response:
    return httpx.post(f"{server.url}/predict", json={"texts": ["Norway pledged aid."]}, timeout=60)


def worker_pids(server: Server) -> set[int]:
    """The worker processes; multiprocessing also starts a resource tracker."""
    children = [
        child for child in psutil.Process(server.process.pid).children() if child.status() != psutil.STATUS_ZOMBIE
    ]
    return {child.pid for child in children if "spawn_main" in " ".join(child.cmdline())}


def test_server_answers_mlflows_client_reloads_on_sighup_and_finishes_on_sigterm(
    tracked_run: TrackedRun, tmp_path: Path
) -> None:
    import pandas as pd
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    with serving(tmp_path, str(tracked_run.result.artefact)) as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        client = ScoringServerClient(host, int(port))
        client.wait_server_ready(timeout=30)
        found = client.invoke(pd.DataFrame({"text": ["Norway pledged aid.", "Rain fell."]})).get_predictions()
        assert list(found.columns) == ["labels", "probabilities"]
        assert len(found) == 2

        server.process.send_signal(signal.SIGHUP)
        until(lambda: 'reloads_total{outcome="done"} 1.0' in httpx.get(f"{server.url}/metrics").text)

        body = b'{"texts": ["Norway pledged aid."]}'
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")  # now the request is accepted
            server.process.send_signal(signal.SIGTERM)
            connection.sendall(body)
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        server.process.wait(60)


def test_workers_share_the_address_and_a_dead_worker_is_replaced(tracked_run: TrackedRun, tmp_path: Path) -> None:
    with serving(tmp_path, str(tracked_run.result.artefact), "--workers", "2") as server:
        before = until(lambda: pids if len(pids := worker_pids(server)) == 2 else None)
        for _ in range(20):
            assert post(server).status_code == 200
        total = 'communique_requests_total{method="POST",route="/predict",status="200"} 20.0'
        assert total in httpx.get(f"{server.url}/metrics").text  # added up over the workers
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(pids := worker_pids(server)) == 2 and victim not in pids)
        assert post(server).status_code == 200
