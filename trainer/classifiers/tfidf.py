"""The strong cheap baseline: TF-IDF of word and character n-grams with logistic regression.

scikit-learn fits it. What was fitted is kept as vocabularies, weights and biases, and predicted with numpy and scipy
alone: importing scikit-learn takes longer than predicting some thousand sentences.
"""

from __future__ import annotations

import json
import re
import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import filterfalse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from labels.codebook.schema import Codebook
from labels.errors import ExperimentError
from labels.records import Example
from trainer.calibration.calibration import Probabilities
from trainer.classifiers.base import fitted
from trainer.classifiers.linear import LinearClassifier, LinearLayer, read_skops
from trainer.config.models import TfidfSection

if TYPE_CHECKING:
    from scipy.sparse import csr_array

VOCABULARY, WEIGHTS = "vocabulary.json", "weights.safetensors"
PARTS = ("words", "characters")

_FORMAT_1 = "pipeline.skops"
_CHUNK = 1024
_MOST_KNOWN, _LONGEST_KNOWN = 100_000, 40
"""So many words' n-grams are remembered, but not those of longer "words" such as addresses: some 20 MB in all."""
_TOKEN = re.compile(r"(?u)\b\w+\b")
_NOTHING_LEFT = ("After pruning, no terms remain", "empty vocabulary", "max_df corresponds to < documents than min_df")
"""How scikit-learn's vectoriser begins its message that no n-gram is left."""


class TfidfClassifier(LinearClassifier):
    """Word n-grams and character n-grams within words, sublinear TF-IDF, L2 logistic regression."""

    _section: TfidfSection
    scorer_: Scorer | None = None

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Fit vocabulary, weights and regression.

        Raises:
            ExperimentError: no n-gram occurs in `min_df` examples, or all examples are of one class.
        """
        targets = self._targets(examples)
        union = self._vectorisers()
        try:
            features = union.fit_transform([example.text for example in examples])
        except ValueError as error:
            if not str(error).startswith(_NOTHING_LEFT):
                raise
            raise ExperimentError(
                f"model.min_df = {self._section.min_df}: no n-gram occurs in that many of {len(examples)} train "
                "examples. Lower it, or check that there are words in the texts."
            ) from error
        self.scorer_ = Scorer.of(union, self._fit_layer(features, targets))
        return self

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """(n, labels) probabilities of the regression."""
        return self._probabilities(fitted(self.scorer_).logits(texts))

    def _vectorisers(self) -> Any:
        """scikit-learn's two vectorisers side by side, not fitted yet."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import FeatureUnion

        section = self._section
        shared = {"sublinear_tf": True, "strip_accents": "unicode", "min_df": section.min_df, "dtype": np.float32}
        words = TfidfVectorizer(ngram_range=(1, section.word_ngrams), token_pattern=_TOKEN.pattern, **shared)
        characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, section.char_ngrams), **shared)
        return FeatureUnion(list(zip(PARTS, (words, characters), strict=True)))

    def save(self, folder: Path) -> None:
        """Write `vocabulary.json` (n-grams in the order of the weights' columns) and `weights.safetensors`."""
        fitted(self.scorer_).save(folder)

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Read what `save` wrote, or the `pipeline.skops` of a format 1 artefact.

        Raises:
            ArtefactError: `pipeline.skops` names a type that communique never wrote.
        """
        classifier = cls(codebook, TfidfSection(kind="tfidf"), seed=0)
        if (folder / _FORMAT_1).is_file():
            steps = read_skops(folder / _FORMAT_1).named_steps
            classifier.scorer_ = Scorer.of(steps["features"], classifier._layer_of(steps["regression"]))
        else:
            classifier.scorer_ = Scorer.load(folder)
        return classifier

    def describe(self) -> dict[str, Any]:
        """Sizes of the two vocabularies."""
        scorer = fitted(self.scorer_)
        return {"features": {"words": len(scorer.words.terms), "characters": len(scorer.characters.terms)}}


@dataclass(frozen=True)
class Vocabulary:
    """N-grams of one sort: terms in the order of their columns, the longest n, and (terms,) their idf weights."""

    terms: tuple[str, ...]
    longest: int
    idf: NDArray[np.float32]


class Scorer:
    """A fitted pipeline of scikit-learn as plain data; its probabilities differ from the pipeline's by less than 1e-6.

    Texts are taken apart as by `TfidfVectorizer` with `strip_accents="unicode"`, for words with our token pattern, for
    characters with the analyzer "char_wb" (https://scikit-learn.org/stable/modules/feature_extraction.html).
    """

    def __init__(self, words: Vocabulary, characters: Vocabulary, layer: LinearLayer) -> None:
        self.words, self.characters, self.layer = words, characters, layer
        # Columns of both sorts side by side, words first, as the pipeline's FeatureUnion has them.
        self._word_columns = {term: column for column, term in enumerate(words.terms)}
        self._character_columns = {term: column for column, term in enumerate(characters.terms, len(words.terms))}
        self._idf = np.concatenate([words.idf, characters.idf])
        self._known: dict[str, array[int]] = {}

    @classmethod
    def of(cls, union: Any, layer: LinearLayer) -> Self:
        """The scorer of fitted vectorisers, and of the layer on their features."""
        words, characters = (
            Vocabulary(tuple(part.get_feature_names_out()), part.ngram_range[1], part.idf_)
            for _, part in union.transformer_list
        )
        return cls(words, characters, layer)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, outputs); memory for features does not grow with the number of texts."""
        found = np.zeros((len(texts), len(self.layer.bias)), dtype=np.float32)
        for start in range(0, len(texts), _CHUNK):
            found[start : start + _CHUNK] = self.layer.logits(self.features(texts[start : start + _CHUNK]))
        return found

    def features(self, texts: Sequence[str]) -> csr_array:
        """(n, words + characters) sublinear TF-IDF; each row's words and characters are scaled to length 1."""
        from scipy.sparse import csr_array

        # The columns of all texts one after the other, and where each text ends: what a CSR matrix is made of.
        columns, ends = array("i"), [0]
        for text in texts:
            plain = _without_accents(text.lower())
            columns.extend(self._columns_of_words(plain))
            for word in plain.split():
                columns.extend(self._columns_within(word))
            ends.append(len(columns))
        ones = np.ones(len(columns), dtype=np.float32)
        matrix = csr_array((ones, np.array(columns, dtype=np.int32), ends), shape=(len(texts), len(self._idf)))
        matrix.sum_duplicates()  # ones become counts
        weights = (np.log(matrix.data) + 1) * self._idf[matrix.indices]
        # The two halves of each row, words and characters, are numbered 0, 1, 2, ... over all rows.
        halves = 2 * np.repeat(np.arange(len(texts)), np.diff(matrix.indptr))
        halves += matrix.indices >= len(self.words.terms)
        lengths = np.sqrt(np.bincount(halves, weights=weights.astype(np.float64) ** 2))
        matrix.data = np.asarray(weights / lengths[halves], dtype=np.float32)
        return matrix

    def _columns_of_words(self, plain: str) -> list[int]:
        # Not by set: a term counts as often as it occurs.
        tokens = grams = _TOKEN.findall(plain)
        for n in range(2, self.words.longest + 1):
            grams = grams + [" ".join(gram) for gram in zip(*(tokens[i:] for i in range(n)), strict=False)]
        return [column for column in map(self._word_columns.get, grams) if column is not None]

    def _columns_within(self, word: str) -> array[int]:
        """Columns of a word's character n-grams. A corpus repeats its words, so they are looked up only once."""
        known = self._known.get(word)
        if known is None:
            padded = f" {word} "
            # A word shorter than n counts whole, but only once.
            lengths = range(2, min(self.characters.longest, len(padded)) + 1)
            grams = (padded[i : i + n] for n in lengths for i in range(len(padded) - n + 1))
            known = array("i", [column for column in map(self._character_columns.get, grams) if column is not None])
            if len(word) <= _LONGEST_KNOWN:
                # Emptied at once: frequent words are back after a few texts, and no order of use has to be kept.
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[word] = known
        return known

    def save(self, folder: Path) -> None:
        """Write `vocabulary.json` and `weights.safetensors`."""
        from safetensors.numpy import save_file

        parts = dict(zip(PARTS, (self.words, self.characters), strict=True))
        content = {name: {"longest": part.longest, "terms": part.terms} for name, part in parts.items()}
        (folder / VOCABULARY).write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
        idf = {f"{name}.idf": part.idf for name, part in parts.items()}
        save_file(idf | {"weight": self.layer.weight, "bias": self.layer.bias}, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        from safetensors.numpy import load_file

        content = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
        words, characters = (
            Vocabulary(tuple(content[name]["terms"]), int(content[name]["longest"]), tensors[f"{name}.idf"])
            for name in PARTS
        )
        return cls(words, characters, LinearLayer(tensors["weight"], tensors["bias"]))


def _without_accents(text: str) -> str:
    if text.isascii():  # most sentences: normalising is slow
        return text
    return "".join(filterfalse(unicodedata.combining, unicodedata.normalize("NFKD", text)))
