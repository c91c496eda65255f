from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.codebook.schema import Codebook, codebook_from_dict, dump_codebook
from labels.errors import ExperimentError
from labels.records import Example
from tests.conftest import make_examples
from tests.lazy import Lazy
from trainer.classifiers.linear import build_regression, fit_regression, regression_targets
from trainer.classifiers.tfidf import TfidfClassifier
from trainer.config.models import TfidfSection

dump = Lazy("skops.io:dump")
Pipeline = Lazy("sklearn.pipeline:Pipeline")

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
    assert probabilities[:, 1] == pytest.approx(0, abs=1e-9)
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
    with pytest.raises(ExperimentError, match=rf"model\.min_df = {min_df}: .* of the 80 train examples\. Lower model"):
        fitted(codebook, rows, min_df=min_df)


def test_texts_without_a_word_raise_with_the_repair(codebook: Codebook) -> None:
    with pytest.raises(ExperimentError, match="check that the texts contain words"):
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
def test_it_is_saved_as_plain_data_and_comes_back_the_same(
    codebook: Codebook, exclusive_codebook: Codebook, exclusive: bool
) -> None:
    book = exclusive_codebook if exclusive else codebook
    classifier = fitted(book, make_examples(40, exclusive=exclusive))
    folder = saved(classifier)
    assert sorted(path.name for path in folder.iterdir()) == ["vocabulary.json", "weights.safetensors"]
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


def pipeline_and_classifier(exclusive: bool, codebook: Codebook, **keys: Any) -> tuple[Any, TfidfClassifier]:
    """The same thing twice: scikit-learn's own pipeline, and the classifier, fitted to the same rows."""
    rows = make_examples(40 + len(ODD), exclusive=exclusive)
    rows[40:] = [replace(row, text=text) for row, text in zip(rows[40:], ODD, strict=True)]
    classifier = TfidfClassifier(codebook, TfidfSection(kind="tfidf", **keys), 1)
    regression = build_regression(exclusive=exclusive, C=10.0, class_weight="balanced", seed=1)
    pipeline = Pipeline([("features", classifier._vectorisers()), ("regression", regression)])
    targets = regression_targets(rows, codebook.label_names, exclusive=exclusive)
    fit_regression(pipeline, [row.text for row in rows], targets)
    return pipeline, classifier.fit(rows, [])


ODD = [
    "",
    " ",
    "\u2028",
    "a",
    "İstanbul, ŞİŞLİ: ﬁne ½ Ⅷ ǆ ß ẞ",
    "U\u0308nïcödé e\u0301",
    "日本語 の文 中文字",
    "نص عربي",
    "a\u00a0b\u2003c\x1cd",
    "\ud800 alone",
    "war war war " * 50,
    "x" * 3000,
    "don't stop_it, 3.5% of 1,000!",
    "zero\u200bwidth\u200djoined 👩\u200d🚀",
    "tab\tand\r\nline",
]


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize(
    "keys", [{}, {"word_ngrams": 3, "char_ngrams": 6}, {"word_ngrams": 1, "char_ngrams": 2, "min_df": 2}]
)
def test_probabilities_are_those_of_scikit_learn(
    codebook: Codebook, exclusive_codebook: Codebook, exclusive: bool, keys: dict[str, int]
) -> None:
    book = exclusive_codebook if exclusive else codebook
    pipeline, classifier = pipeline_and_classifier(exclusive, book, **keys)
    texts = [*ODD, *TEXTS, *(first + second for first, second in zip(TEXTS, reversed(ODD), strict=False))]
    expected = pipeline.predict_proba(texts)[:, : len(book.labels)]
    np.testing.assert_allclose(classifier.predict_proba(texts), expected, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def both() -> tuple[Any, TfidfClassifier]:
    book = codebook_from_dict({"name": "two", "labels": [{"name": "aid"}, {"name": "truce"}]}, "two")
    return pipeline_and_classifier(False, book, word_ngrams=3, char_ngrams=5)


PIECES = st.sampled_from(["pledged", "Oslo", "a cease-fire", "É", "e\u0301", "中", "\u00a0", "\n", "_", "0", "ﬁ", "İ"])


@given(st.lists(st.lists(st.one_of(PIECES, st.characters(), st.just(" ")), max_size=30).map("".join), max_size=5))
def test_any_text_is_read_as_scikit_learn_reads_it(both: tuple[Any, TfidfClassifier], texts: list[str]) -> None:
    pipeline, classifier = both
    assert classifier.scorer_ is not None
    if not texts:  # scikit-learn refuses to read nothing
        assert classifier.predict_proba(texts).shape == (0, 2)
        return
    features = pipeline.named_steps["features"].transform(texts)
    assert abs(features - classifier.scorer_.features(texts)).max() < 1e-6
    np.testing.assert_allclose(classifier.predict_proba(texts), pipeline.predict_proba(texts), rtol=0, atol=1e-6)


def test_chunks_and_forgotten_words_change_nothing(codebook: Codebook, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = fitted(codebook)
    together = classifier.predict_proba(TEXTS)
    monkeypatch.setattr("trainer.classifiers.tfidf._CHUNK", 7)
    monkeypatch.setattr("trainer.classifiers.tfidf._MOST_KNOWN", 10)
    np.testing.assert_allclose(fitted(codebook).predict_proba(TEXTS), together, rtol=0, atol=1e-7)


def test_predicting_imports_neither_scikit_learn_nor_skops(codebook: Codebook) -> None:
    folder = saved(fitted(codebook))
    (folder.parent / "codebook.toml").write_text(dump_codebook(codebook), encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from labels.codebook.schema import load_codebook; "
        "from trainer.classifiers.tfidf import TfidfClassifier; "
        "model = TfidfClassifier.load(Path('model'), load_codebook(Path('codebook.toml'))); "
        "print(model.predict_proba(['Oslo pledged aid.']).shape, {'sklearn', 'skops', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1, 2) set()"


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_pipeline_of_format_1_is_read(codebook: Codebook, exclusive_codebook: Codebook, exclusive: bool) -> None:
    book = exclusive_codebook if exclusive else codebook
    pipeline, _ = pipeline_and_classifier(exclusive, book)
    Path("model").mkdir()
    dump(pipeline, Path("model/pipeline.skops"))
    again = TfidfClassifier.load(Path("model"), book)
    expected = pipeline.predict_proba(TEXTS)[:, : len(book.labels)]
    np.testing.assert_allclose(again.predict_proba(TEXTS), expected, rtol=0, atol=1e-6)


def test_a_classifier_that_was_not_fitted_says_so(codebook: Codebook) -> None:
    with pytest.raises(ExperimentError, match="not fitted"):
        TfidfClassifier(codebook, TfidfSection(kind="tfidf"), 1).predict_proba(["x"])
