"""The test part is sealed: nothing but its own figures depends on it.

Each test turns the labels of the test part round, or replaces its texts, and compares what must be the same.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from labels.records import Example
from tests.conftest import make_examples
from tests.trainer.conftest import MakeExperiment, contradicting, disturbed, plain_codebook, write_examples
from trainer.config.experiment import Experiment
from trainer.data.dataset import load_dataset
from trainer.data.predicted import Predicted
from trainer.data.splits import Split
from trainer.evaluation.verdict import judge
from trainer.runs.choice.comparing import compare_sides
from trainer.runs.choice.sides import CHOOSING, read_side
from trainer.runs.choice.sweep import run_sweep
from trainer.runs.learning_curve import fit_subsets
from trainer.runs.run import run_experiment

Poison = Callable[[Example], Example]


def other_labels(example: Example) -> Example:
    return contradicting(plain_codebook("aid", "truce"), [example])[0]


def other_text(example: Example) -> Example:
    return replace(example, text=f"Nothing but gibberish zzz{example.id} pledged truce convoy.")


@pytest.fixture
def poisoned(experiment_of: MakeExperiment, isolated: Path) -> Callable[..., Experiment]:
    """An experiment on a frozen split whose test part is poisoned, or clean without a poison."""
    examples = disturbed(make_examples(150))
    load_dataset(experiment_of("majority")).split.save(Path("split.json"))
    tested = set(Split.load(Path("split.json")).test)

    def make(poison: Poison | None, kind: str = "tfidf", **sections: Any) -> Experiment:
        rows = [poison(one) if poison and one.id in tested else one for one in examples]
        path = write_examples(isolated / f"{poison.__name__ if poison else 'clean'}.jsonl", rows)
        data = {"train": str(path)}
        return experiment_of(kind, data=data, split={"manifest": "split.json"}, **sections)

    return make


def model_bytes(folder: Path) -> dict[str, object]:
    """The content of every file of the artefact; of its manifest, all but the time that training took."""
    artefact = folder / "artefact"
    files: dict[str, object] = {
        path.relative_to(artefact).as_posix(): path.read_bytes() for path in artefact.rglob("*") if path.is_file()
    }
    manifest = json.loads((artefact / "manifest.json").read_text("utf-8"))
    del manifest["created_at"], manifest["details"]["train_seconds"]
    return files | {"manifest.json": manifest}


def rows_of(folder: Path, part: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "predictions.parquet").to_pylist()
    return [row for row in rows if row["split"] == part]


@pytest.mark.parametrize("poison", [other_labels, other_text])
@pytest.mark.parametrize(
    ("kind", "sections"),
    [
        ("tfidf", {}),
        ("tfidf", {"calibration": {"crossfit": True, "folds": 3}}),
        ("tfidf", {"calibration": {"method": "isotonic", "min_positives": 5}}),
        ("majority", {}),
        ("embedding", {}),
    ],
    ids=["platt", "crossfit", "few positives", "majority", "embedding"],
)
def test_neither_model_nor_calibration_nor_thresholds_know_the_test_part(
    poisoned: Callable[..., Experiment], poison: Poison, kind: str, sections: dict[str, Any]
) -> None:
    clean = run_experiment(poisoned(None, kind, **sections), Path("clean"))
    dirty = run_experiment(poisoned(poison, kind, **sections), Path("dirty"))
    assert model_bytes(clean.folder) == model_bytes(dirty.folder)
    assert rows_of(clean.folder, "validation") == rows_of(dirty.folder, "validation")
    assert clean.report.validation_macro_f1 == dirty.report.validation_macro_f1
    assert rows_of(clean.folder, "test") != rows_of(dirty.folder, "test")  # the poison works


@pytest.mark.slow
def test_early_stopping_does_not_know_the_test_part(poisoned: Callable[..., Experiment]) -> None:
    model = {"keep_layers": 1, "epochs": 2, "min_steps": 1, "patience": 1, "max_length": 16}
    folders = [Path("clean"), Path("dirty")]
    for folder, poison in zip(folders, (None, other_labels), strict=True):
        run_experiment(poisoned(poison, "finetune", model=model), folder)
    clean, dirty = map(model_bytes, folders)
    assert clean == dirty


def test_a_sweep_chooses_without_the_test_part(poisoned: Callable[..., Experiment]) -> None:
    def chosen(poison: Poison | None, out: str) -> tuple[list[dict[str, str]], str]:
        sweep = {"trials": 4, "startup": 2, "space": {"model.C": {"low": 0.01, "high": 100.0, "log": True}}}
        run_sweep(poisoned(poison, sweep=sweep), Path(out))
        with Path(out, "trials.csv").open(encoding="utf-8", newline="") as file:
            trials = [{key: own for key, own in row.items() if key != "seconds"} for row in csv.DictReader(file)]
        best = Path(out, "best.toml").read_text("utf-8")
        return trials, "".join(
            line for line in best.splitlines(keepends=True) if ".jsonl" not in line and out not in line
        )

    assert chosen(None, "clean-sweep") == chosen(other_labels, "dirty-sweep")


def test_a_learning_curve_fits_the_same_models(poisoned: Callable[..., Experiment]) -> None:
    """With other gold for test, the models assign each label just as often in each group."""

    def assigned(poison: Poison | None) -> list[Any]:
        experiment = poisoned(poison)
        fits = fit_subsets(experiment, load_dataset(experiment), repeats=1, sizes=3)
        counts = [fit.counts for row in fits for fit in row if fit.counts]
        assert counts
        return [(own.tp + own.fp).tolist() for own in counts]

    assert assigned(None) == assigned(other_labels)


def test_promotion_is_decided_without_the_test_part(poisoned: Callable[..., Experiment]) -> None:
    assert "test" not in CHOOSING
    sides = []
    for kind in ("majority", "tfidf"):
        run_experiment(poisoned(None, kind), Path(kind))
        sides.append(read_side(kind))
    spoilt = []
    for side in sides:
        test = side.part("test")
        wrong = Predicted([other_labels(one) for one in test.examples], ~test.predicted, 1 - test.probabilities)
        spoilt.append(replace(side, parts={**side.parts, "test": wrong}))
    verdicts = [judge(compare_sides(first, second).comparison) for first, second in (sides, spoilt)]
    assert verdicts[0] == verdicts[1]
    tests = [compare_sides(first, second, "test").comparison for first, second in (sides, spoilt)]
    assert tests[0] != tests[1]  # the poison works
