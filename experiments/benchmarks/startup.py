"""Startup time: seconds for complete processes of commands with little work, as medians of several warm runs.

    python experiments/benchmarks/startup.py [--runs 5] [CHECKOUT ...]

The runs of several checkouts alternate, so that a change can be compared with the previous version even if the speed
of the machine drifts. Every checkout has its own folder, filled by its own commands: a store with five documents from
the starter corpus and decisions on their sentences, and in MLflow a `tfidf` model trained on 350 sentences.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMUNIQUE = (sys.executable, "-c", "from trainer.cli import app; app()")
ROWS = 350
TRAIN = ("train", "tfidf", "--set", "data.train=rows.jsonl", "--set", "data.codebook=infer")
COMMANDS = {
    "codebook show": ("codebook", "show"),
    "status": ("status",),
    "agreement": ("agreement",),
    "annotations export": ("annotations", "export", "labels.jsonl", "--overwrite"),
    "ingest, five articles": ("ingest", "articles", "--store", "new.db"),
    "leaderboard": ("leaderboard",),
    "predict, one article, tfidf": ("predict", "runs/tfidf", "articles/0.txt", "--out", "tagged.jsonl"),
    "score, nothing to do": ("score", "runs/tfidf"),
    "train tfidf, 350 rows, tracked": (*TRAIN, "--out", "runs/again"),
}
LEFT_BEHIND = ("new.db", "new.db-wal", "new.db-shm", "labels.jsonl", "tagged.jsonl", "runs/again")


def main() -> None:
    """Print one row per command, with one column per checkout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkouts", nargs="*", type=Path, default=[ROOT])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / str(number) for number in range(len(options.checkouts))]
        for checkout, place in zip(options.checkouts, places, strict=True):
            prepare(checkout.resolve(), place)
        for name, arguments in COMMANDS.items():
            seconds: list[list[float]] = [[] for _ in places]
            for turn in range(options.runs + 1):
                for checkout, place, own in zip(options.checkouts, places, seconds, strict=True):
                    took = timed(checkout.resolve(), place, arguments)
                    own += [took] if turn else []  # the first warms the file cache
            medians = [statistics.median(own) for own in seconds]
            ratio = f"  x {medians[-1] / medians[0]:.2f}" if len(medians) > 1 else ""
            print(f"{name:<32}", *(f"{median:7.2f}" for median in medians), ratio, flush=True)


def prepare(checkout: Path, place: Path) -> None:
    """Fill a working folder with articles, labelled rows, a store with decisions, and a model that scored the store."""
    (place / "articles").mkdir(parents=True)
    documents = sorted((checkout / "seeds" / "documents").glob("*.txt"))[:5]
    for number, document in enumerate(documents):
        shutil.copy(document, place / "articles" / f"{number}.txt")
    lines = (checkout / "seeds" / "annotations").glob("*.jsonl")
    events = [json.loads(line) for path in sorted(lines) for line in path.read_text(encoding="utf-8").splitlines()]
    decided = [event for event in events if event.get("state") == "reviewed"][:ROWS]
    rows = [
        {"text": event["text"], "labels": event["labels"], "document_id": event["document_id"]} for event in decided
    ]
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run(checkout, place, ("ingest", "articles"))
    for path in sorted((checkout / "seeds" / "annotations").glob("*.jsonl"))[:1]:
        run(checkout, place, ("annotations", "import", str(path)))
    run(checkout, place, (*TRAIN, "--out", "runs/tfidf"))
    run(checkout, place, ("score", "runs/tfidf"))


def timed(checkout: Path, place: Path, arguments: Sequence[str]) -> float:
    """The seconds that one command takes; its earlier output is removed first."""
    for name in LEFT_BEHIND:
        path = place / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    start = time.perf_counter()
    run(checkout, place, arguments)
    return time.perf_counter() - start


def run(checkout: Path, place: Path, arguments: Sequence[str]) -> None:
    """Run one command of a checkout in a folder; if the command fails, stop and print its output."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "COMMUNIQUE_CACHE": str(place / "cache")}
    done = subprocess.run(
        [*COMMUNIQUE, *arguments], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: communique {' '.join(arguments)}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
