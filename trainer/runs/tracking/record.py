"""The record of a run: everything that MLflow logs about a run besides the other files of its folder.

A run writes its record to its folder whether or not MLflow is available, so a run can be logged completely later.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from labels.environment.settings import store_name
from labels.errors import DataError
from labels.output.drafts import write_whole
from labels.unicode import read_text
from trainer.config.experiment import Experiment
from trainer.config.sections import TrackingSection
from trainer.data.dataset import Dataset, hash_examples, hash_test
from trainer.data.predicted import read_gold
from trainer.evaluation.report import Report
from trainer.model.model import read_manifest
from trainer.runs.tracking.looks import TEST_TAG
from trainer.runs.tracking.surroundings import describe_surroundings

RECORD = "tracking.json"
RUN_TAG = "communique.run"
"""MLflow tag with the id of a record, by which a run that is already logged is recognised."""

_SHOW_TEST = ("train", "learning-curve")
Command = Literal["train", "learning-curve", "sweep", "evaluate", "loop"]


class Tracked(BaseModel):
    """The place of a run in MLflow; fields are empty if nothing was logged.

    `problem` is the reason why the run, or its registered version, is missing in MLflow.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str = ""
    model_uri: str = ""
    registered_version: str = ""
    problem: str = ""


UNTRACKED = Tracked()


class Record(BaseModel):
    """The record of a run.

    `id` identifies the run in every MLflow store; `experiment` and `name` are the names of its experiment and run in
    MLflow; `params` are nested as in the experiment's file; `parts` has the number of rows of each part of the data,
    which come from `source`, and `digests` a hash of the texts and labels of each part. `tracked` is the run's place in
    MLflow when the record was saved. `older_model` is the id of the model if an older version of communique wrote the
    folder, without a record.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    command: Command
    experiment: str
    name: str
    params: dict[str, Any]
    tags: dict[str, str]
    parts: dict[str, int] = {}
    digests: dict[str, str] = {}
    source: str = ""
    register_as: str = ""
    older_model: str = ""
    tracked: Tracked = UNTRACKED

    def save(self, folder: Path) -> None:
        """Write the record to the folder of its run.

        Raises:
            DataError: the file cannot be written.
        """
        write_whole(folder / RECORD, [self.model_dump_json(indent=1) + "\n"])

    def but(self, **changes: Any) -> Record:
        """Return the record with changed values."""
        return self.model_copy(update=changes)


def new_record(
    command: Command, experiment: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str], **rest: Any
) -> Record:
    """Return the record of a new run; parameters are converted to the types of JSON."""
    # As they are after saving and reading, so that a run is logged with the same values now and later.
    values = json.loads(json.dumps(params))
    return Record(
        id=uuid.uuid4().hex,
        command=command,
        experiment=experiment,
        name=name,
        params=values,
        tags={**tags, **describe_surroundings()},
        **rest,
    )


def record_experiment(command: Command, experiment: Experiment, dataset: Dataset, *, beside: str = "") -> Record:
    """Return the record of a run of an experiment.

    Args:
        beside: if given, the run is logged in the MLflow experiment `NAME-BESIDE`, separate from the runs that the
            leaderboard ranks.
    """
    tags = {
        "codebook.name": dataset.codebook.name,
        "codebook.version": dataset.codebook.version,
        "codebook.hash": dataset.codebook.hash,
        "split.hash": dataset.split.hash,
        "data.training_hash": dataset.training_hash,
        # The tag keeps its original name, so that the leaderboard groups earlier runs with later runs.
        "data.judging_hash": dataset.evaluation_hash,
        "synthetic": str(dataset.synthetic).lower(),
    }
    if command in _SHOW_TEST and dataset.parts["test"]:
        tags[TEST_TAG] = hash_test(dataset.parts["test"])
    return new_record(
        command,
        "-".join(part for part in (experiment.tracking.experiment, beside) if part),
        experiment.name,
        published(experiment),
        tags,
        parts={part: len(examples) for part, examples in dataset.parts.items()},
        digests={part: hash_examples(examples) for part, examples in dataset.parts.items()},
        source=dataset.source,
        register_as="" if beside else experiment.tracking.register_as,
    )


def published(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment's content without the password of its label store."""
    content = experiment.model_dump()
    if experiment.data.store:
        content["data"]["store"] = store_name(experiment.data.store)
    return content


def flattened(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested sections to values by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def read_record(folder: Path) -> Record:
    """Return the record in the folder of a run.

    Raises:
        DataError: the folder is not the folder of a run, or its record is damaged.
    """
    if (folder / RECORD).is_file():
        try:
            return Record.model_validate_json(read_text(folder / RECORD))
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(map(str, problem["loc"]))
            raise DataError(
                f"{folder / RECORD}: this record of a run is damaged ({key}: {problem['msg']}). Restore the file."
            ) from error
    if (folder / "report.json").is_file() and (folder / "artefact" / "manifest.json").is_file():
        return _record_of_older_version(folder)
    unfinished = (folder / "study.journal").is_file()
    raise DataError(
        f"{folder}: this sweep is not finished. Run the sweep command again to finish the sweep."
        if unfinished
        else f"{folder}: this is not the folder of a run: it has no {RECORD}. Name a folder that `communique train`, "
        "`sweep` or `evaluate --out` has written."
    )


def _record_of_older_version(folder: Path) -> Record:
    """Reconstruct the record of a training run from its files: older versions of communique did not save records."""
    report, manifest = Report.read(folder / "report.json"), read_manifest(folder / "artefact")
    params: dict[str, Any] = {
        "name": report.experiment or manifest.kind,
        "seed": manifest.seed,
        "data": {"source": report.data},
        "model": manifest.details.get("model", {"kind": manifest.kind}),
    }
    if report.intervals:
        params["evaluation"] = {"confidence": report.intervals.confidence}
    tags = {
        "codebook.name": manifest.codebook_name,
        "codebook.version": manifest.codebook_version,
        "codebook.hash": manifest.codebook_hash,
        "split.hash": manifest.split_hash,
        "data.training_hash": manifest.training_hash,
        "synthetic": str(manifest.synthetic).lower(),
    }
    examples = {part: read_gold(folder / "predictions.parquet", part) for part in ("validation", "test")}
    if all(examples.values()):
        tags["data.judging_hash"] = hash_examples(example for part in examples.values() for example in part)
    counts = {"train": report.n_train, "validation": report.n_validation, "test": report.n_test}
    return Record(
        id=f"{manifest.digest} {manifest.created_at}",
        command="train",
        experiment=TrackingSection().experiment,
        name=params["name"],
        params=params,
        tags=tags,
        parts={part: count for part, count in counts.items() if count is not None},
        source=report.data,
        older_model=manifest.digest,
    )
