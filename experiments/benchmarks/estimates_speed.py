"""How long, and in how much memory, does `communique estimate` correct a million predictions?

    python experiments/benchmarks/estimates_speed.py --work FOLDER

1,000,000 sentences of 40,000 documents in 104 weeks, 4 labels, 2,000 audited. The command runs in a process of its own,
by week and label, for the corpus and for the process. Then audits are drawn again, each estimated by week and label:
the intervals of the command need no draws, and these show how it would be with them.
"""

from __future__ import annotations

import argparse
import csv
import resource
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from trainer.estimate.estimators import Corpus, Sample
from trainer.estimate.shares import estimate_shares

LABELS = ("aid_pledge", "ceasefire_call", "weapons_request", "dismissal")
N, AUDITED, WEEKS, DOCUMENTS = 1_000_000, 2_000, 104, 40_000


def write_files(folder: Path, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write predictions and a simple random sample; returns gold, probabilities and weeks."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    gold = generator.random((N, len(LABELS))) < [0.05, 0.08, 0.02, 0.1]
    chance = np.clip(0.7 * gold + 0.3 * generator.beta(1, 6, gold.shape), 0, 1).astype(np.float32)
    document = np.sort(generator.integers(DOCUMENTS, size=N))
    week = document * WEEKS // DOCUMENTS
    days = [(date(2024, 1, 1) + timedelta(weeks=int(one))).isoformat() for one in range(WEEKS)]
    columns = {
        "document_id": pa.array([f"d{one}" for one in document]),
        "sentence_id": pa.array([f"s{one}" for one in range(N)]),
        "date": pa.array(days).take(pa.array(week)),
        "labels": pa.array([[label for label, own in zip(LABELS, row, strict=True) if own] for row in chance >= 0.5]),
        "probabilities": pa.StructArray.from_arrays([pa.array(chance[:, i]) for i in range(len(LABELS))], LABELS),
    }
    pq.write_table(pa.table(columns), folder / "predictions.parquet")
    with (folder / "sample.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sentence_id", "labels", "inclusion_probability"])
        for one in generator.choice(N, AUDITED, replace=False):
            own = "|".join(label for label, held in zip(LABELS, gold[one], strict=True) if held)
            writer.writerow([f"s{one}", own, AUDITED / N])
    return gold.astype(float), chance.astype(float), week


def run_command(folder: Path, estimand: str) -> tuple[float, float]:
    """Run the command; returns seconds, and the largest memory of any command so far in GB."""
    began = time.perf_counter()
    files = [str(folder / "predictions.parquet"), "--sample", str(folder / "sample.csv")]
    command = ["estimate", *files, "--by", "week", "--estimand", estimand, "--allow-unaudited"]
    subprocess.run(
        [sys.executable, "-c", "from trainer.cli import app; app()", *command], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def redraw(gold: np.ndarray, chance: np.ndarray, week: np.ndarray, times: int) -> float:
    """Return the seconds of drawing and estimating many audits, by week and label."""
    generator, assigned = np.random.default_rng(1), (chance >= 0.5).astype(float)
    sums = [np.stack([np.bincount(week, own, WEEKS) for own in values.T], axis=1) for values in (chance, assigned)]
    sizes = np.bincount(week, minlength=WEEKS).astype(float)
    whole = Corpus(np.append(sizes, N), *(np.vstack([one, one.sum(axis=0)]) for one in sums))
    began = time.perf_counter()
    for number in range(times):
        places = generator.choice(N, AUDITED, replace=False)
        member = np.column_stack([week[places][:, None] == np.arange(WEEKS), np.ones(AUDITED, dtype=bool)])
        weights = np.full(AUDITED, N / AUDITED)
        stratum, drawn, fractions = np.zeros(AUDITED, dtype=int), np.array([float(AUDITED)]), np.array([AUDITED / N])
        own = (gold[places], chance[places], assigned[places])
        sample = Sample(*own, member, np.ones(AUDITED), np.arange(AUDITED), weights, stratum, drawn, fractions)
        estimate_shares(whole, sample, seed=number)
    return time.perf_counter() - began


def main() -> None:
    """Write the files, run the command and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    gold, chance, week = write_files(options.work, np.random.default_rng(0))
    for estimand in ("corpus", "process"):
        seconds, memory = run_command(options.work, estimand)
        print(f"communique estimate --estimand {estimand}: {seconds:.1f} s, {memory:.2f} GB", flush=True)
    print(f"{options.draws} redrawn audits: {redraw(gold, chance, week, options.draws):.1f} s")


if __name__ == "__main__":
    main()
