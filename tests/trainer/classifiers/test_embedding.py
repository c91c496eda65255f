from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labels.codebook.schema import Codebook
from labels.errors import ArtefactError, EncoderError, ExperimentError
from labels.output.drafts import cache_folder
from tests.conftest import make_examples
from tests.lazy import Lazy
from tests.trainer.conftest import examples_for, gold_of, plain_codebook, texts_of
from trainer.classifiers.base import EncodingClassifier
from trainer.classifiers.linear import EmbeddingClassifier, build_regression, fit_regression, regression_targets
from trainer.config.models import EmbeddingSection
from trainer.encoders.embeddings import Embedder

dump = Lazy("skops.io:dump")

MULTI = plain_codebook("aid", "truce")
ONE_OF_OR_NONE = plain_codebook("aid", "truce", "threat", exclusive=True)
CODEBOOKS = pytest.mark.parametrize("codebook", [MULTI, ONE_OF_OR_NONE], ids=["multi-label", "exclusive"])
UNSEEN = make_examples(120)[80:]


def fit(encoder: Path, codebook: Codebook = MULTI, **keys: Any) -> EmbeddingClassifier:
    section = EmbeddingSection(kind="embedding", encoder=str(encoder), **keys)
    return EmbeddingClassifier(codebook, section, seed=1).fit(examples_for(codebook, 80), [])


def saved(classifier: EmbeddingClassifier) -> Path:
    folder = Path("model")
    folder.mkdir()
    classifier.save(folder)
    return folder


# -- fitting


def test_it_learns_several_labels_at_once(short_encoder: Path) -> None:
    probabilities = fit(short_encoder).predict_proba(texts_of(UNSEEN))
    assert probabilities.shape == (40, 2)
    assert probabilities.dtype == np.float32
    assert ((probabilities >= 0.5) == gold_of(UNSEEN, ("aid", "truce"))).mean() > 0.9


def test_it_learns_classes_and_none_of_an_exclusive_codebook(short_encoder: Path) -> None:
    unseen = make_examples(120, exclusive=True)[80:]
    probabilities = fit(short_encoder, ONE_OF_OR_NONE).predict_proba(texts_of(unseen))
    classes = np.column_stack([probabilities, 1 - probabilities.sum(axis=1)]).argmax(axis=1)
    gold = gold_of(unseen, ONE_OF_OR_NONE.label_names)
    assert (classes == np.where(gold.any(axis=1), gold.argmax(axis=1), 3)).mean() > 0.9


@CODEBOOKS
def test_no_text_gets_no_row(tiny_encoder: Path, codebook: Codebook) -> None:
    assert fit(tiny_encoder, codebook).predict_proba([]).shape == (0, len(codebook.labels))


def test_validation_is_never_fitted_to(tiny_encoder: Path) -> None:
    section = EmbeddingSection(kind="embedding", encoder=str(tiny_encoder))
    wrong = [replace(example, labels=()) for example in UNSEEN]
    other = EmbeddingClassifier(MULTI, section, seed=1).fit(make_examples(80), wrong)
    expected = fit(tiny_encoder).predict_proba(texts_of(UNSEEN))
    np.testing.assert_allclose(other.predict_proba(texts_of(UNSEEN)), expected, atol=1e-6)


def test_less_regularisation_gives_more_decided_probabilities(short_encoder: Path) -> None:
    texts = texts_of(UNSEEN)
    loose, tight = (fit(short_encoder, C=c).predict_proba(texts) for c in (100.0, 0.01))
    assert np.abs(loose - 0.5).mean() > np.abs(tight - 0.5).mean() + 0.2


def test_balanced_classes_raise_the_probability_of_a_rare_label(short_encoder: Path) -> None:
    rare = [row for i, row in enumerate(make_examples(80)) if row.labels != ("aid", "truce") and (i % 4 or i % 16 == 0)]
    means = []
    for weight in ("balanced", "none"):
        section = EmbeddingSection(kind="embedding", encoder=str(short_encoder), class_weight=weight, C=0.5)
        classifier = EmbeddingClassifier(MULTI, section, seed=1).fit(rare, [])
        means.append(classifier.predict_proba(texts_of(UNSEEN))[:, 0].mean())
    assert means[0] > means[1]


def test_its_settings_reach_the_encoder(tiny_encoder: Path) -> None:
    one, other = fit(tiny_encoder, max_length=8, pooling="mean").predict_proba(
        ["a b c d e f g", "a b c d e f truce truce"]
    )
    assert one.tolist() == other.tolist()
    assert fit(tiny_encoder, max_length=8, pooling="mean").describe()["pooling"] == "mean"


def test_train_is_kept_in_the_cache_and_what_is_predicted_is_not(tiny_encoder: Path) -> None:
    classifier = fit(tiny_encoder)
    (file,) = (cache_folder() / "embeddings").iterdir()
    before = file.read_bytes()
    classifier.predict_proba(texts_of(UNSEEN))
    assert file.read_bytes() == before


def test_validation_is_encoded_once_for_all_that_asks_for_it(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = EmbeddingSection(kind="embedding", encoder=str(tiny_encoder))
    classifier = EmbeddingClassifier(MULTI, section, seed=1).fit(make_examples(40), UNSEEN)
    monkeypatch.setattr(Embedder, "encode", lambda *_: pytest.fail("encoded again"))
    assert classifier.predict_proba(texts_of(UNSEEN)).shape == (40, 2)


def test_it_answers_in_two_steps_as_in_one(short_encoder: Path) -> None:
    classifier = fit(short_encoder)
    assert isinstance(classifier, EncodingClassifier)
    vectors = classifier.embed(texts_of(UNSEEN))
    assert vectors.shape == (40, 384)
    np.testing.assert_array_equal(classifier.predict_embedded(vectors), classifier.predict_proba(texts_of(UNSEEN)))


def test_it_cannot_be_asked_before_it_was_fitted() -> None:
    with pytest.raises(ExperimentError, match="not fitted"):
        EmbeddingClassifier(MULTI, EmbeddingSection(kind="embedding"), seed=1).predict_proba(["a"])


def test_an_encoder_that_is_nowhere_raises_when_it_is_fitted() -> None:
    with pytest.raises(EncoderError, match="nowhere"):
        fit(Path("nowhere"))


# -- saving and loading


@CODEBOOKS
def test_it_comes_back_the_same_without_its_encoder_in_the_folder(short_encoder: Path, codebook: Codebook) -> None:
    classifier = fit(short_encoder, codebook)
    folder = saved(classifier)
    assert sorted(path.name for path in folder.iterdir()) == ["regression.safetensors", "settings.json"]
    again = EmbeddingClassifier.load(folder, codebook)
    np.testing.assert_array_equal(again.predict_proba(texts_of(UNSEEN)), classifier.predict_proba(texts_of(UNSEEN)))
    assert again.describe() == classifier.describe()


def test_it_describes_its_encoder(short_encoder: Path) -> None:
    described = fit(short_encoder).describe()
    assert described.pop("encoder_identity")
    assert described == {"encoder": str(short_encoder), "pooling": "mean", "max_length": 128, "dimensions": 384}


def test_an_encoder_that_was_changed_is_refused(tiny_encoder: Path, isolated: Path) -> None:
    shutil.copytree(tiny_encoder, isolated / "mine")
    folder = saved(fit(isolated / "mine"))
    settings = json.loads((isolated / "mine" / "config.json").read_text(encoding="utf-8"))
    (isolated / "mine" / "config.json").write_text(json.dumps(settings | {"layer_norm_eps": 0.1}), encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"model: the encoder '.*mine' has changed .*\(identity \w{16}, .*Restore"):
        EmbeddingClassifier.load(folder, MULTI)


def test_an_encoder_that_is_gone_is_named(tiny_encoder: Path, isolated: Path) -> None:
    shutil.copytree(tiny_encoder, isolated / "mine")
    folder = saved(fit(isolated / "mine"))
    shutil.rmtree(isolated / "mine")
    with pytest.raises(ArtefactError, match=r"model: .* '.*mine', which is not in the artefact and was not found"):
        EmbeddingClassifier.load(folder, MULTI)


def test_an_encoder_in_a_folder_is_found_from_another_folder(
    tiny_encoder: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_encoder, isolated / "mine")
    folder = saved(fit(Path("mine"))).resolve()
    (isolated / "elsewhere").mkdir()
    monkeypatch.chdir(isolated / "elsewhere")
    assert EmbeddingClassifier.load(folder, MULTI).predict_proba(["a"]).shape == (1, 2)


@CODEBOOKS
def test_a_regression_of_format_1_is_read(short_encoder: Path, codebook: Codebook) -> None:
    classifier = fit(short_encoder, codebook)
    folder = saved(classifier)
    regression = build_regression(exclusive=codebook.exclusive, C=10.0, class_weight="balanced", seed=1)
    rows = examples_for(codebook, 80)
    targets = regression_targets(rows, codebook.label_names, exclusive=codebook.exclusive)
    fit_regression(regression, classifier.embed(texts_of(rows)), targets)
    (folder / "regression.safetensors").unlink()
    dump(regression, folder / "regression.skops")
    again = EmbeddingClassifier.load(folder, codebook)
    np.testing.assert_allclose(
        again.predict_proba(texts_of(UNSEEN)), classifier.predict_proba(texts_of(UNSEEN)), rtol=0, atol=1e-6
    )
