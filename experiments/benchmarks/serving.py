"""Load on `communique serve`: throughput and latency, beside the same server without batches and MLflow's server.

    python experiments/benchmarks/serving.py ARTEFACT [--seconds 60] [--clients 1 8 32 128] [--texts FILE.jsonl]

Every client sends one text per request over a connection of its own, and the next request as soon as it has the answer.
The servers are measured in turn at each number of clients, so that they meet the same machine. At half of the highest
throughput, requests then arrive at random moments. The bare call of the model is timed in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trainer.model.model import Model

ROOT = Path(__file__).resolve().parents[2]
COMMUNIQUE = (sys.executable, "-c", "from trainer.cli import app; app()", "serve")
TEXTS = (
    "Norway will provide another $40 million to repair the grid, its prime minister said on Tuesday.",
    "The envoy urged both armies to stop shelling the valley before the delegations arrive on Friday.",
    "Kyiv asked its partners for more air defence systems and for permission to use them across the border.",
    "The ministry rejected the accusation and said that the report had been written to order.",
    "Rain fell for most of the morning, and the ferry left two hours late with forty passengers on board.",
)


@dataclass
class Outcome:
    """The latencies of answered requests in seconds, and the numbers of errors and of answers 503."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    busy: int = 0

    def row(self) -> str:
        """Requests per second, and p50, p95 and p99 in milliseconds."""
        cuts = statistics.quantiles(self.latencies, n=100) if len(self.latencies) > 1 else [float("nan")] * 99
        shown = "".join(f"{1000 * cuts[percent - 1]:9.1f}" for percent in (50, 95, 99))
        return f"{len(self.latencies) / self.seconds:9.1f}{shown}{self.errors:8d}{self.busy:6d}"


@dataclass(frozen=True)
class Server:
    """A server with the path and the body of a request for one text."""

    name: str
    port: int
    pid: int
    path: str
    form: str

    def request(self, text: str) -> bytes:
        """The bytes of a request."""
        value = {"texts": [text]} if self.form == "texts" else {"dataframe_records": [{"text": text}]}
        body = json.dumps(value).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection:
    """A connection that is kept open between requests. Not httpx: the client must not take the server's cores."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, text: str) -> int:
        """Send a request and read the whole answer; returns its status."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._server.port)
        reader, writer = self._streams
        writer.write(self._server.request(text))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", head)
        await reader.readexactly(int(length.group(1)) if length else 0)
        if b"connection: close" in head:
            self.close()
        return int(head.split()[1])

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def ask(connection: Connection, text: str, outcome: Outcome) -> None:
    """Send one request and record its outcome."""
    start = time.perf_counter()
    try:
        status = await connection.ask(text)
    except (OSError, asyncio.IncompleteReadError):
        connection.close()
        outcome.errors += 1
        return
    if status == 200:
        outcome.latencies.append(time.perf_counter() - start)
    elif status == 503:
        outcome.busy += 1
        await asyncio.sleep(0.1)
    else:
        outcome.errors += 1


async def closed_loop(server: Server, clients: int, seconds: float, texts: Sequence[str]) -> Outcome:
    """Clients that send the next request as soon as they have an answer."""
    outcome, end = Outcome(seconds), time.perf_counter() + seconds

    async def client(number: int) -> None:
        connection, rng = Connection(server), random.Random(number)
        while time.perf_counter() < end:
            await ask(connection, rng.choice(texts), outcome)
        connection.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return outcome


async def open_loop(server: Server, rate: float, seconds: float, texts: Sequence[str]) -> Outcome:
    """Requests that arrive at random moments, `rate` per second on average, however many are still unanswered."""
    outcome, rng, start = Outcome(seconds), random.Random(13), time.perf_counter()
    free: list[Connection] = []

    async def one() -> None:
        connection = free.pop() if free else Connection(server)
        await ask(connection, rng.choice(texts), outcome)
        free.append(connection)

    tasks, moment = set(), 0.0
    while moment < seconds:
        moment += rng.expovariate(rate)
        await asyncio.sleep(max(0.0, start + moment - time.perf_counter()))
        tasks.add(asyncio.create_task(one()))
    await asyncio.gather(*tasks)
    return outcome


@contextmanager
def started(command: Sequence[str], folder: Path, pattern: str) -> Iterator[tuple[int, int]]:
    """A server process; yields its process id and the port that it prints."""
    with (folder / "server.log").open("w+") as log:
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=environment, start_new_session=True
        )
        try:
            while not (found := re.search(pattern, (folder / "server.log").read_text())):
                if process.poll() is not None:
                    sys.exit((folder / "server.log").read_text())
                time.sleep(0.2)
            yield process.pid, int(found.group(1))
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def servers(artefact: Path, folder: Path, stack: ExitStack) -> list[Server]:
    """Start the servers to be compared."""
    found = []
    for name, options in (("communique", ()), ("without batches", ("--max-batch", "1"))):
        place = folder / name.replace(" ", "-")
        place.mkdir()
        command = [*COMMUNIQUE, str(artefact), "--port", "0", *options]
        pid, port = stack.enter_context(started(command, place, r"http://127\.0\.0\.1:(\d+)"))
        found.append(Server(name, port, pid, "/predict", "texts"))
    place = folder / "mlflow"
    place.mkdir()
    found.append(_mlflow_server(artefact, place, stack))
    return found


def _mlflow_server(artefact: Path, place: Path, stack: ExitStack) -> Server:
    """`mlflow models serve` of the same artefact, logged as communique logs it."""
    import mlflow

    from trainer.runs.tracking.tracker import log_model

    mlflow.set_tracking_uri(f"sqlite:///{place / 'mlflow.db'}")
    with mlflow.start_run():
        uri = log_model(artefact)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{place / 'mlflow.db'}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "-p", str(port), "--env-manager", "local"]
    pid, _ = stack.enter_context(started(command, place, r"Uvicorn running on http://127\.0\.0\.1:(\d+)"))
    return Server("mlflow models serve", port, pid, "/invocations", "records")


def bare_call(artefact: Path, texts: Sequence[str]) -> float:
    """Median seconds of one call of the model for one text, in this process."""
    model, seconds = Model.load(artefact), []
    for number in range(220):
        start = time.perf_counter()
        model.predict_proba([texts[number % len(texts)]])
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[20:])


def main() -> None:
    """Print a row for each server and number of clients."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--texts", type=Path, help="JSONL file with `text`; by default five invented sentences")
    options = parser.parse_args()
    texts: Sequence[str] = TEXTS
    if options.texts:
        texts = [json.loads(line)["text"] for line in options.texts.read_text(encoding="utf-8").splitlines()]
    artefact = options.artefact.resolve()
    print(f"bare call of the model, one text: {1000 * bare_call(artefact, texts):.1f} ms")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        found = servers(artefact, Path(folder), stack)
        for server in found:  # the first requests are slow
            asyncio.run(closed_loop(server, 4, min(5.0, options.seconds), texts))
        print(f"{'server':<22}{'clients':>8}{'per s':>9}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'errors':>8}{'503':>6}")
        best = 0.0
        for clients in options.clients:
            for server in found:
                outcome = asyncio.run(closed_loop(server, clients, options.seconds, texts))
                print(f"{server.name:<22}{clients:>8}{outcome.row()}", flush=True)
                if server is found[0]:
                    best = max(best, len(outcome.latencies) / outcome.seconds)
        outcome = asyncio.run(open_loop(found[0], best / 2, options.seconds, texts))
        print(
            f"{found[0].name:<22}{'half':>8}{outcome.row()}   ({best / 2:.0f} requests per second, at random moments)"
        )


if __name__ == "__main__":
    main()
