"""Fitting and calibrating a model: cross-fitting, and where an interrupted one goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labels.codebook.schema import dump_codebook
from labels.environment.progress import progress_to
from labels.errors import ExperimentError
from labels.records import Example
from tests.conftest import make_examples, progress_reports
from tests.trainer.conftest import MakeExperiment, gold_of, plain_codebook, texts_of, tiny_section, write_examples
from trainer.calibration.calibration import fit_multilabel
from trainer.classifiers.tfidf import TfidfClassifier
from trainer.data.dataset import load_dataset
from trainer.runs.fitting import fit_model


def rare_labels(n: int) -> list[Example]:
    """Only every fifth sentence keeps its labels."""
    return [
        example if i % 5 < 2 else Example(example.id, example.document_id, example.text)
        for i, example in enumerate(make_examples(n))
    ]


def test_crossfit_calibrates_on_train_and_validation_together(experiment_of: MakeExperiment, isolated: Path) -> None:
    write_examples(isolated / "data.jsonl", rare_labels(150))
    for crossfit in (False, True):
        experiment = experiment_of("tfidf", calibration={"crossfit": crossfit, "folds": 4})
        dataset = load_dataset(experiment)
        rows = dataset.parts["validation"] + (dataset.parts["train"] if crossfit else [])
        labels = fit_model(experiment, dataset).model.calibration.labels
        positives = gold_of(rows, ("aid", "truce")).sum(axis=0)
        assert [label.n for label in labels] == [len(rows)] * 2
        assert [label.positives for label in labels] == positives.tolist()
        # 20 positives are needed: validation alone has too few of them, both together enough.
        assert ((positives >= 20) == crossfit).all()
        assert [label.method for label in labels] == ["platt" if crossfit else "none"] * 2


def test_crossfit_calibrates_on_texts_that_were_not_trained_on(experiment_of: MakeExperiment, isolated: Path) -> None:
    """Of tossed labels nothing can be learned but the texts by heart: only unseen texts show that."""
    tossed = np.random.default_rng(5).random((120, 2)) < 0.5
    examples = [
        Example(f"e{i}", f"d{i}", f"subject{i} object{i}", tuple(np.array(["aid", "truce"])[row]))
        for i, row in enumerate(tossed)
    ]
    write_examples(isolated / "data.jsonl", examples)
    experiment = experiment_of("tfidf", calibration={"crossfit": True, "folds": 3})
    dataset = load_dataset(experiment)
    model = fit_model(experiment, dataset).model
    seen = dataset.parts["train"]
    raw, gold = model.classifier.predict_proba([e.text for e in seen]), gold_of(seen, model.labels)
    known_by_heart = fit_multilabel(raw, gold, method="platt", min_positives=1)
    for column in range(2):
        assert model.calibration.labels[column].a < 0.5 < 1 < known_by_heart.labels[column].a


@pytest.mark.parametrize("folds", [3, 4])
def test_crossfit_works_with_as_few_folds_as_are_allowed(experiment_of: MakeExperiment, folds: int) -> None:
    experiment = experiment_of("tfidf", calibration={"crossfit": True, "folds": folds})
    dataset = load_dataset(experiment)
    calibration = fit_model(experiment, dataset).model.calibration
    assert [label.method for label in calibration.labels] == ["platt", "platt"]


@pytest.mark.parametrize("allow_none", [True, False])
def test_crossfit_calibrates_exclusive_labels(experiment_of: MakeExperiment, isolated: Path, allow_none: bool) -> None:
    codebook = plain_codebook("aid", "truce", "threat", exclusive=True, allow_none=allow_none)
    (isolated / "codebook.toml").write_text(dump_codebook(codebook), encoding="utf-8")
    examples = [e for e in make_examples(160, exclusive=True) if allow_none or e.labels]
    write_examples(isolated / "data.jsonl", examples)
    experiment = experiment_of("tfidf", calibration={"crossfit": True, "folds": 3})
    dataset = load_dataset(experiment)
    calibration = fit_model(experiment, dataset).model.calibration
    n = len(dataset.parts["train"]) + len(dataset.parts["validation"])
    assert {label.method for label in calibration.labels} == {"temperature"}
    assert {label.n for label in calibration.labels} == {n}
    assert (calibration.none is not None) == allow_none


def test_too_few_documents_for_the_folds_are_refused(experiment_of: MakeExperiment, isolated: Path) -> None:
    write_examples(isolated / "data.jsonl", make_examples(18))
    experiment = experiment_of("tfidf", calibration={"crossfit": True, "folds": 20})
    with pytest.raises(ExperimentError, match="Add documents"):
        fit_model(experiment, load_dataset(experiment))


class StoppedError(Exception):
    """What stops a training from outside."""


def test_an_interrupted_crossfitting_resumes_in_its_fold(
    experiment_of: MakeExperiment, tiny_encoder: Path, isolated: Path
) -> None:
    model = tiny_section(tiny_encoder, epochs=2, min_steps=0).model_dump()
    experiment = experiment_of("finetune", model=model, calibration={"crossfit": True, "folds": 3})
    dataset = load_dataset(experiment)
    uninterrupted = fit_model(experiment, dataset).model
    trainings = 0

    def stop_in_the_second_fold(_: str, done: int, steps: int) -> None:
        nonlocal trainings
        trainings += done == 1
        if trainings == 3 and done == steps:  # the model itself, the first fold, the second one
            raise StoppedError

    with pytest.raises(StoppedError), progress_to(stop_in_the_second_fold):
        fit_model(experiment, dataset, checkpoints=isolated / "checkpoints")
    with progress_reports() as reports:
        resumed = fit_model(experiment, dataset, checkpoints=isolated / "checkpoints").model
    from_the_first_step = [stage for stage, done, _ in reports if done == 1]
    assert from_the_first_step == ["Fold 3 of 3: Training"]  # the only training of which nothing was done
    assert resumed.calibration == uninterrupted.calibration
    texts = texts_of(dataset.parts["test"])
    np.testing.assert_array_equal(resumed.predict_proba(texts), uninterrupted.predict_proba(texts))


def test_only_kinds_that_stop_early_leave_a_fold_for_that(
    experiment_of: MakeExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    fit = TfidfClassifier.fit

    def watched(self: TfidfClassifier, examples: Any, validation: Any) -> TfidfClassifier:
        sizes.append((len(examples), len(validation)))
        return fit(self, examples, validation)

    monkeypatch.setattr(TfidfClassifier, "fit", watched)
    experiment = experiment_of("tfidf", calibration={"crossfit": True, "folds": 3})
    dataset = load_dataset(experiment)
    pool = len(dataset.parts["train"]) + len(dataset.parts["validation"])
    fit_model(experiment, dataset)
    assert [validation for _, validation in sizes[1:]] == [0, 0, 0]
    assert sum(train for train, _ in sizes[1:]) == 2 * pool
    monkeypatch.setattr(TfidfClassifier, "stops_early", True)
    sizes.clear()
    fit_model(experiment, dataset)
    assert sum(train for train, _ in sizes[1:]) == sum(validation for _, validation in sizes[1:]) == pool
