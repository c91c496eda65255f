"""A real HTTP server with the protocol of OpenAI's chat completions, whose answers follow a rule, and which misbehaves
on command: rate limits, failures, cut connections, broken JSON, slow and unreadable answers, refusals, redirects."""

from __future__ import annotations

import json
import math
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Rule = Callable[[str, str], str]
"""(instructions, sentence) -> answer."""

ERRORS: dict[str, tuple[int, str]] = {
    "401": (401, "Incorrect API key provided: sk-secret-1234."),
    "404": (404, "The model does not exist."),
    "429": (429, "Rate limit reached."),
    "500": (500, "The server had an error."),
    "context": (400, "This model's maximum context length is 2048 tokens, but the request has 9000 tokens."),
    "invalid": (400, "Something about this request is wrong."),
    "schema": (400, "Unsupported fields in the request: {'response_format'}"),
    "logprobs": (400, "Unsupported fields in the request: {'logprobs', 'top_logprobs'}"),
}
"""Faults that are errors of HTTP, with their status and message."""


def sentence_of(messages: list[dict[str, str]]) -> str:
    """The sentence in the last message, without its delimiters."""
    found = re.fullmatch(r"<sentence>\n(.*)\n</sentence>", messages[-1]["content"], re.DOTALL)
    assert found is not None, messages[-1]
    return found[1]


@dataclass
class MisbehavingServer:
    """The server's behaviour: `rule` answers; each of `faults` spoils one request; `always` spoils every request.

    `requests` has the bodies of all requests, `keys` the keys that were sent, `chances` the probability of "yes" by
    label, from which answers with log-probabilities are made, and `most_at_once` the most requests at one time.
    """

    rule: Rule
    faults: deque[str] = field(default_factory=deque)
    always: str = ""
    seconds: float = 0.0
    chances: Callable[[str], dict[str, float]] | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    most_at_once: int = 0
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    under_way: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def sentences(self) -> list[str]:
        """The sentences asked about, in order."""
        return [sentence_of(request["messages"]) for request in self.requests]

    def next_fault(self) -> str:
        with self.lock:
            return self.faults.popleft() if self.faults else self.always


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        own: MisbehavingServer = self.server.own
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with own.lock:
            own.requests.append(body)
            own.keys.append(self.headers.get("Authorization", ""))
            own.under_way += 1
            own.most_at_once = max(own.most_at_once, own.under_way)
        try:
            time.sleep(own.seconds)
            self._respond(own, body, own.next_fault())
        finally:
            with own.lock:
                own.under_way -= 1

    def _respond(self, own: MisbehavingServer, body: dict[str, Any], fault: str) -> None:
        if fault == "cut":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "slow":
            time.sleep(1.5)  # longer than the client waits
            self._send(200, _completion(own, body, ""))
        elif fault == "broken":
            self._send(200, b'{"choices": [')
        elif fault == "redirect":
            self._send(307, b"", Location="http://127.0.0.1:9/elsewhere")
        elif fault == "schema" and "response_format" not in body:
            self._send(200, _completion(own, body, ""))
        elif fault in ERRORS:
            status, message = ERRORS[fault]
            headers = {"Retry-After": "0"} if status in (429, 500) else {}
            self._send(status, json.dumps({"error": {"message": message}}).encode(), **headers)
        else:
            self._send(200, _completion(own, body, fault))

    def _send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def _completion(own: MisbehavingServer, body: dict[str, Any], fault: str) -> bytes:
    sentence = sentence_of(body["messages"])
    content: str | None = own.rule(body["messages"][0]["content"], sentence)
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    if body.get("logprobs") and own.chances is not None:
        content, choice["logprobs"] = _with_chances(own.chances(sentence))
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if fault == "unreadable":
        message["content"] = "Well, that depends."
    elif fault == "refusal":
        message |= {"content": None, "refusal": "I cannot help with that."}
    elif fault == "length":
        message["content"], choice["finish_reason"] = '{"labels": ["a', "length"
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    found = {"id": "x", "object": "chat.completion", "created": 1, "model": body["model"], "usage": usage}
    return json.dumps(found | {"choices": [] if fault == "empty" else [choice | {"message": message}]}).encode()


def _with_chances(chances: dict[str, float]) -> tuple[str, dict[str, Any]]:
    """An answer for every label, as tokens with the log-probabilities of their alternatives."""
    tokens: list[tuple[str, dict[str, float]]] = [("{", {"{": 0.0})]
    for number, (name, chance) in enumerate(chances.items()):
        said = "yes" if chance >= 0.5 else "no"
        mass = {"yes": chance * 0.9, "no": (1 - chance) * 0.9, " no": 0.0, "maybe": 0.1}
        tops = {token: math.log(value) for token, value in mass.items() if value > 0}
        tokens += [(f'{", " * (number > 0)}"{name}": "', {}), (said, tops), ('"', {})]
    tokens.append(("}", {"}": 0.0}))
    content = []
    for token, tops in tokens:
        listed = [{"token": one, "logprob": value, "bytes": None} for one, value in (tops or {token: 0.0}).items()]
        content.append({"token": token, "logprob": tops.get(token, 0.0), "bytes": None, "top_logprobs": listed})
    return "".join(token for token, _ in tokens), {"content": content, "refusal": None}


@contextmanager
def misbehaving_server(rule: Rule, **options: Any) -> Iterator[MisbehavingServer]:
    """Run a server until the block ends."""
    own = MisbehavingServer(rule, **options)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # connections that were cut on command
    server.own = own  # type: ignore[attr-defined]
    own.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield own
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
