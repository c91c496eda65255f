from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import ExperimentError
from labels.records import Example
from tests.conftest import make_examples
from trainer.classifiers.baselines import KeywordsClassifier
from trainer.config.models import KeywordsSection

NO_CUE, ONE_CUE, TWO_CUES = "Rain fell.", "Oslo pledged fuel.", "Oslo pledged it and will send it."


def fitted(codebook: Codebook, rows: list[Example], validation: list[Example] | None = None) -> KeywordsClassifier:
    return KeywordsClassifier(codebook, KeywordsSection(kind="keywords"), seed=1).fit(rows, validation or [])


def rows(*counts: tuple[str, int, int]) -> list[Example]:
    """For each (text, n, held): n examples of the text, of which the first `held` bear `aid`."""
    return [
        Example(f"{text}{i}", f"{text}{i}", text, ("aid",) if i < held else ())
        for text, n, held in counts
        for i in range(n)
    ]


def aid(classifier: KeywordsClassifier, text: str) -> float:
    return float(classifier.predict_proba([text])[0, 0])


def test_a_probability_is_how_often_the_label_holds_at_that_number_of_cues(codebook: Codebook) -> None:
    classifier = fitted(codebook, rows((NO_CUE, 500, 10), (ONE_CUE, 500, 200), (TWO_CUES, 500, 450)))
    found = [aid(classifier, text) for text in (NO_CUE, ONE_CUE, TWO_CUES)]
    assert found == pytest.approx([0.02, 0.4, 0.9], abs=0.01)


def test_the_rate_of_few_sentences_is_drawn_to_the_frequency_of_the_label(codebook: Codebook) -> None:
    classifier = fitted(codebook, rows((NO_CUE, 80, 0), (ONE_CUE, 1, 1)))
    assert 1 / 81 < aid(classifier, ONE_CUE) < 0.9


def test_a_number_of_cues_that_train_never_shows_gets_no_less_than_fewer_cues(codebook: Codebook) -> None:
    classifier = fitted(codebook, rows((NO_CUE, 50, 5), (ONE_CUE, 50, 40)))
    assert aid(classifier, TWO_CUES) >= aid(classifier, ONE_CUE)


def test_more_than_two_cues_count_like_two_and_the_same_cue_counts_once(codebook: Codebook) -> None:
    content = {"name": "x", "labels": [{"name": "aid", "cues": ["pledg*", "will send", "fuel"]}]}
    three = codebook_from_dict(content, "x")
    texts = ("pledged fuel", "pledged fuel and will send it", "pledged and pledged", "pledged", NO_CUE)
    classifier = fitted(three, rows((texts[0], 9, 9), (texts[3], 9, 4), (NO_CUE, 9, 0)))
    two, more, twice, one, none = (aid(classifier, text) for text in texts)
    assert two == more > twice == one > none


def test_cues_count_however_they_are_typed() -> None:
    content = {"name": "x", "labels": [{"name": "aid", "cues": ["won't", "cease-fire"]}]}
    book = codebook_from_dict(content, "x")
    classifier = fitted(book, rows(("They won't.", 9, 5), ("They won't keep the cease-fire.", 9, 9), (NO_CUE, 9, 0)))
    for typed in ("They won’t.", "They won＇t.", "They\u00a0won\u2019t."):
        assert aid(classifier, typed) == aid(classifier, "They won't.")
    assert aid(classifier, "They won’t keep the cease\u2011ﬁre.") == aid(classifier, "They won't keep the cease-fire.")


def test_labels_without_cues_get_their_frequency(codebook: Codebook) -> None:
    partly = codebook_from_dict({"name": "x", "labels": [{"name": "aid", "cues": ["pledg*"]}, {"name": "truce"}]}, "x")
    examples = make_examples(40)
    expected = sum("truce" in example.labels for example in examples) / 40
    assert fitted(partly, examples).predict_proba([NO_CUE, "A truce!"])[:, 1] == pytest.approx([expected] * 2)


def test_a_codebook_without_any_cue_raises_with_the_repair(exclusive_codebook: Codebook) -> None:
    with pytest.raises(ExperimentError, match=r"no label of codebook 'one-of' has cues\. Add `cues"):
        KeywordsClassifier(exclusive_codebook, KeywordsSection(kind="keywords"), seed=1)


def test_rows_of_an_exclusive_codebook_sum_to_at_most_one() -> None:
    labels = [{"name": name, "cues": [cue]} for name, cue in (("aid", "pledg*"), ("truce", "cease*"))]
    both = codebook_from_dict({"name": "x", "exclusive": True, "allow_none": True, "labels": labels}, "x")
    text = "They pledged a ceasefire."
    train = [
        Example(f"{i}", f"{i}", f"{word}.", (name,))
        for i in range(50)
        for name, word in (("aid", "pledged"), ("truce", "ceasefire"))
    ]
    probabilities = fitted(both, train).predict_proba([text, NO_CUE])
    assert (probabilities.sum(axis=1) <= 1 + 1e-6).all()
    assert probabilities[0] == pytest.approx([0.5, 0.5], abs=0.01)


def test_validation_is_never_fitted_to(codebook: Codebook) -> None:
    train = make_examples(40)
    alone = fitted(codebook, train).predict_proba([ONE_CUE])
    assert (fitted(codebook, train, rows((ONE_CUE, 90, 0))).predict_proba([ONE_CUE]) == alone).all()


def test_it_is_saved_as_plain_json_and_comes_back_the_same(codebook: Codebook) -> None:
    Path("model").mkdir()
    classifier = fitted(codebook, make_examples(40))
    classifier.save(Path("model"))
    assert [path.name for path in Path("model").iterdir()] == ["rates.json"]
    texts = [example.text for example in make_examples(80)]
    again = KeywordsClassifier.load(Path("model"), codebook)
    assert (again.predict_proba(texts) == classifier.predict_proba(texts)).all()


def test_no_text_gets_no_row_and_the_description_counts_cues(codebook: Codebook) -> None:
    classifier = fitted(codebook, make_examples(40))
    assert classifier.predict_proba([]).shape == (0, 2)
    assert classifier.predict_proba([NO_CUE]).dtype == np.float32
    assert classifier.needs_calibration
    assert classifier.describe() == {"cues": {"aid": 2, "truce": 1}}
