"""Few labels: `contrastive` against SetFit with its defaults and against frozen embeddings, on the same samples.

    python experiments/benchmarks/few_shot.py FOLDER --work /tmp/few_shot

FOLDER holds the public sets (see `public_sets`). For every set, number of shots and seed all methods learn from the
same sample one after the other and are tested on the same rows; what is done is kept in `--work`, so that an
interrupted run goes on. SetFit needs `pip install setfit==1.2.*`, which is no dependency of the kit. Seconds are those
of training alone, from texts to a fitted model, in CPU time of one thread, which other work hardly moves.
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
from public_sets import few_shot, read_set
from scipy.stats import t as student

from labels.codebook import Codebook
from labels.records import Example
from trainer.classifiers.base import label_matrix
from trainer.classifiers.contrastive import ContrastiveClassifier
from trainer.classifiers.linear import build_regression, label_probabilities, regression_targets
from trainer.config.models import ContrastiveSection, EmbeddingSection
from trainer.embeddings import Embedder
from trainer.encoders import bundled_encoder
from trainer.quiet import quiet_libraries

SETS = ("customer_reviews", "ag_news", "trec", "cameo_class", "banking77")
METHODS = ("embedding", "contrastive", "setfit")
SETFIT_STEPS = {"banking77": 500}
"""SetFit makes a pair of every two sentences: 374,528 of 77 classes of 8. There it gets so many steps and no more."""
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is done")
    parser.add_argument("--sets", nargs="+", default=SETS[:4], choices=SETS)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--shots", nargs="+", type=int, default=[8, 16])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/few_shot.md"))
    arguments = parser.parse_args()
    quiet_libraries()
    one_thread()
    arguments.work.mkdir(parents=True, exist_ok=True)
    rows = [
        measure(arguments, name, shots, seed, method)
        for shots in arguments.shots
        for name in arguments.sets
        for seed in range(arguments.seeds)
        for method in arguments.methods
    ]
    report(arguments, rows)


def one_thread() -> None:
    """So that a process's CPU seconds are those that a quiet core takes."""
    import torch

    torch.set_num_threads(1)


def measure(arguments: argparse.Namespace, name: str, shots: int, seed: int, method: str) -> Row:
    """Accuracy and seconds of one method on one sample; read from `--work` where it was measured before."""
    kept = arguments.work / f"{name}-{shots}-{seed}-{method}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    codebook, train, test = read_set(arguments.folder, name)
    sample = few_shot(train, shots, seed)
    predicted, seconds = METHOD[method](codebook, sample, [example.text for example in test], seed, name)
    gold = label_matrix(test, codebook.label_names).argmax(axis=1)
    row = {"set": name, "shots": shots, "seed": seed, "method": method, "seconds": seconds}
    row["accuracy"] = float((predicted == gold).mean())
    kept.write_text(json.dumps(row), encoding="utf-8")
    print(json.dumps(row), flush=True)
    return row


def embedding(
    codebook: Codebook, sample: Sequence[Example], texts: Sequence[str], seed: int, _: str
) -> tuple[np.ndarray, float]:
    """The kind `embedding`, without its cache of vectors."""
    section, labels = EmbeddingSection(kind="embedding"), codebook.label_names
    start = time.process_time()
    embedder = Embedder()
    vectors = embedder.encode([example.text for example in sample])
    model = build_regression(exclusive=True, C=section.C, class_weight=section.class_weight, seed=seed)
    model.fit(vectors, regression_targets(sample, labels, exclusive=True))
    seconds = time.process_time() - start
    probabilities = label_probabilities(model, embedder.encode(texts), len(labels), exclusive=True)
    return probabilities.argmax(axis=1), seconds


def contrastive(
    codebook: Codebook, sample: Sequence[Example], texts: Sequence[str], seed: int, _: str
) -> tuple[np.ndarray, float]:
    """The kind `contrastive` with its defaults."""
    start = time.process_time()
    model = ContrastiveClassifier(codebook, ContrastiveSection(kind="contrastive"), seed).fit(sample, ())
    seconds = time.process_time() - start
    return model.predict_proba(texts).argmax(axis=1), seconds


def setfit(
    codebook: Codebook, sample: Sequence[Example], texts: Sequence[str], seed: int, name: str
) -> tuple[np.ndarray, float]:
    """SetFit with its defaults on the same encoder, nothing logged or saved."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    classes = label_matrix(sample, codebook.label_names).argmax(axis=1).tolist()
    table = Dataset.from_dict({"text": [example.text for example in sample], "label": classes})
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        settings = TrainingArguments(
            output_dir=folder,
            seed=seed,
            max_steps=SETFIT_STEPS.get(name, -1),
            report_to="none",
            logging_strategy="no",
            save_strategy="no",
            show_progress_bar=False,
        )
        model = SetFitModel.from_pretrained(str(bundled_encoder()))
        Trainer(model=model, args=settings, train_dataset=table).train()
        seconds = time.process_time() - start
    return np.asarray(model.predict(list(texts))), seconds


METHOD = {"embedding": embedding, "contrastive": contrastive, "setfit": setfit}


def report(arguments: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Write the tables: accuracy and seconds by set and shots, and paired differences to `contrastive`."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("setfit", "torch", "transformers", "scikit-learn"))
    lines = [
        "# Few labels",
        "",
        f"`python experiments/benchmarks/few_shot.py FOLDER`: {arguments.seeds} samples of each size, the same for all "
        f"methods; at most 1,000 test rows. MiniLM; {packages}, Python {platform.python_version()}, "
        f"{platform.machine()}, no GPU, CPU time of one thread. Accuracy in points; "
        "differences are `contrastive` minus the other, mean over samples with the 95% interval of a paired t test.",
        "",
        "| set | shots | " + " | ".join(arguments.methods) + " | minus setfit | minus embedding | seconds: setfit / "
        "contrastive |",
        "| --- | ---: |" + " ---: |" * (len(arguments.methods) + 3),
    ]
    cells = sorted({(row["shots"], row["set"]) for row in rows})
    lines += [line(arguments.methods, name, shots, rows) for shots, name in cells]
    lines += ["", *summary(rows)]
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def line(methods: Sequence[str], name: str, shots: int, rows: Sequence[Row]) -> str:
    """A row of the table."""
    accuracy = {method: column(rows, method, name, shots, "accuracy") for method in methods}
    seconds = {method: column(rows, method, name, shots, "seconds").mean() for method in methods}
    means = [f"{100 * values.mean():.1f}" for values in accuracy.values()]
    differences = [
        difference(accuracy["contrastive"] - accuracy[other]) if other in accuracy else ""
        for other in ("setfit", "embedding")
    ]
    ratio = f"{seconds['setfit'] / seconds['contrastive']:.1f}" if "setfit" in seconds else ""
    return f"| {name} | {shots} | " + " | ".join([*means, *differences, ratio]) + " |"


def column(rows: Sequence[Row], method: str, name: str, shots: int, key: str) -> np.ndarray:
    """(seeds,) in the order of seeds."""
    own = [row for row in rows if (row["method"], row["set"], row["shots"]) == (method, name, shots)]
    return np.array([row[key] for row in sorted(own, key=lambda row: row["seed"])])


def difference(values: np.ndarray) -> str:
    """Mean and 95% interval in points."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{100 * values.mean():+.1f} ({100 * (values.mean() - half):+.1f} to {100 * (values.mean() + half):+.1f})"


def summary(rows: Sequence[Row]) -> list[str]:
    """What all sets come to together, on the samples that both learnt from."""
    by_key = {(row["set"], row["shots"], row["seed"], row["method"]): row for row in rows}
    both = [key[:3] for key in by_key if key[3] == "setfit" and (*key[:3], "contrastive") in by_key]
    if not both:
        return []
    ours, theirs = ([by_key[*key, method] for key in both] for method in ("contrastive", "setfit"))
    points = 100 * np.mean([one["accuracy"] - other["accuracy"] for one, other in zip(ours, theirs, strict=True)])
    ratio = sum(row["seconds"] for row in ours) / sum(row["seconds"] for row in theirs)
    return [f"Together: {points:+.1f} points over SetFit in {ratio:.2f} of its training time ({len(both)} samples)."]


if __name__ == "__main__":
    main()
