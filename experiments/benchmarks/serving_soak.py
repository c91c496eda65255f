"""A soak of `communique serve`: steady load with a reload each minute; memory, errors and dropped requests.

    python experiments/benchmarks/serving_soak.py ARTEFACT [--minutes 10] [--share 0.8]

The server is first loaded by 32 clients to find its highest throughput. Requests then arrive at random moments at a
share of it, while SIGHUP reloads the model each minute. Memory is the resident memory of the server's process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path

import psutil
from serving import COMMUNIQUE, TEXTS, Server, closed_loop, open_loop, started


def main() -> None:
    """Print a row for each minute."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--share", type=float, default=0.8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        command = [*COMMUNIQUE, str(options.artefact.resolve()), "--port", "0"]
        pid, port = stack.enter_context(started(command, Path(folder), r"http://127\.0\.0\.1:(\d+)"))
        server, process = Server("communique", port, pid, "/predict", "texts"), psutil.Process(pid)
        outcome = asyncio.run(closed_loop(server, 32, 20, TEXTS))
        rate = options.share * len(outcome.latencies) / outcome.seconds
        print(f"{rate:.0f} requests per second, {options.share:.0%} of the highest throughput")
        print(f"{'minute':>6}{'per s':>9}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'errors':>8}{'503':>6}{'MiB':>8}")
        for minute in range(options.minutes):
            outcome = asyncio.run(open_loop(server, rate, 60, TEXTS))
            memory = process.memory_info().rss / 2**20
            print(f"{minute:>6}{outcome.row()}{memory:8.0f}", flush=True)
            os.kill(pid, signal.SIGHUP)
        reloads = (Path(folder) / "server.log").read_text().count('"event": "reload"')
        print(f"reloads: {reloads}")


if __name__ == "__main__":
    main()
