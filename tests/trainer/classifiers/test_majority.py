from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from labels.codebook.schema import Codebook
from labels.records import Example
from trainer.calibration.calibration import uncalibrated
from trainer.classifiers.baselines import MajorityClassifier
from trainer.config.models import MajoritySection
from trainer.model.model import Model

LABELS = [("aid",), ("aid",), ("aid", "truce"), (), ("aid",)]
ROWS = [Example(f"e{i}", f"d{i}", f"Text {i}.", labels) for i, labels in enumerate(LABELS)]


def fitted(codebook: Codebook, rows: list[Example] = ROWS) -> MajorityClassifier:
    return MajorityClassifier(codebook, MajoritySection(kind="majority"), seed=1).fit(rows, ROWS[:1])


def test_every_text_gets_the_frequencies_of_the_labels_in_train(codebook: Codebook) -> None:
    probabilities = fitted(codebook).predict_proba(["Aid! Aid!", ""])
    assert probabilities == pytest.approx(np.array([[4 / 5, 1 / 5]] * 2))
    assert probabilities.dtype == np.float32
    assert fitted(codebook).labels == ("aid", "truce")


def test_no_text_gets_no_row(codebook: Codebook) -> None:
    assert fitted(codebook).predict_proba([]).shape == (0, 2)


@pytest.mark.parametrize(("none", "assigned"), [(1, ("threat",)), (3, ())])
def test_an_exclusive_codebook_gets_its_most_frequent_class_none_included(
    exclusive_codebook: Codebook, none: int, assigned: tuple[str, ...]
) -> None:
    labels: list[tuple[str, ...]] = [("aid",), ("threat",), ("threat",), *[()] * none]
    rows = [Example(f"e{i}", f"d{i}", "x", each) for i, each in enumerate(labels)]
    calibration = uncalibrated(3, "frequencies", exclusive=True, allow_none=True)
    model = Model(exclusive_codebook, fitted(exclusive_codebook, rows), calibration)
    assert model.label_sets(model.predict_proba(["x"])) == [assigned]


def test_it_is_saved_as_plain_json_and_comes_back_the_same(codebook: Codebook) -> None:
    Path("model").mkdir()
    classifier = fitted(codebook)
    classifier.save(Path("model"))
    assert [path.name for path in Path("model").iterdir()] == ["frequencies.json"]
    again = MajorityClassifier.load(Path("model"), codebook)
    assert (again.predict_proba(["x"]) == classifier.predict_proba(["x"])).all()


def test_frequencies_need_no_calibration(codebook: Codebook) -> None:
    assert not fitted(codebook).needs_calibration
    assert fitted(codebook).describe() == {}
