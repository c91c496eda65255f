from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from labels.errors import InputError
from tests.lazy import Lazy
from tests.trainer.conftest import TrackedRun
from trainer.model.model import Model

run_server = Lazy("trainer.serving.server:run_server")
Options = Lazy("trainer.serving.server:Options")
KeyFile = Lazy("labels.environment.keys:KeyFile")
Source = Lazy("trainer.serving.served:Source")


def source_of(run: TrackedRun) -> Any:
    """The artefact of a run as the source of a server's model."""
    return Source("the run", lambda _: run.result.artefact)


def fail(url: str, model: Model) -> None:
    """No server should start."""
    pytest.fail(url)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also where the tests run in a shell's background."""
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, found)


def test_serves_on_the_announced_address_until_interrupted(tracked_run: TrackedRun, interruptible: None) -> None:
    announced: list[str] = []
    answers: list[Any] = []

    def ask(url: str) -> None:
        try:
            with httpx.Client(transport=httpx.HTTPTransport(retries=8), base_url=url, trust_env=False) as client:
                answers.append(client.get("/health").json()["model_id"])
                answers.append(len(client.post("/predict", json={"texts": ["a", "b"]}).json()["predictions"]))
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    asker: list[threading.Thread] = []

    def announce(url: str, model: Model) -> None:
        announced.append(url)
        asker.append(threading.Thread(target=ask, args=(url,)))
        asker[0].start()

    def serve() -> None:
        try:
            run_server(source_of(tracked_run), Options(port=0), announce)
        finally:
            asker[0].join()  # whatever happened, the interrupt comes while this test is there to take it

    with pytest.raises(KeyboardInterrupt):
        serve()
    assert len(announced) == 1
    assert int(announced[0].removeprefix("http://127.0.0.1:")) > 0
    assert answers == [Model.load(tracked_run.result.artefact).id, 2]


def test_taken_port_is_named_with_the_repair(tracked_run: TrackedRun) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"127\.0\.0\.1 port {port} .*--port 0"):
            run_server(source_of(tracked_run), Options(port=port), fail)


@pytest.mark.parametrize("host", ["192.0.2.1", "192.168..1", "a" * 70])  # the first is reserved for documentation
def test_address_that_is_not_this_machines_is_refused(tracked_run: TrackedRun, host: str, tmp_path: Path) -> None:
    KeyFile(keys := tmp_path / "keys.json").add("any", ["predict"])
    with pytest.raises(InputError, match=rf"{re.escape(host)} port 0 .*--host"):
        run_server(source_of(tracked_run), Options(host=host, port=0, keys=keys), fail)


@pytest.mark.parametrize(
    "options",
    [{"host": "0.0.0.0"}, {"trusted_proxies": ["10.0.0.1"]}, {"root_path": "/labels"}],
    ids=lambda o: next(iter(o)),
)
def test_server_that_strangers_can_reach_needs_a_key(
    tracked_run: TrackedRun, options: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"there are no API keys.*communique keys add NAME"):
        run_server(source_of(tracked_run), Options(port=0, keys=tmp_path / "keys.json", **options), fail)


@pytest.mark.parametrize("origin", ["*", "https://*.example.org", "example.org", "https://example.org/page"])
def test_origin_that_is_not_one_site_is_refused(tracked_run: TrackedRun, origin: str) -> None:
    with pytest.raises(InputError, match=r"--allow-origin.*https://example\.org"):
        run_server(source_of(tracked_run), Options(port=0, origins=[origin]), fail)
