"""Few labels: compare `contrastive` with SetFit (default settings) and with frozen embeddings, on the same samples.

    python experiments/benchmarks/few_shot.py FOLDER --work /tmp/few_shot

FOLDER contains the public sets (see `public_sets`). For every set, number of shots and seed, all methods are trained on
the same sample, one after the other, and tested on the same rows. "contrastive + pool" also has up to 2,000 of the
other train texts, without their labels. Finished results are kept in `--work`, so that an interrupted run can be
continued. SetFit needs `pip install setfit==1.2.*`, which is not a dependency of the kit. The
times are for training only, from texts to a fitted model, in CPU seconds of one thread, which other processes hardly
affect.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from public_sets import few_shot, read_set
from scipy.stats import t as student

from labels.codebook.schema import Codebook
from labels.records import Example
from trainer.classifiers.base import label_matrix
from trainer.classifiers.contrastive import ContrastiveClassifier
from trainer.classifiers.linear import LinearLayer, build_regression, regression_targets
from trainer.config.models import ContrastiveSection, EmbeddingSection
from trainer.encoders.embeddings import Embedder
from trainer.encoders.encoder import bundled_encoder
from trainer.environment import silence_libraries

SETS = ("customer_reviews", "ag_news", "trec", "cameo_class", "banking77")
POOLED = "contrastive + pool"
METHODS = ("embedding", "contrastive", POOLED, "setfit")
POOL = 2000
"""Most texts without labels: the other train texts of the set."""
SETFIT_STEPS = {"banking77": 500}
"""Maximum number of SetFit's steps: it pairs all sentences, which gives 374,528 pairs for 77 classes of 8 sentences."""
Row = dict[str, Any]
Cell = dict[str, dict[int, Row]]
"""The results for one set and number of shots: by method, then by seed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for finished results")
    parser.add_argument("--sets", nargs="+", default=SETS[:4], choices=SETS)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--shots", nargs="+", type=int, default=[8, 16])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/few_shot.md"))
    arguments = parser.parse_args()
    silence_libraries()
    one_thread()
    arguments.work.mkdir(parents=True, exist_ok=True)
    for shots, name, seed in itertools.product(arguments.shots, arguments.sets, range(arguments.seeds)):
        for method in arguments.methods:
            measure(arguments, name, shots, seed, method)
    report(arguments)


def one_thread() -> None:
    """Limit all libraries to one thread, so that CPU seconds equal the seconds on a quiet core."""
    import torch

    torch.set_num_threads(1)


def measure(arguments: argparse.Namespace, name: str, shots: int, seed: int, method: str) -> None:
    """Measure the accuracy and seconds of one method on one sample, and write them to `--work`; skips known results."""
    kept = arguments.work / f"{name}-{shots}-{seed}-{method.replace(' + ', '-')}.json"
    if kept.is_file():
        return
    codebook, train, test = read_set(arguments.folder, name)
    sample = few_shot(train, shots, seed)
    pool = other_texts(train, sample, seed) if method == POOLED else []
    predicted, seconds = METHOD[method](codebook, sample, [example.text for example in test], seed, name, pool)
    gold = label_matrix(test, codebook.label_names).argmax(axis=1)
    row = {"set": name, "shots": shots, "seed": seed, "method": method, "seconds": seconds}
    row["accuracy"] = float((predicted == gold).mean())
    kept.write_text(json.dumps(row), encoding="utf-8")
    print(json.dumps(row), flush=True)


def other_texts(train: Sequence[Example], sample: Sequence[Example], seed: int) -> list[str]:
    """At most `POOL` train texts that are not in the sample, drawn at random."""
    known = {example.text for example in sample}
    others = [text for text in dict.fromkeys(example.text for example in train) if text not in known]
    return [others[row] for row in np.random.default_rng(seed).permutation(len(others))[:POOL]]


def embedding(
    codebook: Codebook, sample: Sequence[Example], texts: Sequence[str], seed: int, _: str, __: Sequence[str]
) -> tuple[np.ndarray, float]:
    """The kind `embedding`, without its cache of vectors."""
    section, labels = EmbeddingSection(kind="embedding"), codebook.label_names
    start = time.process_time()
    embedder = Embedder()
    vectors = embedder.encode([example.text for example in sample])
    model = build_regression(exclusive=True, C=section.C, class_weight=section.class_weight, seed=seed)
    model.fit(vectors, regression_targets(sample, labels, exclusive=True))
    seconds = time.process_time() - start
    layer = LinearLayer.of(model, len(labels), exclusive=True)
    return layer.logits(embedder.encode(texts))[:, : len(labels)].argmax(axis=1), seconds


def contrastive(
    codebook: Codebook, sample: Sequence[Example], texts: Sequence[str], seed: int, _: str, pool: Sequence[str]
) -> tuple[np.ndarray, float]:
    """The kind `contrastive` with default settings, and with a pool of texts without labels if there are any."""
    model = ContrastiveClassifier(codebook, ContrastiveSection(kind="contrastive"), seed)
    model.unlabelled = pool
    with tempfile.TemporaryDirectory() as cache:
        os.environ["COMMUNIQUE_CACHE"] = cache  # vectors of an earlier sample would make this one look faster
        start = time.process_time()
        model.fit(sample, ())
        seconds = time.process_time() - start
    if model.notes:
        print(*model.notes, sep="; ", flush=True)
    return model.predict_proba(texts).argmax(axis=1), seconds


def setfit(
    codebook: Codebook, sample: Sequence[Example], texts: Sequence[str], seed: int, name: str, _: Sequence[str]
) -> tuple[np.ndarray, float]:
    """SetFit with default settings and the same encoder; nothing is logged or saved."""
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


METHOD = {"embedding": embedding, "contrastive": contrastive, POOLED: contrastive, "setfit": setfit}


def report(arguments: argparse.Namespace) -> None:
    """Write a table of the results in `--work`: accuracy by set and shots, paired differences, and seconds."""
    cells: dict[tuple[int, str], Cell] = {}
    for path in sorted(arguments.work.glob("*.json")):
        row = json.loads(path.read_text(encoding="utf-8"))
        cell = cells.setdefault((row["shots"], row["set"]), {method: {} for method in METHODS})
        cell[row["method"]][row["seed"]] = row
    named = ("setfit", "torch", "transformers", "scikit-learn")
    packages = ", ".join(f"{name} {version(name)}" for name in named if name != "setfit" or find_spec(name))
    lines = [
        "# Few labels",
        "",
        "`python experiments/benchmarks/few_shot.py FOLDER`: the same samples for all methods, tested on the set's "
        f"test part or, if a set has none, on 1,000 held-out rows. MiniLM; {packages}, Python "
        f"{platform.python_version()}, {platform.machine()}, no GPU, CPU time of one thread. Accuracy in points; "
        "differences are `contrastive` minus the other method, as means over samples with the 95% interval of a paired "
        f"t test. SetFit has its default settings, except for `max_steps={SETFIT_STEPS['banking77']}` on banking77, "
        "which is not part of the summary. `contrastive + pool` also has up to "
        f"{POOL:,} of the other train texts, without labels.",
        "",
        f"| set | shots | samples | {' | '.join(METHODS)} | minus setfit | minus embedding | with pool minus "
        "contrastive | with pool minus setfit | seconds: setfit / contrastive |",
        "| --- | ---: | ---: |" + " ---: |" * (len(METHODS) + 5),
    ]
    lines += [line(name, shots, cell) for (shots, name), cell in sorted(cells.items())]
    lines += ["", *summary([cell for (_, name), cell in cells.items() if name not in SETFIT_STEPS])]
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def line(name: str, shots: int, cell: Cell) -> str:
    """A row of the table."""
    n = len(cell["contrastive"])
    samples = f"{n} (setfit {len(cell['setfit'])})" if len(cell["setfit"]) not in (0, n) else str(n)
    means = [f"{100 * np.mean([row['accuracy'] for row in own.values()]):.1f}" if own else "" for own in cell.values()]
    pairs = {other: paired(cell, other) for other in ("setfit", "embedding")}
    compared = [*pairs.values(), *(paired(cell, other, POOLED) for other in ("contrastive", "setfit"))]
    gaps = [difference(np.array([ours["accuracy"] - row["accuracy"] for ours, row in both])) for both in compared]
    ratio = f"{1 / share_of_time(pairs['setfit']):.1f}" if pairs["setfit"] else ""
    return f"| {name} | {shots} | {samples} | " + " | ".join([*means, *gaps, ratio]) + " |"


def paired(cell: Cell, other: str, ours: str = "contrastive") -> list[tuple[Row, Row]]:
    """The results of one of our methods and of another method, for the samples with results of both methods."""
    return [(cell[ours][seed], row) for seed, row in cell[other].items() if seed in cell[ours]]


def share_of_time(pairs: Sequence[tuple[Row, Row]]) -> float:
    """The total seconds of the first method divided by the total seconds of the second method."""
    seconds = np.array([[row["seconds"] for row in pair] for pair in pairs]).sum(axis=0)
    return float(seconds[0] / seconds[1])


def difference(values: np.ndarray) -> str:
    """The mean in points, with a 95% interval if there are at least two values; empty if there are no values."""
    if len(values) < 2:
        return "".join(f"{100 * value:+.1f}" for value in values)
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{100 * values.mean():+.1f} ({100 * (values.mean() - half):+.1f} to {100 * (values.mean() + half):+.1f})"


def summary(cells: Sequence[Cell]) -> list[str]:
    """The summary row of several sets, for the samples with results of both methods."""
    pairs = [pair for cell in cells for pair in paired(cell, "setfit")]
    if not pairs:
        return []
    points = 100 * np.mean([ours["accuracy"] - row["accuracy"] for ours, row in pairs])
    share = share_of_time(pairs)
    return [f"Together: {points:+.1f} points over SetFit in {share:.2f} of its training time ({len(pairs)} samples)."]


if __name__ == "__main__":
    main()
