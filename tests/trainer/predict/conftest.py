"""A model of cues, and a small corpus in many blocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from labels.codebook.schema import Codebook
from tests.conftest import make_examples
from trainer.calibration.calibration import Calibration, LabelCalibration
from trainer.classifiers.baselines import KeywordsClassifier
from trainer.config.models import KeywordsSection
from trainer.model.model import Manifest, Model
from trainer.predict import blocks


def cue_model(codebook: Codebook, identifier: str = "") -> Model:
    """Cues with thresholds between the rates of no cue and one; `identifier` stands for the digest of a saved model."""
    classifier = KeywordsClassifier(codebook, KeywordsSection(kind="keywords"), seed=1).fit(make_examples(60), [])
    without, one = classifier.rates_[:, 0], classifier.rates_[:, 1]
    thresholds = [LabelCalibration("none", 0, 0, threshold=float(t)) for t in (without + one) / 2]
    calibration = Calibration(False, tuple(thresholds))
    if not identifier:
        return Model(codebook, classifier, calibration)
    manifest = Manifest(
        kind="keywords",
        labels=codebook.label_names,
        exclusive=False,
        allow_none=False,
        codebook_name=codebook.name,
        codebook_version="1",
        codebook_hash=codebook.hash,
        seed=1,
        created_at="",
        split_hash="",
        training_hash="",
        synthetic=False,
        details={},
        calibration=calibration,
        thresholds={},
        packages={},
        files={"classifier/x": identifier},
    )
    return Model(codebook, classifier, calibration, manifest)


@pytest.fixture
def model(codebook: Codebook) -> Model:
    """A model that was never saved."""
    return cue_model(codebook)


@pytest.fixture
def saved(codebook: Codebook) -> Model:
    """A model with an id, as a saved model has."""
    return cue_model(codebook, "a")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of about five sentences, so that a small corpus has many."""
    monkeypatch.setattr(blocks, "CHARACTERS", 300)


@pytest.fixture
def corpus(isolated: Path, small_blocks: None) -> Path:
    """A folder with a table of 40 rows, of which two are bad and some repeat, and six articles."""
    folder = isolated / "news"
    folder.mkdir()
    lines = [row_line(number) for number in range(40)]
    lines[7], lines[23] = "not JSON", json.dumps({"id": "empty", "text": " "})
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for number in range(6):
        text = f"Oslo pledged {number} trucks.\nRain fell.\n\nThe envoy called for a truce on day {number}.\n"
        (folder / f"b{number}.txt").write_text(text, encoding="utf-8")
    return folder


def row_line(number: int) -> str:
    """A row with a text of two or three sentences, an id and a speaker."""
    more = "Rain fell. " if number % 3 else ""
    text = f"{more}Lima pledged item {number % 17}. Bishops called for a truce."
    row: dict[str, Any] = {"id": f"row-{number}", "text": text, "speaker": f"Speaker {number % 4}", "page": number}
    return json.dumps(row)
