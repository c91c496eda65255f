"""`communique serve --engine ray` with two replicas, beside the plain server: answers, a killed replica, a reload.

    python experiments/benchmarks/ray_serve.py ARTEFACT [--seconds 30] [--clients 4]

Both servers answer the same texts, and the answers are compared to the last digit. Clients then send requests to the
replicas without a pause while one replica is killed. Requests that were at the killed replica may fail; the script
counts them, and waits until Ray has started a new replica. SIGHUP then replaces all replicas.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import psutil
from serving import COMMUNIQUE, TEXTS, Outcome, Server, closed_loop, started

LOCAL = r"http://127\.0\.0\.1:(\d+)"


def answers(port: int, texts: list[str]) -> list[object]:
    """The predictions of a server, one text a request."""
    found = []
    for text in texts:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/predict",
            json.dumps({"texts": [text]}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found.append(json.load(answer)["predictions"])
    return found


def replica_pids(pid: int) -> set[int]:
    """The processes of the replicas that a command started."""
    children = psutil.Process(pid).children(recursive=True)
    return {child.pid for child in children if child.is_running() and _is_replica(child)}


def _is_replica(process: psutil.Process) -> bool:
    try:
        return "ServeReplica" in " ".join(process.cmdline())
    except psutil.Error:
        return False


async def load_with_a_kill(server: Server, clients: int, seconds: float) -> tuple[Outcome, int]:
    """Load a server and kill a replica after a third of the time; returns the outcome and the killed process."""
    victim = min(replica_pids(server.pid))
    asyncio.get_running_loop().call_later(seconds / 3, os.kill, victim, signal.SIGKILL)
    return await closed_loop(server, clients, seconds, TEXTS), victim


def main() -> None:
    """Compare, kill, reload."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    texts = [f"{text} ({number})" for number in range(20) for text in TEXTS]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        places = [Path(folder) / name for name in ("plain", "ray")]
        for place in places:
            place.mkdir()
        command = [*COMMUNIQUE, str(options.artefact.resolve()), "--port", "0"]
        _, plain = stack.enter_context(started(command, places[0], LOCAL))
        pid, port = stack.enter_context(started([*command, "--engine", "ray", "--replicas", "2"], places[1], LOCAL))
        print("replicas:", len(replica_pids(pid)))
        print(f"{len(texts)} answers equal to the plain server's:", answers(plain, texts) == answers(port, texts))
        server = Server("ray", port, pid, "/predict", "texts")
        outcome, victim = asyncio.run(load_with_a_kill(server, options.clients, options.seconds))
        print(
            f"{len(outcome.latencies)} answers and {outcome.errors + outcome.busy} failures while a replica was killed"
        )
        start = time.perf_counter()
        while len(replica_pids(pid) - {victim}) < 2:
            time.sleep(0.5)
        print(f"two replicas again {time.perf_counter() - start:.0f} s after the load")
        before = replica_pids(pid)
        os.kill(pid, signal.SIGHUP)
        while before & replica_pids(pid):
            time.sleep(0.5)
        print("replicas replaced after SIGHUP; answers equal:", answers(plain, texts[:5]) == answers(port, texts[:5]))


if __name__ == "__main__":
    main()
