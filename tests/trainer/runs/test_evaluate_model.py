from __future__ import annotations

import pytest

from labels.records import Example
from tests.trainer.conftest import plain_codebook
from trainer.calibration.calibration import uncalibrated
from trainer.classifiers.baselines import MajorityClassifier
from trainer.config.models import MajoritySection
from trainer.model.model import Model
from trainer.runs.evaluate import macro_f1, predict_examples


def test_macro_f1_of_a_model_is_that_of_its_decisions() -> None:
    codebook = plain_codebook("aid", "truce")
    train = [Example(f"e{i}", "d", "text", ("aid",) if i < 3 else ("truce",) if i < 4 else ()) for i in range(5)]
    classifier = MajorityClassifier(codebook, MajoritySection(kind="majority"), 1).fit(train, [])
    model = Model(codebook, classifier, uncalibrated(2, "", exclusive=False, allow_none=True))
    # "aid" is assigned to all five: precision 3/5, recall 1, F1 3/4. "truce" is never assigned: F1 0.
    assert macro_f1(model.labels, predict_examples(model, train)) == pytest.approx((3 / 4 + 0) / 2)
