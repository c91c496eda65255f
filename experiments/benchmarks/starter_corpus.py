"""Model quality on the starter corpus: cross-validation by document, and with one region held out at a time.

    python experiments/benchmarks/starter_corpus.py --work /tmp/starter

For every fold, a model is fitted, calibrated and thresholded on the other documents (a fifth of them for validation).
The predictions of all folds are pooled, and intervals come from a jackknife over documents. Finished folds are kept in
`--work`, so that an interrupted run can be continued. The front matter of the dispatches names the region. Dispatches
with the region "global" are always in train; Oceania is held out together with Asia.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from labels.codebook.schema import load_codebook
from labels.records import Example
from labels.text.documents import read_documents
from trainer.classifiers.base import label_matrix
from trainer.config.experiment import load_experiment
from trainer.data.corpus import seed_examples
from trainer.data.dataset import Dataset
from trainer.data.splits import Split, group_examples, make_split
from trainer.environment import shipped, silence_libraries
from trainer.evaluation.report import Outcome, build_report
from trainer.runs.fitting import fit_model

KINDS = ("majority", "keywords", "tfidf", "embedding", "finetune")
FOLDS = 5
HELD_OUT = {
    "africa": ("africa",),
    "americas": ("americas",),
    "asia, oceania": ("asia", "oceania"),
    "europe": ("europe",),
    "middle_east": ("middle_east",),
}
CODEBOOK = load_codebook("diplomatic")
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for finished folds")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/starter_corpus.md"))
    arguments = parser.parse_args()
    silence_libraries()
    arguments.work.mkdir(parents=True, exist_ok=True)
    examples = seed_examples(CODEBOOK).examples
    by_document = list(document_folds(examples))
    by_region = list(region_folds(examples))
    results = {kind: cross_validate(kind, by_document, arguments.work) for kind in arguments.kinds}
    regions = cross_validate("finetune", by_region, arguments.work) if "finetune" in arguments.kinds else []
    report(arguments.out, examples, results, regions)


def document_folds(examples: Sequence[Example]) -> Iterator[tuple[str, list[Example], list[Example]]]:
    """Yield the name, train and test of each fold; documents and near-duplicates are never divided."""
    parts = make_split(examples, [1 / FOLDS] * FOLDS, seed=13)
    for number, test in enumerate(parts):
        yield f"fold-{number}", [e for other, part in enumerate(parts) if other != number for e in part], test


def region_folds(examples: Sequence[Example]) -> Iterator[tuple[str, list[Example], list[Example]]]:
    """Yield the name, train and test of each region; test has the documents of the region."""
    regions = document_regions()
    for name, held in HELD_OUT.items():
        inside = [example for example in examples if regions[example.document_id] in held]
        yield name, [example for example in examples if regions[example.document_id] not in held], inside


def document_regions() -> dict[str, str]:
    """The region of each document, by document id."""
    regions: dict[str, str] = {}
    folder = shipped("seeds") / "documents"
    for path in sorted(folder.glob("*.txt")):
        (document,) = read_documents([path], reject=print)
        line = next(line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("region:"))
        # The annotations of the corpus have ids that an earlier release gave.
        regions |= dict.fromkeys(document.former_ids, line.removeprefix("region:").strip())
    return regions


def cross_validate(kind: str, folds: Sequence[tuple[str, list[Example], list[Example]]], work: Path) -> list[Row]:
    """One row per test sentence of all folds, with gold, labels, probabilities and fold."""
    rows: list[Row] = []
    for name, train, test in folds:
        kept = work / f"{kind}-{name.replace(', ', '-')}.json"
        if not kept.is_file():
            print(f"{kind}, {name}: {len(train)} train sentences, {len(test)} test sentences", flush=True)
            kept.write_text(json.dumps(fold_rows(kind, name, train, test)), encoding="utf-8")
        rows += json.loads(kept.read_text(encoding="utf-8"))
    return rows


def fold_rows(kind: str, name: str, rest: list[Example], test: list[Example]) -> list[Row]:
    """Fit to four fifths of `rest`, calibrate on one fifth, and predict the test sentences."""
    experiment = load_experiment(kind, ["tracking.enabled=false"])
    train, validation = make_split(rest, [0.8, 0.2], experiment.seed)
    parts = {"train": train, "validation": validation, "test": test}
    split = Split(*(tuple(e.id for e in parts[part]) for part in ("train", "validation", "test")))
    model = fit_model(experiment, Dataset(CODEBOOK, parts, split, "seeds", True, ())).model
    probabilities = model.predict_proba([example.text for example in test])
    return [
        {
            "id": example.id,
            "document_id": example.document_id,
            "text": example.text,
            "gold": list(example.labels),
            "labels": list(labels),
            "probabilities": [round(float(p), 5) for p in row],
            "fold": name,
        }
        for example, labels, row in zip(test, model.label_sets(probabilities), probabilities, strict=True)
    ]


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """The report on pooled rows, as plain values."""
    examples = [Example(row["id"], row["document_id"], row["text"], tuple(row["gold"])) for row in rows]
    predicted = [Example(row["id"], row["document_id"], row["text"], tuple(row["labels"])) for row in rows]
    outcome = Outcome(
        labels=CODEBOOK.label_names,
        exclusive=False,
        gold=label_matrix(examples, CODEBOOK.label_names),
        predicted=label_matrix(predicted, CODEBOOK.label_names),
        probabilities=np.array([row["probabilities"] for row in rows]),
        groups=group_examples(examples, allow_large=True),
        thresholds=np.full(len(CODEBOOK.labels), 0.5),
    )
    return build_report(outcome, confidence=0.95, min_groups=4).to_dict()


def report(out: Path, examples: Sequence[Example], results: dict[str, list[Row]], regions: list[Row]) -> None:
    """Write the tables."""
    documents = len({example.document_id for example in examples})
    lines = [
        "# The starter corpus, cross-validated",
        "",
        f"`python experiments/benchmarks/starter_corpus.py`: {len(examples):,} sentences of {documents} documents, "
        f"seed 13. transformers {version('transformers')}, scikit-learn {version('scikit-learn')}, "
        f"Python {platform.python_version()}, {platform.machine()}, no GPU. 95% intervals by jackknife over documents.",
        "",
        f"## {FOLDS} folds by document",
        "",
        f"| kind | macro-F1 | interval | {' | '.join(CODEBOOK.label_names)} |",
        "| --- | ---: | ---: |" + " ---: |" * len(CODEBOOK.labels),
        *(table_row(kind, figures(rows)) for kind, rows in results.items()),
    ]
    if regions:
        lines += [
            "",
            "## finetune, each region held out",
            "",
            "For comparison, the rows marked as seen have the same sentences in the folds by document, where train "
            "contains other documents from the region.",
            "",
            f"| region | macro-F1 | interval | {' | '.join(CODEBOOK.label_names)} |",
            "| --- | ---: | ---: |" + " ---: |" * len(CODEBOOK.labels),
            *region_rows(results["finetune"], regions),
        ]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def region_rows(by_document: list[Row], regions: list[Row]) -> Iterator[str]:
    """Yield two lines per region, and two lines for all regions together."""
    seen = {row["id"]: row for row in by_document}
    for name in [*HELD_OUT, "all of these"]:
        held = [row for row in regions if name in (row["fold"], "all of these")]
        yield table_row(f"{name}, never seen", figures(held))
        yield table_row(f"{name}, seen", figures([seen[row["id"]] for row in held]))


def table_row(name: str, found: dict[str, Any]) -> str:
    bounds = (found["intervals"] or {}).get("macro_f1", {"low": float("nan"), "high": float("nan")})
    labels = " | ".join(f"{found['per_label'][label]['f1'] or 0:.3f}" for label in found["labels"])
    return f"| {name} | {found['macro_f1']:.3f} | {bounds['low']:.3f}–{bounds['high']:.3f} | {labels} |"


if __name__ == "__main__":
    main()
