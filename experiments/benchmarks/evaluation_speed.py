"""Time and memory of a full evaluation of 20,000 sentences: `communique evaluate` with an unlabelled corpus.

    python experiments/benchmarks/evaluation_speed.py --out experiments/results/evaluation_speed.md

Each row is one process, as a user starts it: it loads a model, reads the labelled file, predicts, groups documents by
near-duplicates, computes all figures with their intervals, estimates the prevalence of each label in 20,000 unlabelled
sentences with 1,000 bootstrap draws, checks the assumption, and writes report, plots and predictions. The sentences
are drawn from a vocabulary of invented words, in documents of ten.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trainer.config.experiment import parse_experiment
from trainer.runs.run import run_experiment

LABELS = (4, 77)
SENTENCES = 20_000
TRAIN = 3000
_WORDS = 4000
_CHILD = "--child"


def rows(n: int, labels: int, seed: int, *, gold: bool) -> Iterator[str]:
    """Yield lines of JSONL: sentences of 8 to 30 words, of which some are words of a label."""
    generator = np.random.default_rng(seed)
    for number in range(n):
        held = np.flatnonzero(generator.random(labels) < max(0.02, 0.4 / labels))
        words = [f"w{word}" for word in generator.zipf(1.3, generator.integers(8, 30)) % _WORDS]
        words += [f"label{label}x{generator.integers(6)}" for label in held if generator.random() < 0.8]
        row = {"text": " ".join(generator.permutation(words)), "document_id": f"{seed}-{number // 10}"}
        yield json.dumps(row | ({"labels": [f"l{label:02}" for label in held]} if gold else {})) + "\n"


def measured(labels: int, folder: Path) -> dict[str, float]:
    """Prepare a model and files, and evaluate in a new process; returns its seconds and its peak memory in MB."""
    for name, n, seed in (("train", TRAIN, 1), ("test", SENTENCES, 2), ("corpus", SENTENCES, 3)):
        lines = list(rows(n, labels, seed, gold=name != "corpus"))
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    experiment = {
        "data": {"train": str(folder / "train.jsonl"), "codebook": "infer"},
        "model": {"kind": "tfidf"},
        "calibration": {"min_positives": 5},
        "tracking": {"enabled": False},
    }
    run_experiment(parse_experiment(experiment, "benchmark"), folder / "run")
    command = [sys.executable, __file__, _CHILD, str(folder)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def child(folder: Path) -> None:
    """Evaluate the prepared model, and print the measurements as JSON."""
    began, worked = time.perf_counter(), time.process_time()
    from trainer.model.model import Model
    from trainer.runs.evaluate import evaluate_file

    model = Model.load(folder / "run" / "artefact")
    arguments = model, folder / "run" / "artefact", folder / "test.jsonl", folder / "evaluated"
    report = evaluate_file(*arguments, prevalence=str(folder / "corpus.jsonl"), track=False).report
    assert report.prevalence
    estimated = sum(own.low is not None for own in report.prevalence.per_label.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"seconds": time.perf_counter() - began, "processor": time.process_time() - worked}
    print(json.dumps({**found, "memory": peak, "rows": report.n_test, "estimated": estimated}))


def main() -> None:
    """Measure each number of labels, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument(_CHILD, type=Path)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    lines = [
        "# A full evaluation of 20,000 sentences",
        "",
        "`python experiments/benchmarks/evaluation_speed.py`: reading, predicting, grouping by near-duplicates, all",
        "figures with intervals, the prevalence of a corpus of 20,000 sentences with 1,000 draws, plots and files,",
        f"in one process on {len(os.sched_getaffinity(0))} cores. The seconds are those of the clock, which other work",
        "on the machine prolongs; the processor seconds are not.",
        "",
        "| labels | with an estimated prevalence | seconds | processor seconds | peak memory, MB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for labels in LABELS:
        with tempfile.TemporaryDirectory() as folder:
            found = measured(labels, Path(folder))
        figures = f"{found['seconds']:.1f} | {found['processor']:.1f} | {found['memory']:.0f}"
        lines.append(f"| {labels} | {found['estimated']:.0f} | {figures} |")
        print(lines[-1], flush=True)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
