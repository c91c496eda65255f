"""What of an experiment MLflow is told: its parameters, data and tags, and what its run left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labels.codebook.schema import dump_codebook
from labels.settings import store_name
from trainer.config.experiment import Experiment
from trainer.data.dataset import Dataset
from trainer.runs.evaluate import headline_metrics
from trainer.runs.tracking import Tracker, connect, tracked_run


@contextmanager
def track_experiment(experiment: Experiment, dataset: Dataset, *, beside: str = "") -> Iterator[Tracker | None]:
    """An open MLflow run that holds an experiment's parameters, data and tags, or None where tracking is off.

    With `beside` it is one of the MLflow experiment `NAME-BESIDE`, out of the way of those that the leaderboard ranks.
    """
    if not experiment.tracking.enabled:
        yield None
        return
    connect()
    tags = {
        "codebook.name": dataset.codebook.name,
        "codebook.hash": dataset.codebook.hash,
        "split.hash": dataset.split.hash,
        "data.training_hash": dataset.training_hash,
        "data.judging_hash": dataset.judging_hash,
        "synthetic": str(dataset.synthetic).lower(),
    }
    name = "-".join(part for part in (experiment.tracking.experiment, beside) if part)
    with tracked_run(name, experiment.name, tags) as tracker:
        tracker.log_params(_flat(_published(experiment)))
        for part, examples in dataset.parts.items():
            tracker.log_examples(part, examples, dataset.source, dataset.split.hash)
        yield tracker


def track_outputs(
    tracker: Tracker, experiment: Experiment, dataset: Dataset, report: dict[str, Any], folder: Path
) -> str:
    """Log what a run left in `folder`: figures, plots, files and the model, whose URI comes back."""
    tracker.log_metrics(headline_metrics(report))
    tracker.log_folder(folder / "plots", "plots")
    for name in ("report.json", "split.json", "predictions.parquet"):
        tracker.log_file(folder / name)
    tracker.log_text(dump_codebook(dataset.codebook), "codebook.toml")
    tracker.log_text(json.dumps(_published(experiment), indent=1) + "\n", "experiment.json")
    tracker.set_tags({"model.id": report["model_id"]})
    return tracker.log_model(folder / "artefact")


def _published(experiment: Experiment) -> dict[str, Any]:
    """Every key of an experiment, but no password of its label store."""
    content = experiment.model_dump()
    if experiment.data.store:
        content["data"]["store"] = store_name(experiment.data.store)
    return content


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
