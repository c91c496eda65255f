"""The folder of a labelling loop: its settings, and one folder for each round.

    loop.json              what the rounds have in common; written once
    round-001/             artefact/, split.json and round.json: complete, or absent
    final/                 the outputs of the last training run, whose report is the only one on test
    retraining.log         what the last retraining printed

Nothing else is remembered: rounds are counted by their folders, and labels lie in the store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from labels.errors import DataError, ExperimentError
from labels.output.drafts import write_whole
from labels.output.folders import make_folder
from labels.store import now
from labels.unicode import read_text
from trainer.config.experiment import Experiment, parse_experiment

SETTINGS, ROUND, FINAL, LOG = "loop.json", "round.json", "final", "retraining.log"
FEWEST = 30
"""Number of sentences with gold from which on a model is fitted."""


@dataclass(frozen=True)
class Round:
    """One model of a loop, and what it was worth.

    Attributes:
        labelled: number of train and validation sentences, which the model learned from.
        with_gold: number of all sentences with gold, in any part or in none.
        frozen: whether the split stays as it is in later rounds. Before, its test part is too small to be resampled.
        basis: "out-of-fold" or "validation".
        evaluated: number of sentences behind the figures.
        macro_f1: None if undefined.
        per_label: F1 by label; None if undefined.
        gain: upper 90% bound of the fitted gain in macro-F1 from 200 more labels; None if it cannot be estimated.
        reason: reason for which there is no bound; empty if there is one.
        counts: true positives, false positives and false negatives by label, by document.
        groups: the group of each document: documents connected by near-duplicates are drawn together.
        seconds: time for fitting, including the folds.
    """

    number: int
    model_id: str
    labelled: int
    train: int
    validation: int
    test: int
    with_gold: int
    frozen: bool
    basis: str
    evaluated: int
    macro_f1: float | None
    per_label: Mapping[str, float | None]
    gain: float | None
    reason: str
    seconds: float
    created_at: str
    notes: tuple[str, ...] = ()
    counts: Mapping[str, list[list[int]]] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LoopFolder:
    """A loop's folder, and the settings that all of its rounds share.

    Attributes:
        folds: number of folds for out-of-fold figures; 0 for figures on validation.
        begun: when the loop was created, ISO 8601 in UTC.
    """

    path: Path
    experiment: Experiment
    codebook_hash: str
    folds: int
    begun: str

    @classmethod
    def open(cls, path: Path, experiment: Experiment, codebook_hash: str, folds: int) -> LoopFolder:
        """Open the loop in a folder, or begin one.

        Raises:
            DataError: the folder has other contents, or cannot be written.
            ExperimentError: the loop in the folder has other settings or another codebook.
        """
        if (path / SETTINGS).is_file():
            found = cls.read(path)
            found._check(experiment, codebook_hash, folds)
            return found
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise DataError(f"{path}: this folder is not the folder of a loop. Choose another folder with --out.")
        made = cls(path, experiment, codebook_hash, folds, now())
        make_folder(path)
        content = {"format": 1, "codebook_hash": codebook_hash, "folds": folds, "begun": made.begun}
        content["experiment"] = experiment.model_dump(exclude={"sweep"})
        write_whole(path / SETTINGS, [json.dumps(content, indent=1) + "\n"])
        return made

    @classmethod
    def read(cls, path: Path) -> LoopFolder:
        """Read the settings of a loop.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            content = json.loads(read_text(path / SETTINGS))
            experiment = parse_experiment(content["experiment"], str(path / SETTINGS))
            return cls(path, experiment, content["codebook_hash"], int(content["folds"]), content["begun"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path / SETTINGS}: this file is damaged ({error}). Restore it, or use --out.") from error

    def _check(self, experiment: Experiment, codebook_hash: str, folds: int) -> None:
        own, given = (one.model_dump(exclude={"sweep"}) for one in (self.experiment, experiment))
        changed = [key for key in own if own[key] != given[key]]
        changed += ["--folds"] * (folds != self.folds) + ["the codebook"] * (codebook_hash != self.codebook_hash)
        if changed:
            raise ExperimentError(
                f"{self.path}: this loop was begun with other settings ({', '.join(changed)}), so its rounds could not "
                "be compared. Use the same settings, or begin another loop with --out."
            )

    def round_folder(self, number: int) -> Path:
        """The folder of a round."""
        return self.path / f"round-{number:03d}"

    @property
    def final(self) -> Path:
        """The folder of the run that ends the loop."""
        return self.path / FINAL

    def rounds(self) -> list[Round]:
        """The finished rounds, in order.

        Raises:
            DataError: the file of a round is damaged.
        """
        files = sorted(self.path.glob(f"round-*/{ROUND}"))
        return sorted(map(_read_round, files), key=lambda one: one.number)


def round_text(one: Round) -> str:
    """A round as the text of its file."""
    return json.dumps(asdict(one), indent=None, allow_nan=False) + "\n"


def _read_round(path: Path) -> Round:
    try:
        content: dict[str, Any] = json.loads(read_text(path))
        return Round(**content | {"notes": tuple(content["notes"])})
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: this file is damaged ({error}). Delete the folder of this round.") from error
