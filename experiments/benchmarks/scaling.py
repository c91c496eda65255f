"""Time and memory of `tfidf` by amount of data: predicting 10,000 to 1,000,000 sentences, fitting 2,000 to 100,000.

    python experiments/benchmarks/scaling.py FOLDER --work /tmp/scaling

The sentences of india_police_events in FOLDER (see `public_sets`) are repeated with an added number, so that all texts
are different. Every measurement runs in a new process. Its peak memory is reported by the kernel (VmHWM) and includes
Python and the libraries.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from public_sets import peak

SET = "india_police_events"
PREDICT = (10_000, 100_000, 1_000_000)
FIT = (2_000, 10_000, 20_000, 100_000)
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for data and models (a few gigabytes)")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/scaling.md"))
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "N"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        what, n = arguments.one
        print(json.dumps(MEASURE[what](arguments.work, int(n))))
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    write_data(arguments.folder / f"{SET}.jsonl", arguments.work)
    fitted = [in_own_process(arguments, "fit", n) for n in FIT]
    predicted = [in_own_process(arguments, "predict", n) for n in PREDICT]
    report(arguments.out, fitted, predicted)


def write_data(source: Path, work: Path) -> None:
    """Write `N.jsonl` with N rows for each size N."""
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    for n in {*FIT, *PREDICT}:
        path = work / f"{n}.jsonl"
        if path.is_file():
            continue
        with path.open("w", encoding="utf-8") as file:
            for i in range(n):
                turn, row = divmod(i, len(rows))
                own = rows[row] | {"sentence_id": f"{i}", "document_id": f"{rows[row]['document_id']}-{turn}"}
                file.write(json.dumps(own | {"text": f"{own['text']} {turn}"}) + "\n")


def in_own_process(arguments: argparse.Namespace, what: str, n: int) -> Row:
    command = [sys.executable, __file__, str(arguments.folder), "--work", str(arguments.work), "--one", what, str(n)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    print(what, row, flush=True)
    return row


def fit(work: Path, n: int) -> Row:
    """Fit, calibrate and save `tfidf` on n rows, with 20% of the documents for validation and 5% for test."""
    from trainer.config.experiment import load_experiment
    from trainer.runs.run import run_experiment

    settings = [f"data.train={work / f'{n}.jsonl'}", "data.codebook=infer", "tracking.enabled=false"]
    parts = ["split.train=0.75", "split.validation=0.2", "split.test=0.05", "split.allow_large_groups=true"]
    result = run_experiment(load_experiment("tfidf", [*settings, *parts]), work / f"fit-{n}", overwrite=True)
    return {"n": n, "seconds": result.report.train_seconds, "peak_megabytes": peak()}


def predict(work: Path, n: int) -> Row:
    """Predict n rows, from file to file, with the model that was fitted to 10,000 rows."""
    from trainer.model.model import Model
    from trainer.predict import predict_files

    model = Model.load(work / "fit-10000" / "artefact")
    start = time.perf_counter()
    predict_files(model, [work / f"{n}.jsonl"], work / "predicted.jsonl", split=False)
    return {"n": n, "seconds": time.perf_counter() - start, "peak_megabytes": peak()}


MEASURE = {"fit": fit, "predict": predict}


def report(out: Path, fitted: Sequence[Row], predicted: Sequence[Row]) -> None:
    """Write both tables."""
    lines = [
        "# `tfidf` as data grow",
        "",
        f"`python experiments/benchmarks/scaling.py FOLDER`: sentences of {SET}, repeated with an added number. "
        f"scikit-learn {version('scikit-learn')}, Python {platform.python_version()}, {platform.machine()}. "
        "Each measurement runs in a new process.",
    ]
    for title, rows in (("Fitting", fitted), ("Predicting, from file to file", predicted)):
        lines += ["", f"## {title}", "", "| sentences | sentences/s | seconds relative to the first row | peak MB |"]
        lines.append("| ---: | ---: | ---: | ---: |")
        for row in rows:
            times = row["seconds"] / rows[0]["seconds"]
            lines.append(
                f"| {row['n']:,} | {row['n'] / row['seconds']:,.0f} | {times:.1f} (sentences: "
                f"{row['n'] / rows[0]['n']:.0f}) | {row['peak_megabytes']:,.0f} |"
            )
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
