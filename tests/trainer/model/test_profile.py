from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from labels.errors import ArtefactError
from trainer.model.model import Model
from trainer.model.profile import Profile, document_sums, estimate_means, make_profile, read_profile

TRAIN = ["Norway pledged aid.", "The envoy urged a truce at noon.", "Rain fell for most of the long morning."]


def small_profile(texts: list[str], documents: list[str] | None = None, assigned: Any = None) -> Profile:
    """The profile of a model with one label, which it assigns as given."""
    found = np.zeros((len(texts), 1), dtype=bool) if assigned is None else np.array(assigned)[:, None]
    probabilities = np.where(found, 0.9, 0.1).astype(np.float32)
    made = make_profile(TRAIN, texts, documents or [str(i) for i in range(len(texts))], ["aid"], probabilities, found)
    assert made is not None
    return made


def means(profile: Profile) -> dict[str, float]:
    return {f"{quantity.family}: {quantity.name}": quantity.mean for quantity in profile.quantities}


def test_training_records_a_profile_of_the_validation_part(tfidf_model: Model) -> None:
    manifest = tfidf_model.manifest
    assert manifest is not None
    profile = read_profile(manifest.profile, tfidf_model.id)
    assert (profile.sentences, profile.documents) == (90, 30)  # 30% of 300 examples, three a document
    found = means(profile)
    assert 0 < found["label: aid"] < 1
    for family in ("certainty", "length"):
        assert sum(mean for name, mean in found.items() if name.startswith(family)) == pytest.approx(1)


def test_profile_has_no_words_and_does_not_change_the_model_id(tfidf_model: Model) -> None:
    manifest = tfidf_model.manifest
    assert manifest is not None
    assert manifest.model_copy(update={"profile": None}).digest == tfidf_model.id
    assert "truce" not in json.dumps(manifest.profile).replace("label", "").replace('"name": "truce"', "")


def test_unknown_words_are_counted_whatever_their_case_and_form() -> None:
    profile = small_profile(["NORWAY pledged nothing", "40 %", "aid \ud800"])
    assert means(profile)["unknown words: share"] == pytest.approx((1 / 3 + 0 + 0) / 3)


def test_measures_are_the_means_of_the_profile() -> None:
    texts = ["Norway pledged aid.", "A truce?", "Rain fell for most of the very long morning."]
    assigned = np.array([[True], [False], [False]])
    profile = small_profile(texts, assigned=assigned[:, 0])
    values = profile.measure(texts, np.where(assigned, 0.9, 0.1).astype(np.float32), assigned)
    assert values.mean(axis=0).tolist() == pytest.approx([quantity.mean for quantity in profile.quantities])


def test_a_model_without_validation_sentences_has_no_profile() -> None:
    empty = np.zeros((0, 1))
    assert make_profile(TRAIN, [], [], ["aid"], empty.astype(np.float32), empty.astype(bool)) is None


def test_long_document_counts_as_twenty_sentences() -> None:
    weight, sums = document_sums(np.array([[1.0]] * 30 + [[0.0]] * 10))
    assert (weight, sums.tolist()) == (20, [15])


def test_interval_widens_if_sentences_of_a_document_are_alike() -> None:
    rng = np.random.default_rng(3)
    documents = [str(number) for number in range(60) for _ in range(10)]
    alike = np.repeat(rng.random(60) < 0.2, 10)[:, None].astype(float)
    apart = rng.permutation(alike)
    (_, many), (_, few) = estimate_means(apart, documents), estimate_means(alike, documents)
    assert 40 < few[0] < 70  # about one independent sentence a document
    assert 400 < many[0] <= 600


def test_rare_label_has_at_least_the_average_design_effect() -> None:
    rng = np.random.default_rng(3)
    documents = [str(number) for number in range(60) for _ in range(10)]
    alike = np.repeat(rng.random(60) < 0.3, 10)
    rare = np.zeros(600)
    rare[[0, 100, 200]] = 1
    _, effective = estimate_means(np.column_stack([alike, rare, np.zeros(600)]), documents)
    assert effective[1] < 150
    assert effective[2] < 150  # a label that never occurs, too


def test_one_document_is_one_observation() -> None:
    _, effective = estimate_means(np.array([[1.0], [0.0], [0.0]]), ["a"] * 3)
    assert effective.tolist() == [1]


@pytest.mark.parametrize(
    ("section", "problem"),
    [(None, "has no profile"), ({"words": 12.5}, r"key `profile\.\w+` of its manifest is not valid")],
    ids=["none", "invalid"],
)
def test_missing_or_invalid_profile_is_named_with_the_repair(section: Any, problem: str) -> None:
    with pytest.raises(ArtefactError, match=rf"model abc.*{problem}.*Train the model again"):
        read_profile(section, "abc")
