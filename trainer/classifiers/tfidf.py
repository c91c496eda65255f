"""The strong cheap baseline: word and character TF-IDF with logistic regression, saved with skops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from labels.codebook import Codebook
from labels.records import Example
from trainer.classifiers.base import Probabilities, Progress, class_indices, label_matrix, without_none
from trainer.config import TfidfSection
from trainer.errors import ArtefactError, ExperimentError

FILE = "pipeline.skops"
TRUSTED: tuple[str, ...] = ("sklearn.multiclass._ConstantPredictor",)
"""Types beyond skops's own allow-list that the file may hold: scikit-learn's answer for a label that all bear."""


class TfidfClassifier:
    """Word 1-2-grams and character 2-4-grams within words, sublinear TF-IDF, L2 logistic regression.

    Multi-label codebooks: one regression for each label. Exclusive ones: one multinomial regression, with "none" as a
    class of its own where it is allowed.
    """

    needs_calibration = True

    def __init__(self, codebook: Codebook, section: TfidfSection, seed: int, progress: Progress | None = None) -> None:
        self.labels = codebook.label_names
        self._exclusive = codebook.exclusive
        self._section = section
        self._seed = seed
        self.pipeline_: Any = None

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Fit vocabulary, weights and regression."""
        gold = label_matrix(examples, self.labels)
        self.pipeline_ = self._build()
        if self._section.min_df > len(examples):
            raise ExperimentError(
                f"model.min_df = {self._section.min_df}: there are only {len(examples)} train examples, so that no "
                "n-gram is left. Lower it."
            )
        self.pipeline_.fit([example.text for example in examples], class_indices(gold) if self._exclusive else gold)
        return self

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """(n, labels) probabilities of the regression."""
        if not len(texts):
            return np.zeros((0, len(self.labels)), dtype=np.float32)
        probabilities = np.asarray(self.pipeline_.predict_proba(list(texts)))
        if not self._exclusive:
            # Of a single label scikit-learn gives both columns, "not" first.
            return probabilities[:, -len(self.labels) :].astype(np.float32)
        full = np.zeros((len(texts), len(self.labels) + 1))
        full[:, self.pipeline_.classes_] = probabilities
        return without_none(full, len(self.labels))

    def _build(self) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.pipeline import FeatureUnion, Pipeline

        section = self._section
        shared = {"sublinear_tf": True, "strip_accents": "unicode", "min_df": section.min_df, "dtype": np.float32}
        features = FeatureUnion(
            [
                (
                    "words",
                    TfidfVectorizer(ngram_range=(1, section.word_ngrams), token_pattern=r"(?u)\b\w+\b", **shared),
                ),
                ("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, section.char_ngrams), **shared)),
            ]
        )
        regression = LogisticRegression(
            C=section.C,
            class_weight=None if section.class_weight == "none" else section.class_weight,
            max_iter=1000,
            random_state=self._seed,
        )
        return Pipeline(
            [
                ("features", features),
                ("regression", regression if self._exclusive else OneVsRestClassifier(regression)),
            ]
        )

    def save(self, folder: Path) -> None:
        """Write `pipeline.skops`."""
        from skops.io import dump

        dump(self.pipeline_, folder / FILE)

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Read `pipeline.skops`, after its types were held against skops's allow-list.

        Raises:
            ArtefactError: the file holds a type that is not allowed.
        """
        from skops.io import get_untrusted_types
        from skops.io import load as skops_load

        unknown = sorted(set(get_untrusted_types(file=folder / FILE)) - set(TRUSTED))
        if unknown:
            raise ArtefactError(
                f"{folder / FILE}: it holds types that are not trusted: {', '.join(unknown)}. "
                "It was not loaded; train the model again."
            )
        classifier = cls(codebook, TfidfSection(kind="tfidf"), seed=0)
        classifier.pipeline_ = skops_load(folder / FILE, trusted=list(TRUSTED))
        return classifier

    def describe(self) -> dict[str, Any]:
        """Sizes of the two vocabularies."""
        features = self.pipeline_.named_steps["features"]
        return {"features": {name: len(part.vocabulary_) for name, part in features.transformer_list}}
