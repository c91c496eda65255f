"""Static token vectors: what they are taken from, what they learn, and what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labels.errors import ExperimentError
from tests.lazy import Lazy
from tests.trainer.conftest import examples_for, gold_of, plain_codebook, texts_of
from trainer.classifiers.base import EncodingClassifier, Student
from trainer.classifiers.students.static import StaticClassifier, principal_components, token_vectors
from trainer.config.models import StaticSection
from trainer.encoders.embeddings import Embedder

AutoTokenizer = Lazy("transformers:AutoTokenizer")
LABELS = ("aid", "truce", "threat")
CODEBOOKS = {
    "multi-label": plain_codebook(*LABELS[:2]),
    "exclusive or none": plain_codebook(*LABELS, exclusive=True),
    "exclusive": plain_codebook(*LABELS, exclusive=True, allow_none=False),
}


def unfitted(name: str, encoder: Path, **changes: Any) -> StaticClassifier:
    settings = {"encoder": str(encoder), "pooling": "mean", "dimensions": 8} | changes
    return StaticClassifier(CODEBOOKS[name], StaticSection(kind="static", **settings), 7)


@pytest.mark.parametrize("name", CODEBOOKS)
def test_it_learns_labels_and_is_saved_whole(name: str, tiny_encoder: Path, isolated: Path) -> None:
    codebook = CODEBOOKS[name]
    examples = examples_for(codebook, 240)
    classifier = unfitted(name, tiny_encoder, dimensions=16, C=100.0).fit(examples[:160], [])
    texts = [*texts_of(examples[160:]), "", "🙂"]
    found = classifier.predict_proba(texts)
    gold = gold_of(examples[:160], codebook.label_names)
    learned = classifier.predict_proba(texts_of(examples[:160]))
    assert learned[gold].mean() - learned[~gold].mean() > 0.1  # the vectors of a random encoder tell little
    if not codebook.allow_none:
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    folder = isolated / "model"
    folder.mkdir()
    classifier.save(folder)
    again = StaticClassifier.load(folder, codebook)
    np.testing.assert_array_equal(again.predict_proba(texts), found)
    assert again.describe() == classifier.describe()
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"encoder/tokenizer.json", "head.safetensors", "settings.json", "tokens.safetensors"}


@pytest.mark.parametrize("name", CODEBOOKS)
def test_it_learns_the_probabilities_of_a_teacher(name: str, tiny_encoder: Path) -> None:
    codebook = CODEBOOKS[name]
    texts = texts_of(examples_for(codebook, 240))
    shares = np.array([[0.1, 0.7, 0.1], [0.6, 0.2, 0.15]], dtype=np.float32)
    wanted = np.array([shares[int("truce" in text)][: len(codebook.labels)] for text in texts])
    if not codebook.allow_none:
        wanted /= wanted.sum(axis=1, keepdims=True)
    classifier = unfitted(name, tiny_encoder, epochs=60)
    assert isinstance(classifier, Student)
    found = classifier.learn(texts, wanted, classifier).predict_proba(texts)
    constant = np.abs(wanted - wanted.mean(axis=0)).mean()
    assert np.abs(found - wanted).mean() < constant / 3


def test_it_answers_in_two_steps_as_in_one(tiny_encoder: Path) -> None:
    examples = examples_for(CODEBOOKS["multi-label"], 60)
    classifier = unfitted("multi-label", tiny_encoder).fit(examples, [])
    assert isinstance(classifier, EncodingClassifier)
    texts = texts_of(examples)
    vectors = classifier.embed(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(classifier.predict_embedded(vectors), classifier.predict_proba(texts))


def test_a_token_has_the_vector_that_the_encoder_gives_it_alone(tiny_encoder: Path) -> None:
    embedder = Embedder(str(tiny_encoder), pooling="mean")
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    table = token_vectors(*embedder.opened, "mean")
    token = tokenizer.convert_tokens_to_ids("truce")
    own = table[token] / np.linalg.norm(table[token])
    np.testing.assert_allclose(own, embedder.encode(["truce"])[0], atol=1e-5)


def test_frequent_tokens_weigh_less_and_special_ones_nothing(tiny_encoder: Path) -> None:
    examples = examples_for(CODEBOOKS["multi-label"], 120)
    classifier = unfitted("multi-label", tiny_encoder).fit(examples, [])
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    embedder = Embedder(str(tiny_encoder), pooling="mean")
    plain = principal_components(token_vectors(*embedder.opened, "mean"), 8)
    assert classifier.vectors_ is not None
    weights = np.linalg.norm(classifier.vectors_, axis=1) / np.linalg.norm(plain, axis=1)
    frequent, unseen = tokenizer.convert_tokens_to_ids([".", "zebra"])
    assert weights[frequent] < 0.05
    assert weights[unseen] == pytest.approx(1, abs=1e-2)
    assert not classifier.vectors_[tokenizer.all_special_ids].any()


def test_principal_components_keep_distances() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(50, 4)).astype(np.float32)
    components = principal_components(vectors, 4)
    np.testing.assert_allclose(
        np.linalg.norm(components[:, None] - components, axis=2),
        np.linalg.norm(vectors[:, None] - vectors, axis=2),
        atol=1e-4,
    )
    assert (np.diff(components.var(axis=0)) <= 0).all()
    assert principal_components(vectors, 2).shape == (50, 2)


def test_one_class_is_refused_before_the_encoder_is_opened() -> None:
    with pytest.raises(ExperimentError, match="nothing to distinguish"):
        unfitted("exclusive", Path("no/such")).fit([*examples_for(CODEBOOKS["exclusive"], 9)[:1]], [])
