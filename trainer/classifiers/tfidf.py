"""The strong cheap baseline: word and character TF-IDF with logistic regression, saved with skops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from labels.codebook.schema import Codebook
from labels.errors import ExperimentError
from labels.records import Example
from trainer.arrays import Probabilities
from trainer.classifiers.linear import (
    build_regression,
    fit_regression,
    label_probabilities,
    load_estimator,
    regression_targets,
)
from trainer.config.models import TfidfSection

FILE = "pipeline.skops"


_NOTHING_LEFT = ("After pruning, no terms remain", "empty vocabulary", "max_df corresponds to < documents than min_df")
"""How scikit-learn's vectoriser says that no n-gram is left."""


class TfidfClassifier:
    """Word n-grams and character n-grams within words, sublinear TF-IDF, L2 logistic regression.

    Multi-label codebooks: one regression for each label. Exclusive ones: one multinomial regression, with "none" as a
    class of its own where it is allowed.
    """

    needs_calibration = True
    distributed = False
    stops_early = False
    notes: tuple[str, ...] = ()

    def __init__(self, codebook: Codebook, section: TfidfSection, seed: int) -> None:
        self.labels = codebook.label_names
        self._exclusive = codebook.exclusive
        self._section = section
        self._seed = seed
        self.pipeline_: Any = None

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Fit vocabulary, weights and regression.

        Raises:
            ExperimentError: no n-gram stands in `min_df` examples, or they are of one class only.
        """
        self.pipeline_ = self._build()
        targets = regression_targets(examples, self.labels, exclusive=self._exclusive)
        try:
            fit_regression(self.pipeline_, [example.text for example in examples], targets)
        except ValueError as error:
            if not str(error).startswith(_NOTHING_LEFT):
                raise
            raise ExperimentError(
                f"model.min_df = {self._section.min_df}: no n-gram stands in so many of {len(examples)} train examples."
                " Lower it, or check that there are words in the texts."
            ) from error
        return self

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """(n, labels) probabilities of the regression."""
        if not len(texts):
            return np.zeros((0, len(self.labels)), dtype=np.float32)
        return label_probabilities(self.pipeline_, list(texts), len(self.labels), exclusive=self._exclusive)

    def _build(self) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer
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
        regression = build_regression(
            exclusive=self._exclusive, C=section.C, class_weight=section.class_weight, seed=self._seed
        )
        return Pipeline([("features", features), ("regression", regression)])

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
        classifier = cls(codebook, TfidfSection(kind="tfidf"), seed=0)
        classifier.pipeline_ = load_estimator(folder / FILE)
        return classifier

    def describe(self) -> dict[str, Any]:
        """Sizes of the two vocabularies."""
        features = self.pipeline_.named_steps["features"]
        return {"features": {name: len(part.vocabulary_) for name, part in features.transformer_list}}
