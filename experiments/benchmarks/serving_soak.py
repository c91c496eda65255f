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
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil
from serving import COLUMNS, COMMUNIQUE, TEXTS, Outcome, Server, closed_loop, open_loop, started, verdict

RELOAD_SECONDS = 60
_GROWTH = 1.05
"""Highest memory of the last third of the reloads, as a multiple of the highest memory of the first third."""


def main() -> None:
    """Print a row for each minute, and a verdict for each target."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--share", type=float, default=0.8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        command = [*COMMUNIQUE, str(options.artefact.resolve()), "--port", "0"]
        pid, port = stack.enter_context(started(command, Path(folder), r"http://127\.0\.0\.1:(\d+)"))
        server, process = Server("communique", port, pid, "/predict", "texts"), psutil.Process(pid)
        rate = options.share * asyncio.run(closed_loop(server, 32, 20, TEXTS)).rate
        print(f"{rate:.0f} requests per second, {options.share:.0%} of the highest throughput")
        print(f"{'minute':>6}{COLUMNS}{'sent':>8}{'MiB':>8}")
        minutes, memory = list[Outcome](), list[float]()
        for minute in range(1, options.minutes + 1):
            minutes.append(asyncio.run(_minute(server, rate, minute > 1)))
            memory.append(process.memory_info().rss / 2**20)
            print(f"{minute:>6}{minutes[-1].row()}{minutes[-1].sent:8d}{memory[-1]:8.0f}", flush=True)
        reloads = (Path(folder) / "server.log").read_text().count('"event": "reload"')
    judge(minutes, memory, reloads)


async def _minute(server: Server, rate: float, reload: bool) -> Outcome:
    """A minute of load; with `reload`, the model is loaded again under this load."""
    if reload:
        asyncio.get_running_loop().call_later(RELOAD_SECONDS / 4, os.kill, server.pid, signal.SIGHUP)
    return await open_loop(server, rate, RELOAD_SECONDS, TEXTS)


def judge(minutes: Sequence[Outcome], memory: Sequence[float], reloads: int) -> None:
    """Print the verdict for each target. The first reload doubles the memory of the model for a moment."""
    sent, answered = sum(one.sent for one in minutes), sum(len(one.latencies) for one in minutes)
    errors, busy = sum(one.errors for one in minutes), sum(one.busy for one in minutes)
    verdict("no error", f"{errors} errors, {busy} answers 503", not errors + busy)
    verdict("no dropped request", f"{answered:,} of {sent:,} answered", answered == sent)
    verdict("a reload each minute after the first", f"{reloads} reloads", reloads == len(minutes) - 1)
    after = memory[1:]  # with a reload
    third = max(1, len(after) // 3)
    first, last = max(after[:third], default=0.0), max(after[-third:], default=0.0)
    verdict("memory flat", f"{first:.0f} MiB in the first third, {last:.0f} MiB in the last", last <= _GROWTH * first)


if __name__ == "__main__":
    main()
