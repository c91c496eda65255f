"""Compare `finetune` (default settings) with the standard recipe: AutoModelForSequenceClassification and `Trainer`.

    python experiments/benchmarks/standard_recipe.py FOLDER --work /tmp/standard_recipe

Both use the complete train part of cameo_class in FOLDER (see `public_sets`), with the same encoder, number of epochs
and batch size. The recipe is trained on all train rows at its usual learning rate of 5e-5, with padding to 128 tokens
and with dynamic padding, and with dynamic padding also at the rate of `finetune`. `finetune` holds out 15% of the rows
for early stopping and calibration; its times include both. For every seed, all methods run one after the other, and
finished results are kept in `--work`. Times are CPU seconds of one thread, which other processes hardly affect.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from few_shot import difference, one_thread
from public_sets import read_set

from labels.codebook.schema import Codebook
from labels.records import Example
from trainer.classifiers.base import label_matrix
from trainer.config.experiment import load_experiment
from trainer.config.models import FinetuneSection
from trainer.data.dataset import load_dataset
from trainer.encoders.encoder import bundled_encoder
from trainer.environment import silence_libraries
from trainer.evaluation.metrics import count
from trainer.runs.fitting import fit_model

SET = "cameo_class"
METHODS = ("finetune", "padded", "dynamic", "dynamic, our rate")
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for finished results")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/standard_recipe.md"))
    arguments = parser.parse_args()
    silence_libraries()
    one_thread()
    arguments.work.mkdir(parents=True, exist_ok=True)
    arguments.methods = list(dict.fromkeys(["finetune", *arguments.methods]))  # all others are compared with finetune
    rows = [measure(arguments, seed, method) for seed in range(arguments.seeds) for method in arguments.methods]
    report(arguments, rows)


def measure(arguments: argparse.Namespace, seed: int, method: str) -> Row:
    """Measure the macro-F1 and seconds of one method with one seed; known results are read from `--work`."""
    kept = arguments.work / f"{method.replace(', ', '-').replace(' ', '-')}-{seed}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    codebook, train, test = read_set(arguments.folder, SET)
    texts = [example.text for example in test]
    if method == "finetune":
        predicted, seconds = ours(arguments.folder, texts, seed)
    else:
        predicted, seconds = recipe(codebook, train, texts, seed, method)
    figures = count(label_matrix(test, codebook.label_names), predicted)
    row = {"set": SET, "shots": 0, "seed": seed, "method": method, "seconds": seconds, "f1": float(figures.macro_f1)}
    kept.write_text(json.dumps(row), encoding="utf-8")
    print(json.dumps(row), flush=True)
    return row


def ours(folder: Path, texts: Sequence[str], seed: int) -> tuple[np.ndarray, float]:
    """Fit and calibrate `finetune` as `communique train` does; returns its decisions (n, labels) and the seconds."""
    files = [f"data.{part}={folder / f'{SET}.{part}.jsonl'}" for part in ("train", "test")]
    experiment = load_experiment("finetune", [*files, "data.codebook=infer", f"seed={seed}", "tracking.enabled=false"])
    dataset = load_dataset(experiment)
    start = time.process_time()
    model = fit_model(experiment, dataset).model
    seconds = time.process_time() - start
    return model.decide(model.predict_proba(texts)), seconds


def recipe(
    codebook: Codebook, train: Sequence[Example], texts: Sequence[str], seed: int, method: str
) -> tuple[np.ndarray, float]:
    """Train the recipe in the documentation of transformers; returns its decisions (n, labels) and the seconds."""
    import torch
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    section, labels = FinetuneSection(kind="finetune"), codebook.label_names
    padding = "max_length" if method.startswith("padded") else False
    classes = label_matrix(train, labels).argmax(axis=1).tolist()
    start = time.process_time()
    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(bundled_encoder())
    model = AutoModelForSequenceClassification.from_pretrained(
        bundled_encoder(), num_labels=len(labels), dtype=torch.float32, problem_type="single_label_classification"
    )
    table = Dataset.from_dict({"text": [example.text for example in train], "labels": classes}).map(
        lambda rows: tokenizer(rows["text"], truncation=True, max_length=section.max_length, padding=padding),
        batched=True,
        remove_columns=["text"],
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            num_train_epochs=section.epochs,
            per_device_train_batch_size=section.batch_size,
            learning_rate=section.learning_rate if method.endswith("our rate") else 5e-5,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            seed=seed,
        )
        collator = DataCollatorWithPadding(tokenizer)
        Trainer(
            model=model, args=settings, train_dataset=table, data_collator=collator, processing_class=tokenizer
        ).train()
        seconds = time.process_time() - start
    return logits_of(model, tokenizer, texts).argmax(axis=1)[:, None] == np.arange(len(labels)), seconds


def logits_of(model: Any, tokenizer: Any, texts: Sequence[str]) -> np.ndarray:
    """The logits, of shape (n, classes), of a model from transformers."""
    import torch

    model.eval()
    logits = []
    with torch.inference_mode():
        for first in range(0, len(texts), 32):
            batch = tokenizer(
                list(texts[first : first + 32]), truncation=True, max_length=128, padding=True, return_tensors="pt"
            )
            logits.append(model(**batch).logits.numpy())
    return np.concatenate(logits)


def column(rows: Sequence[Row], method: str, key: str) -> np.ndarray:
    """The values of a method, of shape (seeds,), in order of seed."""
    own = sorted((row for row in rows if row["method"] == method), key=lambda row: row["seed"])
    return np.array([row[key] for row in own])


def report(arguments: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Write the table."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    lines = [
        "# `finetune` compared with the standard recipe",
        "",
        f"`python experiments/benchmarks/standard_recipe.py FOLDER`: {SET}, {arguments.seeds} seeds. MiniLM; "
        f"{packages}, Python {platform.python_version()}, {platform.machine()}, no GPU, CPU time of one thread. "
        "Differences are `finetune` minus the recipe, in points, with the 95% interval of a paired t test.",
        "",
        "| method | macro-F1 | lowest | highest | `finetune` minus method | seconds of `finetune` / of method |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    own = {key: column(rows, "finetune", key) for key in ("f1", "seconds")}
    for method in arguments.methods:
        f1, seconds = (column(rows, method, key) for key in ("f1", "seconds"))
        compared = difference(own["f1"] - f1) if method != "finetune" else ""
        ratio = f"{own['seconds'].sum() / seconds.sum():.2f}"
        lines.append(f"| {method} | {f1.mean():.3f} | {f1.min():.3f} | {f1.max():.3f} | {compared} | {ratio} |")
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
