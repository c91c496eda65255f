from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from labels.errors import InputError
from tests.lazy import Lazy
from trainer.model.model import Model

run_server = Lazy("trainer.serving.app:run_server")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also where the tests run in a shell's background."""
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, found)


def test_serves_on_the_announced_address_until_interrupted(tfidf_model: Model, interruptible: None) -> None:
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

    def announce(url: str) -> None:
        announced.append(url)
        asker.append(threading.Thread(target=ask, args=(url,)))
        asker[0].start()

    def serve() -> None:
        try:
            run_server(tfidf_model, "127.0.0.1", 0, announce)
        finally:
            asker[0].join()  # whatever happened, the interrupt comes while this test is there to take it

    with pytest.raises(KeyboardInterrupt):
        serve()
    assert len(announced) == 1
    assert int(announced[0].removeprefix("http://127.0.0.1:")) > 0
    assert answers == [tfidf_model.id, 2]


def test_taken_port_is_named_with_the_repair(tfidf_model: Model) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"127\.0\.0\.1 port {port} .*--port 0"):
            run_server(tfidf_model, "127.0.0.1", port, pytest.fail)


@pytest.mark.parametrize("host", ["192.0.2.1", "192.168..1", "a" * 70])  # the first is reserved for documentation
def test_address_that_is_not_this_machines_is_refused(tfidf_model: Model, host: str) -> None:
    with pytest.raises(InputError, match=rf"{re.escape(host)} port 0 .*--host"):
        run_server(tfidf_model, host, 0, pytest.fail)
