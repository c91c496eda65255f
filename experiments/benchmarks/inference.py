"""Speed of one model in several runtimes: the transformers pipeline, our torch code, onnxruntime (32/8 bits), cascade.

    python experiments/benchmarks/inference.py FOLDER --work /tmp/inference

The cascade of tfidf and finetune is trained on india_police_events in FOLDER (see `public_sets`), or taken from an
earlier run of `full_data` with the same `--work`. The artefacts of its expensive model, exported or not, are made from
the cascade. Every measurement runs in a process with one thread that predicts sentences from the test part. The upper
limit of the speed is computed from the float32 matrix multiplications that the encoder needs for these sentences
without padding, and from the multiplication speed measured in the same process directly before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from full_data import described, run_folder
from public_sets import peak

from labels.errors import ArtefactError
from trainer.classifiers.cascades.cascade import CascadeClassifier
from trainer.data.dataset import load_dataset
from trainer.environment import silence_libraries
from trainer.model.export import export_artefact
from trainer.model.model import Model, save_artefact
from trainer.runs.run import run_experiment

SET = "india_police_events"
WAYS = ("pipeline, batch 1", "pipeline, batch 32", "torch", "onnxruntime", "onnxruntime, int8", "cascade")
ONE_BY_ONE = 300
"""Number of sentences for the slowest way: the pipeline with batches of one sentence."""
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for models and results")
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/inference.md"))
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    silence_libraries()
    if arguments.one:
        print(json.dumps(measure(arguments.work, arguments.one)))
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    refused = make_models(arguments)
    ways = [way for way in WAYS if way not in refused]
    rounds = [[in_own_process(arguments, way) for way in ways] for _ in range(arguments.rounds)]
    report(arguments, dict(zip(ways, zip(*rounds, strict=True), strict=True)), refused)


def make_models(arguments: argparse.Namespace) -> dict[str, str]:
    """Train the cascade, and save and export its expensive model; returns the reasons for refused exports."""
    work = arguments.work
    experiment = described(arguments.folder, SET, "cascade")
    if not place(work, "cascade").is_dir():
        run_experiment(experiment, run_folder(work, SET, "cascade"))
    dataset = load_dataset(experiment)
    texts = [example.text for example in dataset.parts["test"]][: arguments.sentences]
    (work / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    if not place(work, "torch").is_dir():
        save_expensive(work)
    rows = work / "validation.jsonl"
    rows.write_text(
        "".join(json.dumps({"text": e.text, "labels": list(e.labels)}) + "\n" for e in dataset.parts["validation"]),
        encoding="utf-8",
    )
    refused = {}
    for way in ("onnxruntime", "onnxruntime, int8"):
        try:
            if not place(work, way).is_dir():
                export_artefact(place(work, "torch"), place(work, way), int8=way.endswith("int8"), data=rows)
        except ArtefactError as error:
            refused[way] = str(error).split(": ", 1)[-1]
    return refused


def save_expensive(work: Path) -> None:
    """Save the expensive model of the cascade as a separate artefact."""
    model = Model.load(place(work, "cascade"))
    assert isinstance(model.classifier, CascadeClassifier)
    assert model.classifier.fitted_ is not None
    assert model.manifest is not None
    member = model.classifier.fitted_.expensive
    manifest = model.manifest.model_copy(update={"kind": member.kind, "calibration": member.calibration})
    folder = place(work, "torch")
    folder.mkdir()
    save_artefact(folder, manifest, model.codebook, member.classifier)


def place(work: Path, way: str) -> Path:
    """The folder of the artefact that a way uses."""
    if way == "cascade":
        return run_folder(work, SET, "cascade") / "artefact"
    return work / {"onnxruntime": "onnx", "onnxruntime, int8": "int8"}.get(way, "torch")


def in_own_process(arguments: argparse.Namespace, way: str) -> Row:
    """Measure one way in a new process with one thread."""
    own = [str(arguments.folder), "--work", str(arguments.work), "--one", way]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, __file__, *own], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    row: Row = json.loads(done.stdout.splitlines()[-1])
    print(way, row, flush=True)
    return row


def measure(work: Path, way: str) -> Row:
    """Measure sentences per second of CPU time, the share of the machine's limit, and the peak memory."""
    texts = json.loads((work / "texts.json").read_text(encoding="utf-8"))
    if way == "pipeline, batch 1":
        texts = texts[:ONE_BY_ONE]
    needed = multiplications(place(work, "torch") / "classifier" / "encoder", texts)
    ask = pipeline(work, int(way.split()[-1])) if way.startswith("pipeline") else model(work, way)
    ask(texts[:32])
    before = flops_a_second()
    start = time.process_time()
    ask(texts)
    seconds = time.process_time() - start
    limit = needed / statistics.mean([before, flops_a_second()])
    return {"rate": len(texts) / seconds, "share": limit / seconds, "limit": len(texts) / limit, "megabytes": peak()}


def model(work: Path, way: str) -> Callable[[Sequence[str]], object]:
    """A function from texts to calibrated probabilities that uses an artefact."""
    return Model.load(place(work, way)).predict_proba


def pipeline(work: Path, batch: int) -> Callable[[Sequence[str]], object]:
    """A function from texts to pooled states that uses transformers' pipeline as in its documentation."""
    import torch
    from transformers import pipeline as plain

    folder = str(place(work, "torch") / "classifier" / "encoder")
    extract = plain("feature-extraction", model=folder, batch_size=batch, return_tensors=True, dtype=torch.float32)
    return lambda texts: [states[0].mean(dim=0) for states in extract(list(texts), truncation=True, max_length=128)]


def multiplications(encoder: Path, texts: Sequence[str]) -> float:
    """The number of floating-point operations in an encoder's matrix products, without padding."""
    from transformers import AutoConfig, AutoTokenizer

    config, tokenizer = AutoConfig.from_pretrained(encoder), AutoTokenizer.from_pretrained(encoder)
    lengths = np.array(
        [len(ids) for ids in tokenizer(texts, truncation=True, max_length=128)["input_ids"]], dtype=float
    )
    width, inner = config.hidden_size, config.intermediate_size
    linear = 2 * lengths * (4 * width * width + 2 * width * inner)
    attention = 2 * 2 * lengths * lengths * width
    return float(config.num_hidden_layers * (linear + attention).sum())


def flops_a_second() -> float:
    """Floating-point operations per second of one thread in float32: the best of several shapes of the encoder."""
    import torch

    best = 0.0
    for rows, inner, columns in ((1024, 384, 384), (1024, 384, 1536), (1024, 1536, 384), (2048, 384, 1536)):
        one, other = torch.rand(rows, inner), torch.rand(inner, columns)
        start, turns = time.process_time(), 0
        while (seconds := time.process_time() - start) < 0.5:
            torch.mm(one, other)
            turns += 1
        best = max(best, 2.0 * rows * inner * columns * turns / seconds)
    return best


def report(arguments: argparse.Namespace, rows: Mapping[str, Sequence[Row]], refused: Mapping[str, str]) -> None:
    """Write the table: medians over the rounds."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "onnxruntime"))
    middle = {way: {key: statistics.median(row[key] for row in own) for key in own[0]} for way, own in rows.items()}
    base = middle["torch"]["rate"]
    lines = [
        "# Speed of one model in several runtimes",
        "",
        f"`python experiments/benchmarks/inference.py FOLDER`: {arguments.sentences:,} test sentences of {SET} (the "
        f"pipeline with batches of one: {ONE_BY_ONE}), median of {arguments.rounds} rounds. MiniLM; {packages}, Python "
        f"{platform.python_version()}, {platform.machine()}, no GPU, CPU time of one thread. The limit is the speed at "
        "which the same process computes the encoder's matrix products in float32, without padding. 8-bit models and "
        "the cascade may exceed the limit.",
        "",
        "| runtime | sentences/s | share of the float32 limit | speed relative to torch | peak MB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for way, own in middle.items():
        lines.append(
            f"| {way} | {own['rate']:,.0f} | {own['share']:.2f} | {own['rate'] / base:.2f} | {own['megabytes']:,.0f} |"
        )
    lines += [f"\n{way} was refused: {why}" for way, why in refused.items()]
    lines += ["", *certificate(arguments.work)]
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def certificate(work: Path) -> list[str]:
    """The certificate of the cascade, and its differences from its expensive model on the test sentences."""
    cascade, alone = (Model.load(place(work, way)) for way in ("cascade", "torch"))
    texts = json.loads((work / "texts.json").read_text(encoding="utf-8"))
    assert isinstance(cascade.classifier, CascadeClassifier)
    said, says = (one.decide(one.predict_proba(texts)) for one in (cascade, alone))
    answered = float(cascade.classifier.answered(texts).mean())
    return [
        "## The cascade",
        "",
        f"tfidf answers {answered:.1%} of the sentences. On these test sentences, "
        f"{float((said != says).any(axis=1).mean()):.2%} of the label sets differ from those of finetune alone. Lost "
        "positives of finetune: "
        + ", ".join(
            f"{label} {(says[:, i] & ~said[:, i]).sum()} of {says[:, i].sum()}" for i, label in enumerate(alone.labels)
        )
        + ". The certificate:",
        "",
        "```json",
        json.dumps(cascade.classifier.describe()["certificate"], indent=1),
        "```",
    ]


if __name__ == "__main__":
    main()
