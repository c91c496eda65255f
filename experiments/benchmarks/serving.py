"""Load on `communique serve`: throughput and latency, beside the same server without batches and MLflow's server.

    python experiments/benchmarks/serving.py ARTEFACT... [--seconds 60] [--clients 1 8 32 128] [--texts FILE.jsonl]

Every client sends one text per request over a connection of its own, and the next request as soon as it has the answer.
The servers are measured in turn at each number of clients, so that they meet the same machine. At half of the highest
throughput, requests then arrive at random moments. The bare call of the model is timed in a process of its own, loaded
and called as the server does: on one thread, with the same OpenMP settings. A table and a verdict for each target are
printed for each artefact. "own" is the time that our server writes to its log, without the client; "cpu" is processor
time per request of server and client, in milliseconds, because the client shares the machine.
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
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from trainer.serving.served import Source
from trainer.serving.server import prepare_threads

OURS, ALONE, MLFLOW = "communique", "without batches", "mlflow models serve"
ROOT = Path(__file__).resolve().parents[2]
COMMUNIQUE = (sys.executable, "-c", "from trainer.cli import app; app()", "serve")
TEXTS = (
    "Norway will provide another $40 million to repair the grid, its prime minister said on Tuesday.",
    "The envoy urged both armies to stop shelling the valley before the delegations arrive on Friday.",
    "Kyiv asked its partners for more air defence systems and for permission to use them across the border.",
    "The ministry rejected the accusation and said that the report had been written to order.",
    "Rain fell for most of the morning, and the ferry left two hours late with forty passengers on board.",
)


_LOGGED = rb'"route": "/predict", "status": 200, "ms": ([0-9.]+)'
COLUMNS = f"{'per s':>9}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'errors':>8}{'503':>6}"
START_SECONDS = 180


@dataclass
class Outcome:
    """The latencies of answered requests in seconds, and the numbers of sent requests, errors and answers 503."""

    seconds: float = 0.0
    sent: int = 0
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    busy: int = 0

    @property
    def rate(self) -> float:
        """Answered requests per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: int) -> float:
        """A percentile of the latencies in milliseconds."""
        return percentile(self.latencies, percent) * 1000

    def row(self) -> str:
        """The values of `COLUMNS`."""
        shown = "".join(f"{self.percentile(percent):9.1f}" for percent in (50, 95, 99))
        return f"{self.rate:9.1f}{shown}{self.errors:8d}{self.busy:6d}"


def percentile(values: Sequence[float], percent: int) -> float:
    """A percentile of the values; NaN if there are fewer than two."""
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else float("nan")


def verdict(target: str, figure: str, met: bool) -> None:
    """Print whether a target is met."""
    print(f"{'met   ' if met else 'MISSED'}  {target}: {figure}", flush=True)


@dataclass(frozen=True)
class Server:
    """A server with the path and the body of a request for one text."""

    name: str
    port: int
    pid: int
    path: str
    form: str
    log: Path = Path(os.devnull)

    def own_times(self, start: int) -> list[float]:
        """The milliseconds that a server of communique logged for predictions after a position of its log."""
        with self.log.open("rb") as file:
            file.seek(start)
            return [float(found) for found in re.findall(_LOGGED, file.read())]

    def request(self, text: str) -> bytes:
        """The bytes of a request."""
        value = {"texts": [text]} if self.form == "texts" else {"dataframe_records": [{"text": text}]}
        body = json.dumps(value).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """A connection that is kept open between requests. Not httpx: the client must not take the server's cores."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._received, self._expected = b"", 0
        self._answer: asyncio.Future[bytes] | None = None

    async def ask(self, text: str) -> int:
        """Send a request and read the whole answer; returns its status."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            self._transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", self._server.port)
        self._received, self._expected, self._answer = b"", 0, loop.create_future()
        self._transport.write(self._server.request(text))
        head = await self._answer
        if b"connection: close" in head:
            self.close()
        return int(head.split(maxsplit=2)[1])

    def data_received(self, data: bytes) -> None:
        """Collect the answer until it is as long as its header says."""
        self._received += data
        if not self._expected and (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = re.search(rb"content-length: (\d+)", self._received[:end].lower())
            self._expected = end + 4 + (int(length.group(1)) if length else 0)
        if self._expected and len(self._received) >= self._expected and self._answer and not self._answer.done():
            self._answer.set_result(self._received[: self._expected].lower())

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request under way."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._transport is not None:
            self._transport.close()
        self._transport = None


async def ask(connection: Connection, text: str, outcome: Outcome) -> None:
    """Send one request and record its outcome."""
    start = time.perf_counter()
    outcome.sent += 1
    try:
        status = await connection.ask(text)
    except OSError:
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else an ended benchmark would leave its servers running
    with (folder / "server.log").open("w+") as log:
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=environment, start_new_session=True
        )
        try:
            end = time.monotonic() + START_SECONDS
            while not (found := re.search(pattern, (folder / "server.log").read_text())):
                if process.poll() is not None or time.monotonic() > end:
                    sys.exit(f"the server did not start: {(folder / 'server.log').read_text()}")
                time.sleep(0.2)
            yield process.pid, int(found.group(1))
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        os.killpg(process.pid, signal.SIGKILL)  # what is left of its group
    process.wait(60)


def servers(artefact: Path, folder: Path, stack: ExitStack) -> list[Server]:
    """Start the servers to be compared."""
    found = []
    for name, options in ((OURS, ()), (ALONE, ("--max-batch", "1"))):
        place = folder / name.replace(" ", "-")
        place.mkdir()
        command = [*COMMUNIQUE, str(artefact), "--port", "0", *options]
        pid, port = stack.enter_context(started(command, place, r"http://127\.0\.0\.1:(\d+)"))
        found.append(Server(name, port, pid, "/predict", "texts", place / "server.log"))
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
    return Server(MLFLOW, port, pid, "/invocations", "records")


def bare_call(artefact: Path, texts: Sequence[str]) -> float:
    """Median milliseconds of one call of the model for one text, in this process, on a thread as in the server."""
    prepare_threads()
    model, seconds = Source(str(artefact), lambda _: artefact).load(), []

    def call() -> None:
        for number in range(320):
            start = time.perf_counter()
            model.predict_proba([texts[number % len(texts)]])
            seconds.append(time.perf_counter() - start)

    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(call).result()
    return 1000 * statistics.median(seconds[20:])


def bare_call_alone(artefact: Path, texts: Sequence[str]) -> float:
    """`bare_call` in a new process: this process has threads of its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        return process.submit(bare_call, artefact, texts).result()


def measured(server: Server, name: str, load: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
    """The outcome of a load on a server; prints its row."""
    position = server.log.stat().st_size
    before = _cpu_seconds(server), time.process_time()
    outcome = asyncio.run(load())
    count = max(1, len(outcome.latencies))
    after = _cpu_seconds(server), time.process_time()
    cpu = [1000 * (now - then) / count for now, then in zip(after, before, strict=True)]
    own = server.own_times(position)
    times = f"{percentile(own, 50):9.1f}{percentile(own, 95):9.1f}" if own else " " * 18
    print(f"{server.name:<20}{name:>8}{outcome.row()}{times}{cpu[0]:9.1f}{cpu[1]:7.2f}", flush=True)
    return outcome


def _cpu_seconds(server: Server) -> float:
    process, total = psutil.Process(server.pid), 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += sum(one.cpu_times()[:2])
    return total


def compare(artefact: Path, options: argparse.Namespace, texts: Sequence[str]) -> None:
    """Print the table and the verdicts of one artefact."""
    print(f"\n{artefact}, {options.seconds:g} s per row")
    bare, seconds = [bare_call_alone(artefact, texts)], options.seconds
    outcomes: dict[tuple[str, int], Outcome] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        found = servers(artefact, Path(folder), stack)
        for server in found:  # the first requests are slow
            asyncio.run(closed_loop(server, 4, min(5.0, seconds), texts))
        print(f"{'server':<20}{'clients':>8}{COLUMNS}{'own p50':>9}{'own p95':>9}{'cpu':>9}{'client':>7}")
        for clients in options.clients:
            for server in found:
                load = partial(closed_loop, server, clients, seconds, texts)
                outcomes[server.name, clients] = measured(server, str(clients), load)
        ours = [outcome for (name, _), outcome in outcomes.items() if name == OURS]
        rate = max(outcome.rate for outcome in ours) / 2
        half = measured(found[0], "half", partial(open_loop, found[0], rate, seconds, texts))
    bare.append(bare_call_alone(artefact, texts))
    print(f"half: {rate:.0f} requests per second at random moments")
    print(f"bare call of the model, before and after: {bare[0]:.1f} and {bare[1]:.1f} ms")
    judge(outcomes, half, statistics.mean(bare))


def judge(outcomes: Mapping[tuple[str, int], Outcome], half: Outcome, bare: float) -> None:
    """Print the verdict for each target whose numbers of clients were measured."""
    if one := outcomes.get((OURS, 1)):
        alone = outcomes[ALONE, 1]
        share = one.rate / alone.rate
        verdict("1 client, at least 0.97 times the rate without batches", f"{share:.2f} times", share >= 0.97)
        own = one.percentile(50)
        verdict("overhead over the bare call under 3 ms at the median", f"{own - bare:.1f} ms", own - bare < 3)
        ratio = half.percentile(95) / own
        verdict("half load, p95 under 3 times one request's own time", f"{ratio:.1f} times", ratio < 3)
    if many := outcomes.get((OURS, 32)):
        times = many.rate / outcomes[MLFLOW, 32].rate
        verdict("32 clients, at least 2 times mlflow models serve", f"{times:.1f} times", times >= 2)
    ours = [half, *(outcome for (name, _), outcome in outcomes.items() if name == OURS)]
    errors, busy = sum(outcome.errors for outcome in ours), sum(outcome.busy for outcome in ours)
    # The clients never fill the queue, which has room for 4,000 texts, so no answer may be 503.
    verdict("no error, and 503 only if the queue is full", f"{errors} errors, {busy} answers 503", not errors + busy)


def main() -> None:
    """Print a table and verdicts for each artefact."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("artefacts", type=Path, nargs="+", metavar="ARTEFACT")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--texts", type=Path, help="JSONL file with `text`; by default five invented sentences")
    options = parser.parse_args()
    texts: Sequence[str] = TEXTS
    if options.texts:
        texts = [json.loads(line)["text"] for line in options.texts.read_text(encoding="utf-8").splitlines()]
    for artefact in options.artefacts:
        compare(artefact.resolve(), options, texts)


if __name__ == "__main__":
    main()
