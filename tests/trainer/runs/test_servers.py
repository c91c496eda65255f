"""MLflow servers that are down, do not answer, or go away while a model is trained."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from labels.errors import TrackingError
from tests.conftest import untraced
from tests.lazy import Lazy
from tests.trainer.cli.test_commands import run
from tests.trainer.conftest import MakeExperiment
from trainer.runs import run as runs
from trainer.runs.run import run_experiment
from trainer.runs.tracking import connection
from trainer.runs.tracking.connection import check_server

mlflow = Lazy("mlflow")
MlflowClient = Lazy("mlflow:MlflowClient")

REPAIR = r"Start the server or correct MLFLOW_TRACKING_URI\. If this variable is not set, MLflow logs to mlflow\.db"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of these tests answer at once or never."""
    monkeypatch.setattr(connection, "_SECONDS_TO_ANSWER", 1)
    monkeypatch.setattr(connection, "_SECONDS_FOR_THE_PROBE", 3)
    monkeypatch.setattr(connection, "_SECONDS_TRUSTED", 0)


@pytest.fixture
def tracked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Point MLflow at a server."""

    def point(uri: str) -> str:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow.set_tracking_uri(uri)
        return uri

    before = mlflow.get_tracking_uri()
    yield point
    mlflow.set_tracking_uri(before)


@contextmanager
def listening(*answers: bytes, endless: bool = False) -> Iterator[str]:
    """A server that gives these answers in turn, the last again and again; without answers it only accepts connections.

    With `endless`, the server goes on sending headers.
    """
    left = list(answers)
    ended = threading.Event()

    def serve(server: socket.socket) -> None:
        held = []
        while not ended.is_set():
            try:
                connected, _ = server.accept()
            except OSError:
                return
            held.append(connected)
            if left:
                connected.recv(65536)
                connected.sendall(left.pop(0) if len(left) > 1 else left[0])
                while endless and not ended.wait(0.2):
                    connected.sendall(b"X-More: 1\r\n")
                connected.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        ended.set()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def status(code: str) -> bytes:
    return f"HTTP/1.1 {code}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


def test_a_server_that_is_down_is_found_at_once(tracked_at: Any) -> None:
    uri = tracked_at(f"http://ana:secret@127.0.0.1:{closed_port()}")
    with pytest.raises(TrackingError, match=rf"does not answer \(the connection was refused\)\. {REPAIR}") as caught:
        check_server(uri)
    assert "http://ana:***@127.0.0.1" in str(caught.value)


def test_a_server_that_never_answers_is_found(tracked_at: Any) -> None:
    with listening() as uri, pytest.raises(TrackingError, match=r"\(no answer within 1 seconds\)"):
        check_server(tracked_at(uri))


def test_a_server_whose_answer_never_ends_is_found(tracked_at: Any) -> None:
    endless = listening(b"HTTP/1.1 200 OK\r\n", endless=True)
    with endless as uri, pytest.raises(TrackingError, match=r"\(no answer within 3 seconds\)"):
        check_server(tracked_at(uri))


def test_an_unknown_host_is_named(tracked_at: Any) -> None:
    uri = tracked_at("http://no-such-host.invalid:5000")
    with pytest.raises(TrackingError, match=r"\(the host name no-such-host\.invalid is unknown\)"):
        check_server(uri)


@pytest.mark.parametrize("code", ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"])
def test_a_proxy_before_a_server_that_is_down_is_noticed(tracked_at: Any, code: str) -> None:
    with listening(status(code)) as uri, pytest.raises(TrackingError, match=rf"\(status {code[:3]}\)"):
        check_server(tracked_at(uri))


@pytest.mark.parametrize("code", ["200 OK", "401 Unauthorized", "404 Not Found", "429 Too Many Requests"])
def test_any_other_answer_comes_from_a_server_that_is_up(tracked_at: Any, code: str) -> None:
    with listening(status(code)) as uri:
        check_server(tracked_at(uri))


def test_an_unknown_certificate_is_left_to_mlflow(tracked_at: Any) -> None:
    with listening(b"not TLS") as uri:
        check_server(tracked_at(uri.replace("http:", "https:")))


def test_the_users_own_number_of_retries_is_respected(tracked_at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    answers = [status("503 Service Unavailable"), status("503 Service Unavailable"), status("200 OK")]
    with listening(*answers) as uri:
        check_server(tracked_at(uri))


def test_the_users_own_patience_is_respected(tracked_at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")  # above the limits of `quick`
    with listening() as uri, pytest.raises(TrackingError, match=r"\(no answer within 4 seconds\)"):
        check_server(tracked_at(uri))


def test_nothing_is_trained_or_listed_with_a_server_that_is_down(
    experiment_of: MakeExperiment, isolated: Path, tracked_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked_at(f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setattr(runs, "fit_model", lambda *_, **__: pytest.fail("a model was fitted"))
    with pytest.raises(TrackingError, match="the connection was refused"):
        run_experiment(experiment_of("majority", tracking={"enabled": True}), isolated / "out")
    assert not (isolated / "out").exists()
    for command in (["leaderboard"], ["evaluate", "models:/m/1", "data.jsonl"], ["track", "out"]):
        said = run(*command, code=2 if command[0] == "track" else 1)
        assert "refused" in said or "not the folder of a run" in said


@pytest.fixture
def server(isolated: Path, mlflow_template: Path) -> Iterator[tuple[str, int]]:
    """The address and the process group of a real MLflow server."""
    shutil.copy(mlflow_template, isolated / "server.db")
    port = closed_port()
    place = ("--backend-store-uri", f"sqlite:///{isolated / 'server.db'}", "--artifacts-destination", "artifacts")
    options = ("--host", "127.0.0.1", "--port", str(port), "--workers", "1")
    command = [sys.executable, "-m", "mlflow", "server", *place, *options]
    # Without the processes for MLflow's own jobs, which each import MLflow again.
    environment = untraced() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (isolated / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=isolated, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None, (isolated / "server.log").read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_a_run_outlives_a_server_that_stops_answering_and_is_logged_when_the_server_goes_on(
    experiment_of: MakeExperiment,
    isolated: Path,
    server: tuple[str, int],
    tracked_at: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri, group = server
    tracked_at(uri)
    with monkeypatch.context() as patient:
        patient.setattr(connection, "_SECONDS_FOR_THE_PROBE", 60)  # a loaded machine starts a server slowly
        patient.setattr(connection, "_SECONDS_TO_ANSWER", 60)
        check_server(uri)
    original = runs.fit_model

    def fit_model(*arguments: Any, **options: Any) -> Any:
        fitted = original(*arguments, **options)
        os.killpg(group, signal.SIGSTOP)
        return fitted

    monkeypatch.setattr(runs, "fit_model", fit_model)
    monkeypatch.setattr(connection, "_SECONDS_TO_ANSWER", 3)
    monkeypatch.setattr(connection, "_SECONDS_FOR_THE_PROBE", 5)
    experiment = experiment_of("majority", tracking={"enabled": True, "register_as": "m"})
    result = run_experiment(experiment, isolated / "out")
    assert "no answer within 3 seconds" in result.tracked.problem
    assert result.run_id == ""
    assert mlflow.active_run() is None
    os.killpg(group, signal.SIGCONT)

    printed = run("track", "out")
    assert "registered as version 1." in printed
    [logged] = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert (logged.info.status, logged.data.metrics["n_train"]) == ("FINISHED", result.report.n_train)
    assert {own.dataset.name for own in logged.inputs.dataset_inputs} == {"train", "validation", "test"}
    assert logged.data.tags["codebook.version"] == "1"
    files = {own.path for own in mlflow.artifacts.list_artifacts(run_id=logged.info.run_id)}
    assert {"report.html", "report.json", "predictions.parquet", "split.json", "plots"} <= files
    assert "is already logged" in run("track", "out")
