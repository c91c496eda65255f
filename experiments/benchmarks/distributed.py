"""Compare `finetune` in one process and, under `torchrun`, in two processes: figures, time, and runs in MLflow.

    python experiments/benchmarks/distributed.py FOLDER --work /tmp/distributed

The data is cameo_class in FOLDER (see `public_sets`), the experiment is the shipped one. Training uses CPUs only, with
one thread per process. For every seed, both variants run one after the other; finished runs are kept in `--work`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from few_shot import difference

SET = "cameo_class"
LAUNCHERS = {1: [], 2: [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]}
"""The start of the command, by number of processes."""
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/distributed.md"))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    rows = [measure(arguments, seed, n) for seed in range(arguments.seeds) for n in LAUNCHERS]
    report(arguments.out, rows)


def measure(arguments: argparse.Namespace, seed: int, n: int) -> Row:
    """Train with `n` processes in a new folder; if the folder has the results already, read them."""
    folder = arguments.work / f"{n}-{seed}"
    kept = folder / "row.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    folder.mkdir(exist_ok=True)
    files = [f"data.{part}={(arguments.folder / f'{SET}.{part}.jsonl').resolve()}" for part in ("train", "test")]
    settings = [*files, "data.codebook=infer", f"seed={seed}"]
    command = [str(shutil.which("communique")), "train", "finetune", "--out", "run"]
    command += [part for setting in settings for part in ("--set", setting)]
    settled = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "MLFLOW_TRACKING_URI": "sqlite:///runs.db"}
    start = time.perf_counter()
    subprocess.run([*LAUNCHERS[n], *command], check=True, cwd=folder, env=os.environ | settled)
    seconds = time.perf_counter() - start
    figures = json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))
    row = {"processes": n, "seed": seed, "seconds": seconds, "f1": figures["macro_f1"], "runs": runs(folder)}
    kept.write_text(json.dumps(row), encoding="utf-8")
    print(json.dumps(row), flush=True)
    return row


def runs(folder: Path) -> int:
    """The number of runs in MLflow's database."""
    with sqlite3.connect(folder / "runs.db") as database:
        return int(database.execute("select count(*) from runs").fetchone()[0])


def report(out: Path, rows: Sequence[Row]) -> None:
    """Write the table."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "mlflow"))
    own = {n: [row for row in rows if row["processes"] == n] for n in LAUNCHERS}
    f1 = {n: np.array([row["f1"] for row in part]) for n, part in own.items()}
    seconds = {n: sum(row["seconds"] for row in part) for n, part in own.items()}
    lines = [
        "# Training by several processes",
        "",
        f"`python experiments/benchmarks/distributed.py FOLDER`: `communique train finetune` on {SET}, "
        f"{len(own[1])} seeds. MiniLM; {packages}, Python {platform.python_version()}, {platform.machine()}, "
        f"{os.cpu_count()} cores, no GPU, one thread per process; seconds are for the whole command.",
        "",
        "| processes | macro-F1 | lowest | highest | seconds / seconds of one process | MLflow runs per training run |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for n in LAUNCHERS:
        share, tracked = seconds[n] / seconds[1], np.mean([row["runs"] for row in own[n]])
        lines.append(
            f"| {n} | {f1[n].mean():.3f} | {f1[n].min():.3f} | {f1[n].max():.3f} | {share:.2f} | {tracked:g} |"
        )
    lines += ["", f"Two processes minus one, paired by seed: {difference(f1[2] - f1[1])} points (95% interval)."]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
