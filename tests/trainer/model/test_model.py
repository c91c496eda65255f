from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

from labels.codebook.schema import Codebook
from labels.errors import ArtefactError, DataError
from tests.conftest import make_examples
from trainer.calibration.calibration import Calibration, LabelCalibration, uncalibrated
from trainer.classifiers.baselines import KeywordsClassifier, MajorityClassifier
from trainer.config.models import KeywordsSection, MajoritySection
from trainer.model.model import Manifest, Model, package_versions, save_artefact

TEXTS = ["Oslo pledged fuel.", "The envoy called for a truce.", "Rain fell."]
STEEP = Calibration(
    exclusive=False,
    labels=(
        LabelCalibration("platt", 40, 20, threshold=0.6, a=2.0, b=-0.5),
        LabelCalibration("none", 40, 20, threshold=0.2),
    ),
)


def classifier(codebook: Codebook) -> KeywordsClassifier:
    return KeywordsClassifier(codebook, KeywordsSection(kind="keywords"), seed=1).fit(make_examples(60), [])


def test_a_single_string_is_not_a_list_of_texts(codebook: Codebook) -> None:
    model = Model(codebook, classifier(codebook), STEEP)
    with pytest.raises(DataError, match=r"texts is a single string, but a list is needed. Pass a list: \['abc'\]"):
        model.predict_proba("abc")


def saved(codebook: Codebook, folder: Path) -> Manifest:
    folder.mkdir()
    manifest = Manifest(
        kind="keywords",
        labels=codebook.label_names,
        exclusive=False,
        allow_none=True,
        codebook_name=codebook.name,
        codebook_version=codebook.version,
        codebook_hash=codebook.hash,
        seed=1,
        created_at="2026-01-01T00:00:00+00:00",
        split_hash="",
        training_hash="",
        synthetic=False,
        details={},
        calibration=STEEP,
        thresholds=dict(zip(codebook.label_names, map(float, STEEP.thresholds), strict=True)),
        packages=package_versions(),
    )
    return save_artefact(folder, manifest, codebook, classifier(codebook))


def test_probabilities_are_the_calibrated_ones_of_the_classifier(codebook: Codebook) -> None:
    raw = classifier(codebook).predict_proba(TEXTS).astype(float)
    probabilities = Model(codebook, classifier(codebook), STEEP).predict_proba(TEXTS)
    assert probabilities[:, 0] == pytest.approx(expit(2 * logit(raw[:, 0]) - 0.5), abs=1e-6)
    assert probabilities[:, 1] == pytest.approx(raw[:, 1], abs=1e-6)
    assert probabilities.dtype == np.float32


def test_labels_are_assigned_at_their_thresholds_in_codebook_order(codebook: Codebook) -> None:
    model = Model(codebook, classifier(codebook), STEEP)
    probabilities = np.array([[0.61, 0.21], [0.59, 0.21], [0.61, 0.19], [0.0, 0.0]])
    assert model.decide(probabilities).tolist() == [[True, True], [False, True], [True, False], [False, False]]
    assert model.label_sets(probabilities) == [("aid", "truce"), ("truce",), ("aid",), ()]
    assert model.labels == ("aid", "truce")


def test_an_exclusive_model_assigns_one_label_or_none(exclusive_codebook: Codebook) -> None:
    frequencies = MajorityClassifier(exclusive_codebook, MajoritySection(kind="majority"), seed=1)
    frequencies.fit(make_examples(40, exclusive=True), [])
    model = Model(exclusive_codebook, frequencies, uncalibrated(3, "x", exclusive=True, allow_none=True))
    probabilities = np.array([[0.4, 0.3, 0.2], [0.1, 0.2, 0.3], [0.2, 0.1, 0.6]])
    assert model.label_sets(probabilities) == [("aid",), (), ("threat",)]


def test_a_loaded_model_predicts_as_the_saved_one_and_bears_its_digest(codebook: Codebook) -> None:
    manifest = saved(codebook, Path("artefact"))
    model = Model.load("artefact")
    fresh = Model(codebook, classifier(codebook), STEEP)
    assert (model.predict_proba(TEXTS) == fresh.predict_proba(TEXTS)).all()
    assert model.label_sets(model.predict_proba(TEXTS)) == fresh.label_sets(fresh.predict_proba(TEXTS))
    assert (model.id, model.labels, model.codebook) == (manifest.digest, ("aid", "truce"), codebook)
    assert model.manifest == manifest


def test_a_model_that_was_never_saved_has_no_id(codebook: Codebook) -> None:
    assert Model(codebook, classifier(codebook), STEEP).id == ""


def test_loading_what_is_no_artefact_raises() -> None:
    with pytest.raises(ArtefactError, match="this folder does not exist"):
        Model.load("absent")
