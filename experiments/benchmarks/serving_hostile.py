"""Hostile requests to `communique serve`: no answer 500, and normal latency for others during and after.

    pip install schemathesis
    python experiments/benchmarks/serving_hostile.py ARTEFACT [--requests 10000]

Half of the requests come from schemathesis, which reads the OpenAPI document; the others are raw bytes: broken JSON,
deep nesting, huge, slow and endless bodies, control characters, text that is not UTF-8, tricks with headers. Beside
them, 200 connections stay idle and one honest client asks without a pause; its latency is printed before, during and
after the attack.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from serving import COLUMNS, COMMUNIQUE, TEXTS, Outcome, Server, closed_loop, started, verdict

HEAD = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


OFFICE = ("application/pdf", "application/vnd.openxmlformats-officedocument.wordprocessingml.document")


def bodies(rng: random.Random) -> bytes:
    """A body that is no valid request, or only just."""
    text = "".join(rng.choice('{}[]",:\\u0\x00\x1b\u202e🕊e9-.nulltrue ') for _ in range(rng.randrange(400)))
    kinds: list[Callable[[], bytes]] = [
        lambda: text.encode(),
        lambda: b"[" * rng.randrange(1, 200_000),
        lambda: b'{"texts":' * rng.randrange(1, 50_000),
        lambda: rng.randbytes(rng.randrange(2000)),
        lambda: json.dumps({"texts": [text] * rng.randrange(3)}).encode(),
        lambda: json.dumps({"documents": [{"html": "<" + text * 50}]}).encode(),
        lambda: json.dumps({"texts": ["x"], "thresholds": {text: rng.random()}}).encode(),
        lambda: b'{"texts": ["\\ud800"]}',
        lambda: b'{"texts": [1e999, NaN, -Infinity]}',
        lambda: b'{"texts": ["a"], "top_k": ' + b"9" * rng.randrange(1, 6000) + b"}",
        lambda: json.dumps({"documents": ["(" * 20_000, '"' * 20_000, "A. " * 6000, "_" * 20_000]}).encode(),
    ]
    return rng.choice(kinds)()


LENGTHS = ("-1", "1e9", "99999999999999999999", "0x10")
KEYS = ("Basic ====", "Bearer", "Basic Og==", "")
HOSTS = ("", "evil", "[", "localhost:99999999", "\u00e9")
METHODS = ("GET", "PATCH", "TRACE", "BREW")
PATHS = ("/../etc/passwd", "/assets/../server.py", "/%00", "/" + "a" * 9000, "/invocations", "/corrections")


def attack(rng: random.Random) -> bytes:
    """The bytes of a hostile request."""
    body = bodies(rng)
    length = f"Content-Length: {len(body)}\r\n"
    heads: list[Callable[[], str]] = [
        lambda: f"{HEAD}{length}",
        lambda: f"{HEAD}{length}",
        lambda: f"{HEAD}Content-Length: {rng.choice(LENGTHS)}\r\n",
        lambda: f"{HEAD}{length}Content-Encoding: gzip\r\n",
        lambda: f"{HEAD}Transfer-Encoding: chunked\r\n{length}",
        lambda: f"{HEAD}Transfer-Encoding: chunked\r\n",
        lambda: f"{HEAD}{length}X-Long: {'y' * rng.randrange(100_000)}\r\n",
        lambda: f"{HEAD}{length}Authorization: {rng.choice(KEYS)}\r\n",
        lambda: HEAD.replace("localhost", rng.choice(HOSTS)) + length,
        lambda: HEAD.replace("POST", rng.choice(METHODS)) + length,
        lambda: HEAD.replace("/predict", rng.choice(PATHS)) + length,
        lambda: f"{HEAD}Content-Length: {len(body) + 1000}\r\n",  # the rest never comes
        lambda: rng.randbytes(rng.randrange(1, 3000)).decode("latin-1"),
    ]
    return rng.choice(heads)().encode("latin-1") + b"\r\n" + body


async def raw_attacks(port: int, count: int, parallel: int = 16) -> Counter[str]:
    """Send raw requests; returns the numbers of answers by status, "closed" and "silent"."""
    rng, found, left = random.Random(13), Counter[str](), count

    async def attacker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            found[await _send(port, attack(rng))] += 1

    await asyncio.gather(*(attacker() for _ in range(parallel)))
    return found


async def _send(port: int, request: bytes) -> str:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(64), 15)
        writer.close()
    except TimeoutError:
        return "silent"
    except OSError:
        return "closed"
    status = re.match(rb"HTTP/1.1 (\d+)", answer)
    return status.group(1).decode() if status else "closed"


def as_bytes(_: Any, value: Any) -> bytes:
    """The body of a file, which schemathesis generates as bytes or as a string."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def schema_attacks(url: str, count: int) -> Counter[str]:
    """Send requests that schemathesis generates from the OpenAPI document; returns the numbers of answers by status."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings

    schemathesis.serializer(*OFFICE)(as_bytes)
    schema, found = schemathesis.openapi.from_url(f"{url}/openapi.json"), Counter[str]()
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in operations:

        @settings(
            max_examples=max(1, count // len(operations)),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            found[str(case.call(timeout=60).status_code)] += 1

        ask()
    return found


async def honest(server: Server, stop: threading.Event) -> Outcome:
    """One client that asks without a pause until `stop` is set."""
    together, start = Outcome(), time.perf_counter()
    while not stop.is_set():
        outcome = await closed_loop(server, 1, 1.0, TEXTS)
        together.latencies += outcome.latencies
        together.errors += outcome.errors
        together.busy += outcome.busy
        together.sent += outcome.sent
    together.seconds = time.perf_counter() - start
    return together


async def idle_connections(port: int, stop: threading.Event, count: int = 200) -> None:
    """Keep connections open that never send a request; the server may close them."""
    while not stop.is_set():
        writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(count)]
        await asyncio.sleep(3)
        for writer in writers:
            writer.close()


def main() -> None:
    """Print the answers by status, and the latency of an honest client."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        command = [*COMMUNIQUE, str(options.artefact.resolve()), "--port", "0"]
        pid, port = stack.enter_context(started(command, Path(folder), r"http://127\.0\.0\.1:(\d+)"))
        server, stop = Server("communique", port, pid, "/predict", "texts"), threading.Event()
        before = asyncio.run(closed_loop(server, 1, 10.0, TEXTS))
        during: list[Outcome] = []
        threads = [
            threading.Thread(target=lambda: during.append(asyncio.run(honest(server, stop)))),
            threading.Thread(target=lambda: asyncio.run(idle_connections(port, stop))),
        ]
        for thread in threads:
            thread.start()
        try:
            found = schema_attacks(f"http://127.0.0.1:{port}", options.requests // 2)
            found += asyncio.run(raw_attacks(port, options.requests - found.total()))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        after = asyncio.run(closed_loop(server, 1, 10.0, TEXTS))
        print(f"answers: {dict(sorted(found.items()))}")
        print(f"{'honest client':<14}{COLUMNS}")
        for name, outcome in (("before", before), ("during", during[0]), ("after", after)):
            print(f"{name:<14}{outcome.row()}")
        errors = (Path(folder) / "server.log").read_text().count('"event": "error"')
    judge(options.requests, found, errors, before, during[0], after)


def judge(wanted: int, found: Counter[str], errors: int, before: Outcome, during: Outcome, after: Outcome) -> None:
    """Print the verdict for each target. During the attack, the attackers take at least one of the cores."""
    verdict(f"{wanted:,} hostile requests", f"{found.total():,} sent", found.total() >= wanted)
    failures = sum(count for status, count in found.items() if status.startswith("5") and status != "503")
    verdict("never a 500", f"{failures} answers 5xx other than 503", not failures)
    verdict("no unexpected error in the log", f"{errors} errors", not errors)
    wrong = [outcome.errors + outcome.busy for outcome in (before, during, after)]
    verdict("others are answered", f"{sum(wrong)} errors or answers 503", not sum(wrong))
    usual = before.percentile(50)
    for name, outcome, most in (("during", during, 4.0), ("after", after, 1.5)):
        times = outcome.percentile(50) / usual
        verdict(f"median of others {name} the attack at most {most:g} times", f"{times:.1f} times", times <= most)
    slow = during.percentile(99)
    verdict("p99 of others during the attack under a second", f"{slow:.0f} ms", slow < 1000)


if __name__ == "__main__":
    main()
