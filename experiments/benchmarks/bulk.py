"""Bulk prediction from file to file: rate, memory over time, random kills, and Ray with a worker that dies.

    python experiments/benchmarks/bulk.py MODEL --sentences 1000000 --work /tmp/bulk
    python experiments/benchmarks/bulk.py MODEL --sentences 100000 --work /tmp/bulk --only kills

MODEL is the folder of a run, such as that of `communique train tfidf`. The corpus is made from the documents of the
starter corpus: in each repetition, names of places change places, and numbers are drawn anew. A measurement runs in a
process of its own; its memory is the resident memory of this process and its children. The rate of the model itself is
measured in the same run: its sentences divided by the processor time of its calls. Results are kept in the work folder,
and each call writes the report of all results there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil

from labels.text.documents import find_files, read_file
from labels.text.sentences import split_sentences
from trainer.environment import shipped
from trainer.model.model import Model, read_manifest
from trainer.predict import predict_files

NAME = re.compile(r"(?<=[a-z] )[A-Z][a-z]{3,}\b")
NUMBER = re.compile(r"\b[1-9]\d{0,2}\b")
NAMES = 300
KILLS = 5
WITHIN = 1e-5
"""Largest difference between probabilities from Ray and from this machine."""
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--sentences", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, required=True, help="folder for the corpus, outputs and results")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", choices=sorted(MEASURE), action="append", help="measure only this; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/bulk.md"))
    parser.add_argument("--note", default="", help="a remark on the machine for the report")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(predict_once(arguments, Path(arguments.one))))
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    make_corpus(place(arguments), arguments.sentences, arguments.seed)
    for name in arguments.only or MEASURE:
        row = {"what": name, "kind": read_manifest(artefact(arguments)).kind, "sentences": arguments.sentences}
        row |= MEASURE[name](arguments)
        print(row, flush=True)
        with (arguments.work / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    report(arguments)


def artefact(arguments: argparse.Namespace) -> Path:
    inside: Path = arguments.model / "artefact"
    return inside if inside.is_dir() else arguments.model


def place(arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.work
    return folder / f"{arguments.sentences}.jsonl"


# -- the corpus


def make_corpus(path: Path, sentences: int, seed: int) -> None:
    """Write documents with about this number of sentences, one per row."""
    if path.is_file():
        return
    documents = [one for file in find_files([shipped("seeds") / "documents"]).files for one in read_file(file, print)]
    sizes = [sum(not one.boilerplate for one in split_sentences(document)) for document in documents]
    frequent = Counter(name for document in documents for name in NAME.findall(document.text)).most_common(NAMES)
    names, written, turn = [name for name, _ in frequent], 0, 0
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as file:
        while written < sentences:
            vary = variation(names, random.Random(f"{seed} {turn}"))
            for number, (document, size) in enumerate(zip(documents, sizes, strict=True)):
                if written >= sentences:
                    break
                row = {"document_id": f"{number}-{turn}", "text": vary(document.text)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                written += size
            turn += 1
    draft.replace(path)


def variation(names: list[str], generator: random.Random) -> Callable[[str], str]:
    """A function that exchanges names, and draws numbers with as many digits."""
    others = dict(zip(names, generator.sample(names, len(names)), strict=True))

    def vary(text: str) -> str:
        text = NAME.sub(lambda found: others.get(found[0], found[0]), text)
        return NUMBER.sub(lambda found: str(generator.randint(1, 10 ** len(found[0]) - 1)), text)

    return vary


# -- measurements


def predict_once(arguments: argparse.Namespace, output: Path) -> Row:
    """Predict the corpus in this process; processor time tells the rates where other programs are running."""
    spent, begun, predict = 0.0, time.process_time(), Model.predict_proba

    def timed(self: Model, texts: Sequence[str]) -> Any:
        nonlocal spent
        start = time.thread_time()
        answers = predict(self, texts)
        spent += time.thread_time() - start
        return answers

    with patch.object(Model, "predict_proba", timed):
        found = predict_files(artefact(arguments), [place(arguments)], output, workers=arguments.workers)
    return {
        "labelled": found.sentences,
        "repeated": found.repeated,
        "continued": found.continued,
        "seconds": found.seconds,
        "rate": (found.sentences - found.continued) / found.seconds,
        "cpu": {
            "model": spent,
            "process": time.process_time() - begun,
            "others": resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime,
        },
    }


def command(arguments: argparse.Namespace, output: Path) -> list[str]:
    options = ["--sentences", str(arguments.sentences), "--work", str(arguments.work), "--seed", str(arguments.seed)]
    workers = ["--workers", str(arguments.workers)]
    return [sys.executable, __file__, str(arguments.model), *options, *workers, "--one", str(output)]


def whole(arguments: argparse.Namespace) -> Row:
    """Rate and memory of a run without interruption."""
    output = arguments.work / "whole.csv"
    process = subprocess.Popen(command(arguments, output), stdout=subprocess.PIPE, text=True)
    memory: list[float] = []
    sampler = threading.Thread(target=lambda: memory.extend(sampled(process)))
    sampler.start()
    printed, _ = process.communicate()
    sampler.join()
    if process.returncode:
        raise SystemExit(f"the run failed: {printed}")
    row: Row = json.loads(printed.splitlines()[-1])
    quarters = [memory[len(memory) * part // 4 : len(memory) * (part + 1) // 4] for part in range(4)]
    return row | {"megabytes": [round(max(quarter, default=0)) for quarter in quarters]}


def sampled(process: subprocess.Popen[str]) -> Iterator[float]:
    """The memory of a process and its children in megabytes, every second until it ends."""
    while process.poll() is None:
        try:
            parent = psutil.Process(process.pid)
            yield sum(one.memory_info().rss for one in [parent, *parent.children(recursive=True)]) / 1e6
        except psutil.NoSuchProcess:
            continue
        time.sleep(1)


def kills(arguments: argparse.Namespace) -> Row:
    """Kill a run at random moments, continue it, and compare its output with that of `whole`."""
    expected, output = arguments.work / "whole.csv", arguments.work / "killed.csv"
    if not expected.is_file():
        whole(arguments)
    generator, killed = random.Random(arguments.seed), 0
    seconds = predicted_seconds(arguments)
    while True:
        # Its children are in the same session, and are killed with it.
        process = subprocess.Popen(
            command(arguments, output), stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            printed, _ = process.communicate(
                timeout=generator.uniform(5, 2 * seconds / KILLS) if killed < KILLS else None
            )
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            killed += 1
            continue
        row: Row = json.loads(printed.splitlines()[-1])
        same = output.read_bytes() == expected.read_bytes()
        return {"kills": killed, "same_bytes": same, "continued": row["continued"]}


def predicted_seconds(arguments: argparse.Namespace) -> float:
    """The duration of the last whole run of this size."""
    rows = results(arguments)
    found = [row["seconds"] for row in rows if row["what"] == "whole" and row["sentences"] == arguments.sentences]
    return float(found[-1]) if found else 60.0


def ray(arguments: argparse.Namespace) -> Row:
    """Predict with two Ray workers, of which one is killed, and compare with the output of this machine."""
    import pyarrow.parquet as pq

    local, output = arguments.work / "local.parquet", arguments.work / "ray"
    predict_files(artefact(arguments), [place(arguments)], local, restart=True)
    killer = threading.Thread(target=kill_an_actor, args=(output,), daemon=True)
    killer.start()
    begun = time.perf_counter()
    predict_files(artefact(arguments), [place(arguments)], output, workers=2, engine="ray", restart=True)
    seconds = time.perf_counter() - begun
    one, other = pq.read_table(local), pq.read_table(output)
    same = ("sentence_id", "text", "labels")
    labels = read_manifest(artefact(arguments)).labels
    gaps = [
        abs(a - b)
        for label in labels
        for a, b in zip(
            one["probabilities"].combine_chunks().field(label).to_pylist(),
            other["probabilities"].combine_chunks().field(label).to_pylist(),
            strict=True,
        )
    ]
    return {
        "workers_killed": int(not killer.is_alive()),
        "same_labels": all(one[name].to_pylist() == other[name].to_pylist() for name in same),
        "largest_difference": max(gaps),
        "within": max(gaps) <= WITHIN,
        "rate": one.num_rows / seconds,
    }


def kill_an_actor(output: Path) -> None:
    """Kill the process of one actor after the first shard was written."""
    parts = output.parent / f".{output.name}.progress" / "parts"
    while not list(parts.glob("part-*")):
        time.sleep(0.05)
    actors = [one for one in psutil.process_iter(["cmdline"]) if is_actor(one)]
    random.Random(0).choice(actors).kill()


def is_actor(process: psutil.Process) -> bool:
    line = " ".join(process.info["cmdline"] or [])
    return line.startswith("ray::") and "Actor" in line


MEASURE = {"whole": whole, "kills": kills, "ray": ray}


# -- the report


def results(arguments: argparse.Namespace) -> list[Row]:
    path = arguments.work / "results.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def report(arguments: argparse.Namespace) -> None:
    """Write the tables of all results in the work folder."""
    rows = results(arguments)
    lines = [
        "# Bulk prediction, from file to file",
        "",
        "`python experiments/benchmarks/bulk.py MODEL --sentences N --work FOLDER`: documents of the starter corpus, "
        f"varied. Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores. {arguments.note}",
        "",
        "The ratio compares processor time, so that other programs on the machine do not count: the time in the calls "
        "of the model divided by the time of the busier of the two processes. Repeated sentences are not asked again. "
        "Memory is the maximum of the process and its children in each quarter of the run.",
        "",
        "| model | sentences | repeated | seconds | sentences/s | ratio | memory in MB, by quarter |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in (one for one in rows if one["what"] == "whole"):
        cpu = row.get("cpu")
        ratio = f"{cpu['model'] / max(cpu['process'], cpu['others']):.2f}" if cpu else "–"
        memory = ", ".join(f"{megabytes:,}" for megabytes in row["megabytes"])
        lines.append(
            f"| {row['kind']} | {row['labelled']:,} | {row['repeated']:,} | {row['seconds']:,.0f} | "
            f"{row['rate']:,.0f} | {ratio} | {memory} |"
        )
    lines += ["", "| model | sentences | interruption | output |", "| --- | ---: | --- | --- |"]
    for row in rows:
        if row["what"] == "kills":
            same = "the same bytes" if row["same_bytes"] else "other bytes"
            lines.append(f"| {row['kind']} | {row['sentences']:,} | {row['kills']} × kill -9 | {same} |")
        elif row["what"] == "ray":
            same = "the same labels" if row["same_labels"] else "other labels"
            lines.append(
                f"| {row['kind']} | {row['sentences']:,} | Ray, {row['workers_killed']} of 2 workers killed | {same}, "
                f"probabilities within {row['largest_difference']:.0e} |"
            )
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
