"""The steps of `communique demo`: read the starter corpus, split it, train four models, register the best model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labels.codebook.schema import load_codebook
from labels.environment.progress import progress_stage, report_progress
from labels.errors import TrackingError
from labels.exchange.driver import import_file
from labels.output.folders import make_folder, refuse_occupied
from labels.store import Store, TextCounts
from labels.store.ingestion import ingest
from trainer.config.experiment import Experiment, load_experiment
from trainer.data.corpus import store_examples
from trainer.data.splits import Split, by_any_id, make_split, read_ids
from trainer.environment import STARTER_CODEBOOK, shipped
from trainer.runs.run import RunResult, run_experiment
from trainer.runs.tracking.connection import connect
from trainer.runs.tracking.registry import point_champion, register

KINDS = ("majority", "keywords", "tfidf", "finetune")
# The list of sentences, the seed and the shares are fixed, so that everybody gets the same figures.
SEED = 13
FRACTIONS = (0.4, 0.2, 0.4)
EXPERIMENT = "communique-demo"


@dataclass(frozen=True)
class Corpus:
    """The store filled by `read_corpus`, the numbers of its texts, and the number of annotation events."""

    store: Path
    texts: TextCounts
    events: int


def read_corpus(out: Path) -> Corpus:
    """Read the starter corpus into a new store under `out`: documents, sentences and the shipped annotations.

    Raises:
        DataError: the folder `out` is not empty.
    """
    refuse_occupied(out, repair="Choose another folder with --out, or delete this folder.")
    make_folder(out)
    path = out / "communique.db"
    codebook = load_codebook(STARTER_CODEBOOK)
    with Store(path) as store:
        files = sorted((shipped("seeds") / "annotations").glob("*.jsonl"))
        events = 0
        for done, file in enumerate(files):
            report_progress("Importing annotations", done, len(files))
            events += import_file(store, file, codebook).new
        # After the annotations: their spans stay, and the splitter divides only the text between them.
        ingest(store, [shipped("seeds") / "documents"])
        return Corpus(path, store.counts.texts(), events)


def freeze_split(out: Path, corpus: Corpus) -> Split:
    """Divide the demo's frozen list of sentences 40 / 20 / 40 and save the manifest as `out/split.json`."""
    ids = read_ids(shipped("seeds") / "demo.txt")
    with Store(corpus.store) as store:
        gold = store_examples(store, load_codebook(STARTER_CODEBOOK), ids)
    by_id = by_any_id(gold.examples, gold.aliases)
    chosen = [by_id[identifier] for identifier in ids]
    parts = make_split(chosen, FRACTIONS, SEED)
    split = Split(*(tuple(example.id for example in part) for part in parts))
    split.save(out / "split.json")
    return split


def train_all(out: Path, corpus: Corpus) -> list[RunResult]:
    """Run the four experiments on the frozen split, with one MLflow run per experiment."""
    results: list[RunResult] = []
    for kind in KINDS:
        experiment = _experiment(kind, out, corpus)
        report_progress("Training models", len(results), len(KINDS))
        with progress_stage(kind):
            results.append(run_experiment(experiment, out / "runs" / kind))
    return results


@dataclass(frozen=True)
class Champion:
    """The run with the best model on validation, the model's URI or folder, and the reason if it is not registered."""

    run: RunResult
    reference: str
    problem: str = ""


def register_champion(results: Sequence[RunResult]) -> Champion:
    """Register the best model on validation as `champion`. If MLflow fails, the model stays usable by its folder."""
    # On validation: a choice by the test scores would make the test score of the champion too good.
    best = max(results, key=lambda result: float(result.report.validation_macro_f1 or 0))
    if best.tracked.problem:
        return Champion(best, str(best.folder), best.tracked.problem)
    name = load_codebook(STARTER_CODEBOOK).name
    try:
        connect()
        version = register(best.model_uri, name, {"kind": best.report.kind})
        point_champion(name, version)
    except TrackingError as error:
        return Champion(best, str(best.folder), str(error))
    return Champion(best, f"models:/{name}@champion")


def _experiment(kind: str, out: Path, corpus: Corpus) -> Experiment:
    return load_experiment(
        kind,
        [
            f"seed={SEED}",
            'data.source="store"',
            f"data.store={corpus.store}",
            f"data.codebook={STARTER_CODEBOOK}",
            f"data.only={shipped('seeds') / 'demo.txt'}",
            f"split.manifest={out / 'split.json'}",
            f"tracking.experiment={EXPERIMENT}",
        ],
    )
