"""Bulk prediction from file to file: rate, memory over time, random kills, and Ray with a worker that dies.

    python experiments/benchmarks/bulk.py MODEL --sentences 1000000 --work /tmp/bulk
    python experiments/benchmarks/bulk.py MODEL --sentences 100000 --work /tmp/bulk --only kills --kills 5
    python experiments/benchmarks/bulk.py MODEL --sentences 100000 --work /tmp/bulk --only whole --distinct
    python experiments/benchmarks/bulk.py MODEL --sentences 100000 --work /tmp/bulk --only workers --workers 2

MODEL is the folder of a run, such as that of `communique train tfidf`. The corpus is made from the documents of the
starter corpus: in each repetition, names of places change places, and numbers are drawn anew; with --distinct, so are
many other words, so that hardly any sentence repeats. A measurement runs in a process of its own; its memory is the
resident memory of this process and its children. The rate of the model itself is measured in the same run, by the clock
and in processor time. Results are kept in the work folder, and each call writes the report of all results there.
"""

from __future__ import annotations

import argparse
import hashlib
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
from trainer.environment import collect_garbage_rarely, shipped
from trainer.model.model import Model, read_manifest
from trainer.predict import predict_files

NAME = re.compile(r"(?<=[a-z] )[A-Z][a-z]{3,}\b")
NUMBER = re.compile(r"\b[1-9]\d{0,2}\b")
NAMES = 300
WORD = re.compile(r"\b[a-z]{5,}\b")
WORDS = 2000
EXCHANGED = 0.25
"""Share of the words that --distinct exchanges."""
WITHIN = 1e-5
"""Largest difference between probabilities from Ray and from this machine."""
NOTES = "## Notes\n"
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--sentences", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, required=True, help="folder for the corpus, outputs and results")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--distinct", action="store_true", help="exchange many words, so that no sentence repeats")
    parser.add_argument("--only", choices=sorted(MEASURE), action="append", help="measure only this; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/bulk.md"))
    parser.add_argument("--note", default="", help="a remark on the machine for the report")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        collect_garbage_rarely()  # as the command does
        print(json.dumps(predict_once(arguments, Path(arguments.one))))
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    make_corpus(place(arguments), arguments.sentences, arguments.seed, distinct=arguments.distinct)
    for name in arguments.only or MEASURE:
        row = {"what": name, "kind": read_manifest(artefact(arguments)).kind, "sentences": arguments.sentences}
        row |= {"distinct": arguments.distinct, "note": arguments.note}
        row |= MEASURE[name](arguments)
        print(row, flush=True)
        with (arguments.work / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    report(arguments)


def artefact(arguments: argparse.Namespace) -> Path:
    inside: Path = arguments.model / "artefact"
    return inside if inside.is_dir() else arguments.model


def place(arguments: argparse.Namespace) -> Path:
    return named(arguments, "corpus", "jsonl")


def named(arguments: argparse.Namespace, what: str, suffix: str) -> Path:
    """A path in the work folder for this size, corpus and model."""
    folder: Path = arguments.work
    kind = "" if what == "corpus" else f"-{read_manifest(artefact(arguments)).kind}"
    return folder / f"{what}-{arguments.sentences}{'-distinct' if arguments.distinct else ''}{kind}.{suffix}"


# -- the corpus


def make_corpus(path: Path, sentences: int, seed: int, *, distinct: bool = False) -> None:
    """Write documents with about this number of sentences, one per row."""
    if path.is_file():
        return
    documents = [one for file in find_files([shipped("seeds") / "documents"]).files for one in read_file(file, print)]
    sizes = [sum(not one.boilerplate for one in split_sentences(document)) for document in documents]
    frequent = Counter(name for document in documents for name in NAME.findall(document.text)).most_common(NAMES)
    common = Counter(word for document in documents for word in WORD.findall(document.text)).most_common(WORDS)
    names, words = [name for name, _ in frequent], [word for word, _ in common] if distinct else []
    written = turn = 0
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as file:
        while written < sentences:
            vary = variation(names, words, random.Random(f"{seed} {turn}"))
            for number, (document, size) in enumerate(zip(documents, sizes, strict=True)):
                if written >= sentences:
                    break
                row = {"document_id": f"{number}-{turn}", "text": vary(document.text)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                written += size
            turn += 1
    draft.replace(path)


def variation(names: list[str], words: list[str], generator: random.Random) -> Callable[[str], str]:
    """A function that exchanges names, draws numbers with as many digits, and exchanges some words for `words`."""
    others = dict(zip(names, generator.sample(names, len(names)), strict=True))

    def vary(text: str) -> str:
        text = NAME.sub(lambda found: others.get(found[0], found[0]), text)
        if words:
            text = WORD.sub(lambda found: generator.choice(words) if generator.random() < EXCHANGED else found[0], text)
        return NUMBER.sub(lambda found: str(generator.randint(1, 10 ** len(found[0]) - 1)), text)

    return vary


# -- measurements


def predict_once(arguments: argparse.Namespace, output: Path) -> Row:
    """Predict the corpus in this process; processor time tells the rates where other programs are running."""
    spent, clock, begun, predict = 0.0, 0.0, time.process_time(), Model.predict_proba

    def timed(self: Model, texts: Sequence[str]) -> Any:
        nonlocal spent, clock
        start, now = time.thread_time(), time.perf_counter()
        answers = predict(self, texts)
        spent += time.thread_time() - start
        clock += time.perf_counter() - now
        return answers

    with patch.object(Model, "predict_proba", timed):
        found = predict_files(artefact(arguments), [place(arguments)], output, workers=arguments.workers)
    return {
        "labelled": found.sentences,
        "repeated": found.repeated,
        "continued": found.continued,
        "seconds": found.seconds,
        "rate": (found.sentences - found.continued) / found.seconds,
        "model_seconds": clock,
        "cpu": {
            "model": spent,
            "process": time.process_time() - begun,
            "others": sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]),
        },
    }


def command(arguments: argparse.Namespace, output: Path) -> list[str]:
    options = ["--sentences", str(arguments.sentences), "--work", str(arguments.work), "--seed", str(arguments.seed)]
    workers = ["--workers", str(arguments.workers), *(["--distinct"] if arguments.distinct else [])]
    return [sys.executable, __file__, str(arguments.model), *options, *workers, "--one", str(output)]


def whole(arguments: argparse.Namespace) -> Row:
    """Rate and memory of a run without interruption."""
    output = named(arguments, "whole", "csv")
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
    """Kill a run at random moments, continue it, and compare its output with that of `whole`.

    A run is killed after it has finished a block of its own, so that every kill interrupts another part of the corpus.
    """
    expected, output = named(arguments, "whole", "csv"), named(arguments, "killed", "csv")
    if not expected.is_file():
        whole(arguments)
    generator, mean = random.Random(arguments.seed), predicted_seconds(arguments) / (arguments.kills + 1)
    state = output.parent / f".{output.name}.progress" / "state.json"
    killed = 0
    while True:
        before = finished_blocks(state)
        # Its children are in the same session, and are killed with it.
        process = subprocess.Popen(
            command(arguments, output), stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        while killed < arguments.kills and process.poll() is None and finished_blocks(state) <= before:
            time.sleep(0.01)
        try:
            printed, _ = process.communicate(timeout=generator.uniform(0, mean) if killed < arguments.kills else None)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            killed += 1
            continue
        row: Row = json.loads(printed.splitlines()[-1])
        found, wanted = (file_digest(path) for path in (output, expected))
        return {"kills": killed, "sha256": found, "same_bytes": found == wanted, "continued": row["continued"]}


def finished_blocks(state: Path) -> int:
    """The number of blocks that a run has finished, by its own record."""
    try:
        return int(json.loads(state.read_text(encoding="utf-8"))["blocks"])
    except FileNotFoundError:
        return 0


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def workers(arguments: argparse.Namespace) -> Row:
    """Rates with one process and with --workers processes, and whether they write the same bytes."""
    found: Row = {"workers": arguments.workers}
    digests = set()
    for count in (1, arguments.workers):
        output = named(arguments, f"workers-{count}", "csv")
        one = argparse.Namespace(**vars(arguments) | {"workers": count})
        printed = subprocess.run(command(one, output), stdout=subprocess.PIPE, text=True, check=True).stdout
        row: Row = json.loads(printed.splitlines()[-1])
        found |= {f"rate_{'one' if count == 1 else 'many'}": row["rate"], "labelled": row["labelled"]}
        digests.add(file_digest(output))
    return found | {"same_bytes": len(digests) == 1}


def predicted_seconds(arguments: argparse.Namespace) -> float:
    """The duration of the last whole run of this size and model."""
    own = ("whole", arguments.sentences, read_manifest(artefact(arguments)).kind)
    rows = results(arguments)
    found = [row["seconds"] for row in rows if (row["what"], row["sentences"], row["kind"]) == own]
    return float(found[-1]) if found else 60.0


def ray(arguments: argparse.Namespace) -> Row:
    """Predict with two Ray workers, of which one is killed, and compare with the output of this machine."""
    import pyarrow.parquet as pq

    local, output = named(arguments, "local", "parquet"), arguments.work / "ray"
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


MEASURE = {"whole": whole, "kills": kills, "workers": workers, "ray": ray}


# -- the report


def results(arguments: argparse.Namespace) -> list[Row]:
    path = arguments.work / "results.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def report(arguments: argparse.Namespace) -> None:
    """Write the tables of all results in the work folder; the notes in the file, written by hand, stay."""
    rows = results(arguments)
    lines = [
        "# Bulk prediction, from file to file",
        "",
        "`python experiments/benchmarks/bulk.py MODEL --sentences N --work FOLDER`: documents of the starter corpus, "
        f"varied. Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores. The machine was "
        "otherwise quiet, or loaded with other programs, as each row says.",
        "",
        *whole_lines([row for row in rows if row["what"] == "whole"]),
        "",
        *interruption_lines(rows),
        "",
        *worker_lines([row for row in rows if row["what"] == "workers"]),
    ]
    before = arguments.out.read_text(encoding="utf-8") if arguments.out.is_file() else ""
    notes = f"\n{NOTES}{before.partition(NOTES)[2]}" if NOTES in before else ""
    arguments.out.write_text("\n".join(lines).rstrip() + "\n" + notes, encoding="utf-8")
    print("\n".join(lines))


def whole_lines(rows: Sequence[Row]) -> list[str]:
    lines = [
        "The rate from file to file counts all sentences; the model's own rate is that of its calls in the same run, "
        "which ask each repeated sentence once. The two ratios do not profit from repeated sentences. Clock: seconds "
        "in the calls of the model, divided by all seconds. Processor time, in which other programs on the machine do "
        "not count: that of the calls, divided by that of the busier of the two processes. Memory is the maximum of "
        "both processes in each quarter of the run.",
        "",
        "| model | machine | sentences | repeated | seconds | sentences/s | model's own | clock | processor time | "
        "memory in MB, by quarter |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        cpu, fresh = row["cpu"], row["labelled"] - row["repeated"]
        lines.append(
            f"| {row['kind']} | {row['note']} | {row['labelled']:,} | {row['repeated'] / row['labelled']:.0%} | "
            f"{row['seconds']:,.0f} | {row['rate']:,.0f} | {fresh / row['model_seconds']:,.0f} | "
            f"{row['model_seconds'] / row['seconds']:.2f} | {cpu['model'] / max(cpu['process'], cpu['others']):.2f} | "
            f"{', '.join(f'{megabytes:,}' for megabytes in row['megabytes'])} |"
        )
    return lines


def interruption_lines(rows: Sequence[Row]) -> list[str]:
    lines = ["| model | machine | sentences | interruption | output |", "| --- | --- | ---: | --- | --- |"]
    for row in rows:
        start = f"| {row['kind']} | {row['note']} | {row['sentences']:,} |"
        if row["what"] == "kills":
            same = "the same bytes" if row["same_bytes"] else "OTHER BYTES"
            lines.append(
                f"{start} {row['kills']} × kill -9; the last continued after {row['continued']:,} | {same} (SHA-256 "
                f"{row['sha256'][:16]}) |"
            )
        elif row["what"] == "ray":
            same = "the same labels" if row["same_labels"] else "OTHER LABELS"
            lines.append(
                f"{start} Ray, {row['workers_killed']} of 2 workers killed | {same}, probabilities within "
                f"{row['largest_difference']:.0e} |"
            )
    return lines


def worker_lines(rows: Sequence[Row]) -> list[str]:
    lines = ["| model | machine | sentences | `--workers` | sentences/s | with 1 | gain | output |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for row in rows:
        many, one = row["rate_many"], row["rate_one"]
        same = "the same bytes" if row["same_bytes"] else "OTHER BYTES"
        lines.append(
            f"| {row['kind']} | {row['note']} | {row['labelled']:,} | {row['workers']} | {many:,.0f} | {one:,.0f} | "
            f"{many / one:.2f} | {same} |"
        )
    return lines if rows else []


if __name__ == "__main__":
    main()
