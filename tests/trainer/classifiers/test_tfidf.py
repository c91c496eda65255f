from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skops.io import dump

from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import ArtefactError, ExperimentError
from labels.records import Example
from tests.conftest import make_examples
from trainer.classifiers.tfidf import TfidfClassifier
from trainer.config.models import TfidfSection

TEXTS = [example.text for example in make_examples(80)[40:]]


def fitted(codebook: Codebook, rows: list[Example] | None = None, *, seed: int = 1, **keys: Any) -> TfidfClassifier:
    section = TfidfSection(kind="tfidf", **keys)
    return TfidfClassifier(codebook, section, seed).fit(rows or make_examples(40), [])


def one_label() -> Codebook:
    return codebook_from_dict({"name": "one", "labels": [{"name": "aid"}]}, "one")


def only_aid(rows: list[Example]) -> list[Example]:
    return [replace(row, labels=tuple(label for label in row.labels if label == "aid")) for row in rows]


def saved(classifier: TfidfClassifier) -> Path:
    folder = Path("model")
    folder.mkdir()
    classifier.save(folder)
    return folder


# -- fitting


def test_it_learns_several_labels_at_once(codebook: Codebook) -> None:
    probabilities = fitted(codebook).predict_proba(TEXTS)
    gold = [["aid" in example.labels, "truce" in example.labels] for example in make_examples(80)[40:]]
    assert ((probabilities >= 0.5) == np.array(gold)).mean() > 0.9


def test_it_learns_classes_and_none_of_an_exclusive_codebook(exclusive_codebook: Codebook) -> None:
    rows = make_examples(80, exclusive=True)
    probabilities = fitted(exclusive_codebook, rows[:40]).predict_proba([row.text for row in rows[40:]])
    classes = np.column_stack([probabilities, 1 - probabilities.sum(axis=1)])
    names = [("aid",), ("truce",), ("threat",), ()]
    right = [names[best] == row.labels for best, row in zip(classes.argmax(axis=1), rows[40:], strict=True)]
    assert np.mean(right) > 0.9


@pytest.mark.parametrize("exclusive", [False, True])
def test_probabilities_are_float32_in_bounds_one_column_a_label(
    codebook: Codebook, exclusive_codebook: Codebook, exclusive: bool
) -> None:
    book = exclusive_codebook if exclusive else codebook
    probabilities = fitted(book, make_examples(40, exclusive=exclusive)).predict_proba(["", "zzz", *TEXTS])
    assert probabilities.shape == (42, len(book.labels))
    assert probabilities.dtype == np.float32
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    if exclusive:
        assert (probabilities.sum(axis=1) <= 1 + 1e-6).all()


def test_a_codebook_of_one_label_gets_one_column_that_is_its_probability() -> None:
    rows = only_aid(make_examples(60))
    probabilities = fitted(one_label(), rows[:40]).predict_proba([row.text for row in rows[40:]])
    assert probabilities.shape == (20, 1)
    assert ((probabilities[:, 0] >= 0.5) == [row.labels == ("aid",) for row in rows[40:]]).mean() > 0.9


def test_a_class_that_train_lacks_gets_probability_zero(exclusive_codebook: Codebook) -> None:
    rows = [row for row in make_examples(60, exclusive=True) if row.labels != ("truce",)]
    probabilities = fitted(exclusive_codebook, rows).predict_proba(TEXTS)
    assert (probabilities[:, 1] == 0).all()
    assert (probabilities[:, [0, 2]] > 0).all()


def test_no_text_gets_no_row(codebook: Codebook) -> None:
    assert fitted(codebook).predict_proba([]).shape == (0, 2)


def test_the_same_seed_and_data_fit_the_same_model(codebook: Codebook) -> None:
    first, second = fitted(codebook, seed=3), fitted(codebook, seed=3)
    assert (first.predict_proba(TEXTS) == second.predict_proba(TEXTS)).all()


def test_validation_is_never_fitted_to(codebook: Codebook) -> None:
    section, rows = TfidfSection(kind="tfidf"), make_examples(40)
    wrong = [replace(row, labels=()) for row in make_examples(80)[40:]]
    with_validation = TfidfClassifier(codebook, section, 1).fit(rows, wrong)
    assert (with_validation.predict_proba(TEXTS) == fitted(codebook).predict_proba(TEXTS)).all()


# -- the keys of its section


def word_ngrams(texts: list[str], longest: int) -> set[str]:
    grams = set()
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        grams |= {" ".join(words[i : i + n]) for n in range(1, longest + 1) for i in range(len(words) - n + 1)}
    return grams


def char_ngrams(texts: list[str], longest: int) -> set[str]:
    """N-grams from 2 characters within words, each word padded with a space; short words count whole."""
    grams = set()
    for text in texts:
        for word in text.lower().split():
            padded = f" {word} "
            for n in range(2, longest + 1):
                grams |= {padded[i : i + n] for i in range(max(len(padded) - n, 0) + 1)}
    return grams


@pytest.mark.parametrize(("words", "characters"), [(1, 2), (2, 4), (3, 3)])
def test_the_lengths_of_ngrams_are_those_of_the_experiment(codebook: Codebook, words: int, characters: int) -> None:
    texts = [example.text for example in make_examples(40)]
    described = fitted(codebook, word_ngrams=words, char_ngrams=characters).describe()
    assert described == {
        "features": {"words": len(word_ngrams(texts, words)), "characters": len(char_ngrams(texts, characters))}
    }


def test_rare_ngrams_are_left_out(codebook: Codebook) -> None:
    texts = [example.text for example in make_examples(40)]
    frequent = [gram for gram in word_ngrams(texts, 2) if sum(gram in word_ngrams([text], 2) for text in texts) >= 3]
    assert fitted(codebook, min_df=3).describe()["features"]["words"] == len(frequent)


@pytest.mark.parametrize("min_df", [2, 500])
def test_leaving_out_all_ngrams_raises_and_names_the_key(codebook: Codebook, min_df: int) -> None:
    rows = [replace(example, text=chr(0x4E00 + i) * 2) for i, example in enumerate(make_examples(80))]
    with pytest.raises(ExperimentError, match=rf"model\.min_df = {min_df}: .* of 80 train examples\. Lower it"):
        fitted(codebook, rows, min_df=min_df)


def test_texts_without_a_word_raise_with_the_repair(codebook: Codebook) -> None:
    with pytest.raises(ExperimentError, match="check that there are words in the texts"):
        fitted(codebook, [replace(example, text="!!!") for example in make_examples(80)])


def test_accents_do_not_matter(codebook: Codebook) -> None:
    classifier = fitted(codebook)
    plain, accented = classifier.predict_proba(["Oslo pledged winter fuel", "Óslo plédged wintér fuel"])
    assert plain == pytest.approx(accented)


def test_balanced_classes_raise_the_probability_of_a_rare_label(codebook: Codebook) -> None:
    rare = [row for i, row in enumerate(make_examples(80)) if row.labels != ("aid", "truce") and (i % 4 or i % 16 == 0)]
    balanced, plain = (fitted(codebook, rare, class_weight=w, C=0.5).predict_proba(TEXTS) for w in ("balanced", "none"))
    assert balanced[:, 0].mean() > plain[:, 0].mean()


def test_less_regularisation_gives_more_decided_probabilities(codebook: Codebook) -> None:
    loose, tight = (fitted(codebook, C=c).predict_proba(TEXTS) for c in (100.0, 0.01))
    assert np.abs(loose - 0.5).mean() > np.abs(tight - 0.5).mean() + 0.2


# -- saving and loading


@pytest.mark.parametrize("exclusive", [False, True])
def test_it_is_saved_with_skops_and_comes_back_the_same(
    codebook: Codebook, exclusive_codebook: Codebook, exclusive: bool
) -> None:
    book = exclusive_codebook if exclusive else codebook
    classifier = fitted(book, make_examples(40, exclusive=exclusive))
    folder = saved(classifier)
    assert [path.name for path in folder.iterdir()] == ["pipeline.skops"]
    again = TfidfClassifier.load(folder, book)
    assert again.labels == book.label_names
    assert (again.predict_proba(TEXTS) == classifier.predict_proba(TEXTS)).all()


@pytest.mark.filterwarnings("ignore:Label .* is present in all training examples:UserWarning")
def test_a_label_that_all_of_train_bears_can_be_saved_and_loaded(codebook: Codebook) -> None:
    rows = [
        replace(row, labels=("aid", *row.labels) if "aid" not in row.labels else row.labels)
        for row in make_examples(40)
    ]
    classifier = fitted(codebook, rows)
    again = TfidfClassifier.load(saved(classifier), codebook)
    assert (again.predict_proba(TEXTS) == classifier.predict_proba(TEXTS)).all()
    assert again.predict_proba(TEXTS)[:, 0] == pytest.approx(1)


class Stranger:
    """A type that skops does not trust."""

    def __init__(self) -> None:
        self.value = 3


def test_a_file_with_a_type_that_is_not_trusted_is_refused_and_named(codebook: Codebook) -> None:
    Path("model").mkdir()
    dump({"pipeline": Stranger()}, Path("model/pipeline.skops"))
    with pytest.raises(ArtefactError, match=r"pipeline\.skops: it holds types that are not trusted: .*Stranger"):
        TfidfClassifier.load(Path("model"), codebook)
