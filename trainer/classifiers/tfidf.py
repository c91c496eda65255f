"""Fit a strong, cheap baseline: logistic regression on TF-IDF features of word and character n-grams.

scikit-learn fits the model, which is then stored as vocabularies, weights and biases. Prediction uses only numpy and
scipy, because importing scikit-learn takes longer than predicting several thousand sentences.
"""

from __future__ import annotations

import json
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import filterfalse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from labels.codebook.schema import Codebook
from labels.errors import ExperimentError
from labels.records import Example
from labels.unicode import undivided
from trainer.calibration.calibration import Probabilities
from trainer.classifiers.base import fitted
from trainer.classifiers.explanations import Explanation, Pause, Words, explained_outputs
from trainer.classifiers.linear import LinearClassifier, LinearLayer, read_skops
from trainer.config.models import TfidfSection

if TYPE_CHECKING:
    from scipy.sparse import csr_array

VOCABULARY, WEIGHTS = "vocabulary.json", "weights.safetensors"
PARTS = ("words", "characters")

_FORMAT_1 = "pipeline.skops"
_CHUNK = 1024
_MOST_KNOWN, _LONGEST_KNOWN = 100_000, 40
"""Number of words in the cache of n-grams (about 20 MB), and length of the longest (to exclude web addresses)."""
_TOKEN = re.compile(r"(?u)\b\w+\b")
_NOTHING_LEFT = ("After pruning, no terms remain", "empty vocabulary", "max_df corresponds to < documents than min_df")
"""Beginnings of scikit-learn's error messages for an empty vocabulary."""


class TfidfClassifier(LinearClassifier):
    """L2 logistic regression on sublinear TF-IDF features of word n-grams and of character n-grams within words."""

    _section: TfidfSection
    scorer_: Scorer | None = None

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Fit vocabularies, TF-IDF weights and regression.

        Raises:
            ExperimentError: no n-gram occurs in at least `min_df` examples, or all examples are of one class.
        """
        targets = self._targets(examples)
        union = self._vectorisers()
        try:
            features = union.fit_transform([undivided(example.text) for example in examples])
        except ValueError as error:
            if not str(error).startswith(_NOTHING_LEFT):
                raise
            raise ExperimentError(
                f"model.min_df = {self._section.min_df}: no n-gram occurs in enough of the {len(examples)} train "
                "examples. Lower model.min_df, or check that the texts contain words."
            ) from error
        self.scorer_ = Scorer.of(union, self._fit_layer(features, targets, examples))
        return self

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return (n, labels) probabilities from the regression."""
        return self._probabilities(fitted(self.scorer_).logits(texts))

    def why_not_explained(self) -> str:
        """Return an empty string: all predictions can be explained, because the n-gram weights add up to the logit."""
        return ""

    def explain(self, text: str, columns: Sequence[int], pause: Pause) -> list[Explanation]:
        """Return exact explanations.

        The weight of an n-gram is divided equally among its occurrences, and then among the words of each occurrence. A
        character n-gram counts for the word that contains it.
        """
        pause()
        scorer, words = fitted(self.scorer_), Words(text)
        totals = np.zeros((len(words), len(columns)))
        for column, share, places in scorer.shares(text):
            weights = explained_outputs(scorer.layer.weight[:, column], columns, exclusive=self._exclusive)
            for place in places:
                totals[words.word_at(place)] += share * weights
        logits = explained_outputs(scorer.logits([text])[0], columns, exclusive=self._exclusive)
        biases = explained_outputs(scorer.layer.bias, columns, exclusive=self._exclusive)
        deltas = logits - biases - totals.sum(axis=0)
        return [
            Explanation(
                self.labels[column],
                "terms",
                float(logits[i]),
                float(biases[i]),
                words.spans(totals[:, i]),
                delta=float(deltas[i]),
            )
            for i, column in enumerate(columns)
        ]

    def _vectorisers(self) -> Any:
        """Make an unfitted `FeatureUnion` of the word and character vectorisers."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import FeatureUnion

        section = self._section
        shared = {"sublinear_tf": True, "strip_accents": "unicode", "min_df": section.min_df, "dtype": np.float32}
        words = TfidfVectorizer(ngram_range=(1, section.word_ngrams), token_pattern=_TOKEN.pattern, **shared)
        characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, section.char_ngrams), **shared)
        return FeatureUnion(list(zip(PARTS, (words, characters), strict=True)))

    def save(self, folder: Path) -> None:
        """Write `vocabulary.json` (n-grams in the column order of the weights) and `weights.safetensors`."""
        fitted(self.scorer_).save(folder)

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Load files written by `save`, or the `pipeline.skops` of a format 1 artefact.

        Raises:
            ArtefactError: `pipeline.skops` contains a type that communique never wrote.
        """
        classifier = cls(codebook, TfidfSection(kind="tfidf"), seed=0)
        if (folder / _FORMAT_1).is_file():
            steps = read_skops(folder / _FORMAT_1).named_steps
            classifier.scorer_ = Scorer.of(steps["features"], classifier._layer_of(steps["regression"]))
        else:
            classifier.scorer_ = Scorer.load(folder)
        return classifier

    def describe(self) -> dict[str, Any]:
        """Return the sizes of the word and character vocabularies."""
        scorer = fitted(self.scorer_)
        return {"features": {"words": len(scorer.words.terms), "characters": len(scorer.characters.terms)}}


@dataclass(frozen=True)
class Vocabulary:
    """Word or character n-grams: terms in column order, the longest n, and idf weights of shape (terms,)."""

    terms: tuple[str, ...]
    longest: int
    idf: NDArray[np.float32]


class Scorer:
    """A fitted scikit-learn pipeline as plain data; probabilities differ from the pipeline's by less than 1e-6.

    Texts are tokenized as in `TfidfVectorizer` with `strip_accents="unicode"`: words with the pattern `_TOKEN`,
    characters with the analyzer "char_wb" (https://scikit-learn.org/stable/modules/feature_extraction.html).
    """

    def __init__(self, words: Vocabulary, characters: Vocabulary, layer: LinearLayer) -> None:
        self.words, self.characters, self.layer = words, characters, layer
        # Columns of words, then columns of characters, as in the pipeline's FeatureUnion.
        self._word_columns = {term: column for column, term in enumerate(words.terms)}
        self._character_columns = {term: column for column, term in enumerate(characters.terms, len(words.terms))}
        self._idf = np.concatenate([words.idf, characters.idf])
        self._known: dict[str, array[int]] = {}

    @classmethod
    def of(cls, union: Any, layer: LinearLayer) -> Self:
        """Make a scorer from a fitted `FeatureUnion` and the layer that was fitted on its features."""
        words, characters = (
            Vocabulary(tuple(part.get_feature_names_out()), part.ngram_range[1], part.idf_)
            for _, part in union.transformer_list
        )
        return cls(words, characters, layer)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (n, outputs) logits; texts are processed in chunks to limit memory."""
        found = np.zeros((len(texts), len(self.layer.bias)), dtype=np.float32)
        for start in range(0, len(texts), _CHUNK):
            found[start : start + _CHUNK] = self.layer.logits(self.features(texts[start : start + _CHUNK]))
        return found

    def features(self, texts: Sequence[str]) -> csr_array:
        """Return (n, words + characters) sublinear TF-IDF features; the two parts of each row have unit length."""
        from scipy.sparse import csr_array

        # The parts of a CSR matrix: the columns of all texts, concatenated, and the end of each text.
        columns, ends = array("i"), [0]
        for text in texts:
            plain = _without_accents(undivided(text).lower())
            columns.extend(self._columns_of_words(plain))
            for word in plain.split():
                columns.extend(self._columns_within(word))
            ends.append(len(columns))
        ones = np.ones(len(columns), dtype=np.float32)
        matrix = csr_array((ones, np.array(columns, dtype=np.int32), ends), shape=(len(texts), len(self._idf)))
        matrix.sum_duplicates()  # ones become counts
        weights = (np.log(matrix.data) + 1) * self._idf[matrix.indices]
        # Number the word and character parts of all rows consecutively: 0 and 1 for row 0, 2 and 3 for row 1, ...
        halves = 2 * np.repeat(np.arange(len(texts)), np.diff(matrix.indptr))
        halves += matrix.indices >= len(self.words.terms)
        lengths = np.sqrt(np.bincount(halves, weights=weights.astype(np.float64) ** 2))
        matrix.data = np.asarray(weights / lengths[halves], dtype=np.float32)
        return matrix

    def shares(self, text: str) -> Iterator[tuple[int, float, list[int]]]:
        """Yield the column, the weight share and the places of each occurrence of an n-gram.

        Places are the offsets in `text` of the words that the n-gram touches. A column's feature is divided equally
        among the occurrences, and then among their places.
        """
        row = self.features([text])
        values = dict(zip(row.indices.tolist(), row.data.tolist(), strict=True))
        found = list(self._occurrences(text))
        counts = Counter(column for column, _ in found)
        for column, places in found:
            yield column, values[column] / counts[column] / len(places), places

    def _occurrences(self, text: str) -> Iterator[tuple[int, list[int]]]:
        plain, origins = _without_accents(text.lower()), _origins(text)
        starts = [match.start() for match in _TOKEN.finditer(plain)]
        tokens = _TOKEN.findall(plain)
        for n in range(1, self.words.longest + 1):
            for i in range(len(tokens) - n + 1):
                column = self._word_columns.get(" ".join(tokens[i : i + n]))
                if column is not None:
                    yield column, [origins[start] for start in starts[i : i + n]]
        for match in re.finditer(r"\S+", plain):
            for column in self._columns_within(match[0]):
                yield column, [origins[match.start()]]

    def _columns_of_words(self, plain: str) -> list[int]:
        # A list, not a set: every occurrence of a term counts.
        tokens = grams = _TOKEN.findall(plain)
        for n in range(2, self.words.longest + 1):
            grams = grams + [" ".join(gram) for gram in zip(*(tokens[i:] for i in range(n)), strict=False)]
        return [column for column in map(self._word_columns.get, grams) if column is not None]

    def _columns_within(self, word: str) -> array[int]:
        """Return the columns of a word's character n-grams, cached because words repeat in a corpus."""
        known = self._known.get(word)
        if known is None:
            padded = f" {word} "
            # A word shorter than n counts once, as a whole.
            lengths = range(2, min(self.characters.longest, len(padded)) + 1)
            grams = (padded[i : i + n] for n in lengths for i in range(len(padded) - n + 1))
            known = array("i", [column for column in map(self._character_columns.get, grams) if column is not None])
            if len(word) <= _LONGEST_KNOWN:
                # Clear the whole cache: frequent words return after a few texts, so no order of use is needed.
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
        """Load files written by `save`."""
        from safetensors.numpy import load_file

        content = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
        words, characters = (
            Vocabulary(tuple(content[name]["terms"]), int(content[name]["longest"]), tensors[f"{name}.idf"])
            for name in PARTS
        )
        return cls(words, characters, LinearLayer(tensors["weight"], tensors["bias"]))


def _origins(text: str) -> list[int]:
    """Return the offset in `text` of each character of its form in small letters without accents."""
    return [i for i, character in enumerate(text) for _ in _without_accents(character.lower())]


def _without_accents(text: str) -> str:
    if text.isascii():  # true for most sentences; normalising is slow
        return text
    return "".join(filterfalse(unicodedata.combining, unicodedata.normalize("NFKD", text)))
