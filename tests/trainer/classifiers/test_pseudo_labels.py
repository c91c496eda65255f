"""Labels that spread to the surest of other texts, and `contrastive` with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from labels.codebook.schema import dump_codebook
from labels.records import Example
from tests.conftest import make_examples
from tests.trainer.conftest import make_experiment, plain_codebook, texts_of, write_examples
from trainer.classifiers import contrastive
from trainer.classifiers.contrastive import ContrastiveClassifier
from trainer.classifiers.pseudo_labels import MOST_TEXTS, Gain, label_sets, measure_gain, sample_pool, surest
from trainer.config.models import ContrastiveSection
from trainer.data.dataset import load_dataset
from trainer.encoders.embeddings import Vectors, normalised
from trainer.runs.fitting import unfitted

CODEBOOK = plain_codebook("aid", "truce")


def clouds(sizes: list[int], seed: int, spread: float = 0.2) -> tuple[Vectors, np.ndarray]:
    """Unit vectors around one axis for each class."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(len(sizes)), sizes)
    return normalised(np.eye(8)[classes] + rng.normal(size=(len(classes), 8)) * spread), classes


def test_the_surest_are_right_and_as_uneven_as_the_pool() -> None:
    vectors, classes = clouds([8, 8, 8], 1)
    pool, truth = clouds([400, 60, 40], 2)
    rows, said = surest(vectors, classes, pool)
    assert (said == truth[rows]).mean() > 0.97
    np.testing.assert_allclose(np.bincount(said, minlength=3), [120, 18, 12], atol=6)
    assert (np.diff(rows) > 0).all()


def test_a_gain_is_measured_on_rows_that_spread_nothing() -> None:
    vectors, classes = clouds([12, 12], 3, spread=0.5)
    pool, _ = clouds([150, 150], 4, spread=0.5)
    gain = measure_gain(vectors, classes, pool, C=10.0, seed=1)
    shuffled = np.random.default_rng(0).permutation(classes)
    assert not gain.is_loss
    assert gain.with_pool > 0.8 > measure_gain(vectors, shuffled, pool, C=10.0, seed=1).with_pool


def test_a_fall_within_the_standard_error_is_no_loss() -> None:
    assert not Gain(0.60, 0.55, 48).is_loss  # standard error 0.07
    assert Gain(0.60, 0.50, 48).is_loss
    assert not Gain(0.60, 0.70, 48).is_loss


def test_a_class_is_a_label_set() -> None:
    rows = [Example("a", "a", "x", ("truce", "aid")), Example("b", "b", "y"), Example("c", "c", "z", ("aid", "truce"))]
    sets, classes = label_sets(rows)
    assert sets == [(), ("aid", "truce")]
    assert classes.tolist() == [1, 0, 1]


def test_of_many_texts_a_sample_is_used() -> None:
    texts = [str(number) for number in range(MOST_TEXTS + 500)]
    sample = sample_pool(texts, 7)
    assert len(sample) == MOST_TEXTS
    assert sample == sorted(sample, key=int) == sample_pool(texts, 7)
    assert sample != sample_pool(texts, 8)
    assert sample_pool(texts[:5], 7) == texts[:5]


def fit(encoder: Path, unlabelled: list[str]) -> ContrastiveClassifier:
    section = ContrastiveSection(kind="contrastive", encoder=str(encoder), pooling="mean", max_steps=10)
    classifier = ContrastiveClassifier(CODEBOOK, section, 7)
    classifier.unlabelled = unlabelled
    return classifier.fit(make_examples(24), [])


@pytest.mark.parametrize("gain", [Gain(0.5, 0.6, 24), Gain(0.6, 0.4, 24)])
def test_unlabelled_texts_are_used_unless_accuracy_falls(
    tiny_encoder: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch, gain: Gain
) -> None:
    monkeypatch.setattr(contrastive, "measure_gain", lambda *_, **__: gain)
    more = texts_of(make_examples(120)[24:])
    alone, classifier = fit(tiny_encoder, []), fit(tiny_encoder, more)
    same = np.array_equal(classifier.predict_proba(more), alone.predict_proba(more))
    assert same == gain.is_loss
    assert not alone.notes
    said = "unlabelled texts were not used" if same else f"of {len(more)} unlabelled texts, labelled by the model"
    assert said in classifier.notes[0]
    assert f"{gain.alone:.3f} without them, {gain.with_pool:.3f} with them" in classifier.notes[0]


def test_an_experiment_reads_its_unlabelled_texts_without_its_own_rows(isolated: Path) -> None:
    rows = make_examples(150)
    (isolated / "codebook.toml").write_text(dump_codebook(CODEBOOK), encoding="utf-8")
    write_examples(isolated / "data.jsonl", rows)
    (isolated / "more.txt").write_text("Ghana sent rice.\n\n" + "\n\n".join(texts_of(rows)[:5]), encoding="utf-8")
    experiment = make_experiment(isolated, "contrastive", model={"unlabelled": str(isolated / "more.txt")})
    classifier = unfitted(experiment, load_dataset(experiment), None)
    assert isinstance(classifier, ContrastiveClassifier)
    assert list(classifier.unlabelled) == ["Ghana sent rice."]
