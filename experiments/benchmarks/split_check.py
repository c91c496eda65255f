"""Leakage in public sets, and in our own splits of one of them: what it is worth in macro-F1.

    python experiments/benchmarks/split_check.py BENCHMARKS --out experiments/results/split_check.md

BENCHMARKS is a folder with the sets as `NAME.train.jsonl` and `NAME.test.jsonl`, and `india_police_events.jsonl`. For
each pair, the leaks from train into test are counted, and a `tfidf` model trained on train is evaluated with and
without them. Our splits of india_police_events (at random, by time, and into folds) must have no leak.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labels.text.examples import ReadingOptions
from labels.unicode import is_missing
from trainer.config.experiment import parse_experiment
from trainer.data.dataset import load_dataset
from trainer.data.leakage import KINDS, Pair, find_leaks, read_parts
from trainer.runs.evaluate import Figured, figures_without
from trainer.runs.run import run_experiment

OURS = "india_police_events.jsonl"
SPLITS: dict[str, dict[str, Any]] = {
    "60 / 20 / 20, at random": {},
    "before 2002-03-20, and from then on": {"train_before": "2002-03-20"},
    "5 folds": {"folds": 5},
}


def experiment_on(train: Path, split: dict[str, Any] | None = None) -> Any:
    """Return an untracked experiment with `tfidf` on a file."""
    data = {"train": str(train), "codebook": "infer"}
    content = {"data": data, "split": split or {}, "model": {"kind": "tfidf"}, "tracking": {"enabled": False}}
    return parse_experiment(content, "benchmark")


def figures(train: Path, test: Path, pair: Pair, *, short: bool) -> list[Figured]:
    """Train on one file and evaluate on the other, with and without the leaks."""
    with tempfile.TemporaryDirectory() as folder:
        run_experiment(experiment_on(train), Path(folder) / "run")
        leaked = {leak.example.id for leak in pair.counted(short=short)}
        return figures_without(f"{folder}/run", test, str(test), leaked, ReadingOptions(), None)


def counted_row(name: str, pair: Pair) -> str:
    """Return a row of the table of leaks."""
    share = f"{len(pair.counted(short=False)) / pair.n:.1%}"
    every = f"{len(pair.counted(short=True)) / pair.n:.1%}"
    return "| " + " | ".join([name, f"{pair.n:,}", *(f"{n:,}" for n in pair.counts.values()), share, every]) + " |"


def figured_row(name: str, found: list[Figured]) -> str:
    """Return a row of the table of figures."""
    cells = []
    for own in found:
        ends = f" ({own.interval.low:.3f} to {own.interval.high:.3f})" if own.interval and own.interval.low else ""
        cells.append(f"{own.macro_f1:.3f}{ends}, n = {own.n:,}")
    return f"| {name} | " + " | ".join(cells) + " |"


def compared(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the row of leaks and the row of figures of each pair of files in a folder."""
    for train in sorted(folder.glob("*.train.jsonl")):
        test = train.with_name(train.name.replace(".train.", ".test."))
        name = train.name.removesuffix(".train.jsonl")
        (pair,) = find_leaks(read_parts([train, test]))
        # In sets of short texts, such as questions, equal short texts are the leak.
        found = figures(train, test, pair, short=True) if pair.leaks else []
        yield counted_row(name, pair), figured_row(name, found) if found else ""


def readable(path: Path, folder: Path) -> Path:
    """Copy a file without the rows whose text stands for a missing value, such as "na"; returns the copy."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not is_missing(json.loads(line)["text"])]
    copy = folder / path.name
    copy.write_text("".join(kept), encoding="utf-8")
    return copy


def divided(path: Path) -> Iterator[tuple[str, int]]:
    """Yield a row and the number of leaks for each of our splits of a file."""
    for name, split in SPLITS.items():
        dataset = load_dataset(experiment_on(path, split), folds=True)
        parts = {fold.name: fold.parts["test"] for fold in dataset.folds} or dataset.parts
        for pair in find_leaks(parts):
            leaks = len(pair.counted(short=False))
            yield counted_row(f"{name}: {pair.first} → {pair.second}", pair), leaks


def main() -> None:
    """Count, evaluate, and write the results; exits with 1 if one of our splits leaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmarks", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    heading = "| | sentences | " + " | ".join(KINDS) + " | leaks | with short ones |"
    rule = "|" + " --- |" * (len(KINDS) + 4)
    sets = list(compared(arguments.benchmarks))
    with tempfile.TemporaryDirectory() as folder:
        ours = list(divided(readable(arguments.benchmarks / OURS, Path(folder))))
    lines = [
        "# Leakage in public sets and in our splits",
        "",
        "`python experiments/benchmarks/split_check.py BENCHMARKS`, with the functions of `communique split check`.",
        "",
        *(f"- {kind}: {meaning}" for kind, meaning in KINDS.items()),
        "",
        "From train into test, as published:",
        "",
        *(heading, rule, *(row for row, _ in sets)),
        "",
        "Macro-F1 of `tfidf` trained on train. Short texts count as leaks here: these sets consist of short texts.",
        "Leaked sentences are often easy in themselves, so the third column says less than the first two.",
        "",
        *("| set | all of test | without leaks | leaks only |", "| --- | --- | --- | --- |"),
        *(row for _, row in sets if row),
        "",
        f"Our splits of {OURS.removesuffix('.jsonl')}: {sum(leaks for _, leaks in ours)} leaks.",
        "",
        *(heading, rule, *(row for row, _ in ours)),
    ]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    raise SystemExit(any(leaks for _, leaks in ours))


if __name__ == "__main__":
    main()
