"""Every kind of model on complete public sets: banking77, cameo_class, and india_police_events split by document.

    python experiments/benchmarks/full_data.py FOLDER --work /tmp/full_data --sets banking77 --kinds tfidf

Models are fitted, calibrated and evaluated as by `communique train KIND`, with the defaults of the shipped experiments,
but vectors of frozen encoders are not cached. In india_police_events, 20% of the documents are test, and 20% of the
remaining documents are validation. Finished runs are kept in `--work` and are not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from public_sets import peak

from trainer.config.experiment import Experiment, load_experiment
from trainer.environment import silence_libraries
from trainer.evaluation.metrics import count, paired_difference
from trainer.runs.run import run_experiment

SETS = ("cameo_class", "banking77", "india_police_events")
KINDS = ("majority", "tfidf", "embedding", "contrastive", "finetune", "cascade")
BASE, DRAWS = "tfidf", 1000
"""The kind with which the other kinds are compared, and the number of bootstrap draws of the comparison."""
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for finished runs")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/full_data.md"))
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.one:
        measure(arguments.folder, arguments.sets[0], arguments.kinds[0], arguments.work)
        return
    for name in arguments.sets:
        for kind in arguments.kinds:
            if not kept(arguments.work, name, kind).is_file():
                in_own_process(arguments, name, kind)
    report(arguments)


def in_own_process(arguments: argparse.Namespace, name: str, kind: str) -> None:
    """Measure in a new process, so that its peak memory is the memory of this run alone."""
    own = ["--sets", name, "--kinds", kind, "--work", str(arguments.work), "--one"]
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"COMMUNIQUE_CACHE": cache}
        subprocess.run([sys.executable, __file__, str(arguments.folder), *own], check=True, env=environment)


def measure(folder: Path, name: str, kind: str, work: Path) -> None:
    """Fit and evaluate one kind on one set; the report is kept in `work`."""
    silence_libraries()
    figures = run_experiment(
        described(folder, name, kind), run_folder(work, name, kind), overwrite=True
    ).report.to_dict()
    figures["peak_megabytes"] = peak()
    kept(work, name, kind).write_text(json.dumps(figures), encoding="utf-8")
    print(f"{name}, {kind}: macro-F1 {figures['macro_f1']:.3f}, {figures['train_seconds']:.0f} s", flush=True)


def described(folder: Path, name: str, kind: str) -> Experiment:
    """The shipped experiment of a kind on a set."""
    files = [f"data.{part}={folder / f'{name}.{part}.jsonl'}" for part in ("train", "test")]
    if not (folder / f"{name}.train.jsonl").is_file():
        files = [f"data.train={folder / f'{name}.jsonl'}", "split.train=0.64", "split.validation=0.16"]
    return load_experiment(kind, [*files, "data.codebook=infer", "tracking.enabled=false"])


def run_folder(work: Path, name: str, kind: str) -> Path:
    """The folder of a run."""
    return work / f"{name}-{kind}"


def kept(work: Path, name: str, kind: str) -> Path:
    """The file of a report."""
    return work / f"{name}-{kind}.json"


def report(arguments: argparse.Namespace) -> None:
    """Write tables of the reports in `--work`."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("scikit-learn", "torch", "transformers"))
    lines = [
        "# All labels",
        "",
        f"`python experiments/benchmarks/full_data.py FOLDER`: seed 13. MiniLM; {packages}, Python "
        f"{platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, no GPU. 95% intervals by "
        "bootstrap over documents, or over rows if there are no documents. Differences are in points, with both models "
        "on the same draws. Seconds include calibration; the prediction speed is measured on the test part.",
    ]
    for name in SETS:
        paths = [kept(arguments.work, name, kind) for kind in KINDS]
        rows = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]
        if rows:
            lines += ["", *table(arguments.work, name, rows)]
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def table(work: Path, name: str, rows: Sequence[Row]) -> list[str]:
    """The section of a set, with one column per label if there are few labels."""
    labels = list(rows[0]["per_label"]) if len(rows[0]["per_label"]) <= 6 else []
    heads = ["kind", "macro-F1", f"minus {BASE}", "accuracy", *labels, "seconds to fit", "sentences/s", "peak MB"]
    lines = [
        f"## {name}",
        "",
        f"{rows[0]['n_train']:,} train and {rows[0]['n_test']:,} test sentences.",
        "",
        f"| {' | '.join(heads)} |",
        "| --- |" + " ---: |" * (len(heads) - 1),
    ]
    for row in rows:
        intervals = row["intervals"] or {}
        exact = row.get("accuracy", row.get("subset_accuracy"))
        cells = [row["kind"], with_bounds(row["macro_f1"], intervals.get("macro_f1"))]
        cells += [above_base(work, name, row), f"{exact:.3f}"]
        by_label = intervals.get("per_label_f1", {})
        cells += [with_bounds(row["per_label"][label]["f1"] or 0, by_label.get(label)) for label in labels]
        cells += [f"{row['train_seconds']:.0f}", f"{row['sentences_per_second']:,.0f}", f"{row['peak_megabytes']:,.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def with_bounds(figure: float, interval: Row | None) -> str:
    """A figure, with the bounds of its interval if there are any."""
    if not interval or interval["low"] is None:
        return f"{figure:.3f}"
    return f"{figure:.3f} ({interval['low']:.3f}–{interval['high']:.3f})"


def above_base(work: Path, name: str, row: Row) -> str:
    """The macro-F1 of a run minus the macro-F1 of `BASE`, in points, with both on the same resampled documents."""
    if row["kind"] == BASE or not kept(work, name, BASE).is_file():
        return ""
    rows = {kind: tested(work, name, kind) for kind in (row["kind"], BASE)}
    gold = label_sets(rows[BASE], "gold", row["labels"])
    ours, theirs = (label_sets(own, "labels", row["labels"]) for own in rows.values())
    documents = [each["document_id"] for each in rows[BASE]]
    places = {document: place for place, document in enumerate(dict.fromkeys(documents))}
    groups = [places[document] for document in documents]
    found = paired_difference(gold, ours, theirs, groups, draws=DRAWS, confidence=0.95, seed=13)
    assert found.low is not None
    assert found.high is not None
    gap = count(gold, ours).macro_f1 - count(gold, theirs).macro_f1
    return f"{100 * gap:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def tested(work: Path, name: str, kind: str) -> list[Row]:
    """The predictions of a run for the test rows, in order of id."""
    rows = pq.read_table(run_folder(work, name, kind) / "predictions.parquet").to_pylist()
    return sorted((row for row in rows if row["split"] == "test"), key=lambda row: str(row["example_id"]))


def label_sets(rows: Sequence[Row], column: str, labels: Sequence[str]) -> NDArray[np.bool_]:
    """The label sets in a column, as booleans of shape (rows, labels)."""
    return np.array([[label in row[column] for label in labels] for row in rows])


if __name__ == "__main__":
    main()
