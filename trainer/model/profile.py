"""Profile a model: record how its answers and texts are distributed before any drift.

`make_profile` measures the model on its validation sentences, because a model is more certain of its train sentences,
and knows all their words. A server compares the sentences that it receives with the profile. A profile contains no
texts, and words only as 32-bit hashes.
"""

from __future__ import annotations

import base64
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from labels.errors import ArtefactError
from trainer.calibration.calibration import Bools, Floats, Probabilities

Family = Literal["label", "certainty", "unknown words", "length"]

DOCUMENT_WEIGHT = 20
"""Maximum weight of a document, in sentences. The average of a longer document counts this many times."""

_CERTAINTY = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Edges of the classes into which the highest probability of a sentence falls."""
_MOST_WORDS = 50_000
_WORD = re.compile(r"[^\W\d_]+")


class Quantity(BaseModel):
    """A quantity from 0 to 1 that every sentence has, such as "has this label", with its mean in the reference.

    `effective` is the number of independent sentences that would give an equally precise mean. It is smaller than the
    number of sentences, because sentences of one document resemble each other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Family
    name: str
    mean: float
    effective: float


class Profile(BaseModel):
    """The quantities of a model in its reference, which has `sentences` sentences from `documents` documents.

    `lengths` are the edges of the length classes, in characters; `words` are the hashes of the words in training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sentences: int
    documents: int
    lengths: tuple[int, ...]
    words: str
    quantities: tuple[Quantity, ...]

    @cached_property
    def _known(self) -> frozenset[int]:
        return frozenset(np.frombuffer(base64.b64decode(self.words), dtype="<u4").tolist())

    def measure(self, texts: Sequence[str], probabilities: Probabilities, assigned: Bools) -> Floats:
        """Return (n, quantities) values in [0, 1] for n sentences, with columns as in `quantities`.

        Args:
            probabilities: (n, labels) calibrated probabilities.
            assigned: (n, labels) true for assigned labels.
        """
        return _measure(texts, probabilities, assigned, self.lengths, self._known)

    def after_calibration(
        self,
        texts: Sequence[str],
        documents: Sequence[str],
        probabilities: Probabilities,
        assigned: Bools,
        weights: Floats,
    ) -> Profile:
        """Return the profile of the same model with another calibration, whose answers are measured on a sample.

        The quantities of the texts (unknown words, lengths) stay as they are.

        Args:
            documents: the document id of each of the n sentences.
            probabilities, assigned: see `measure`.
            weights: what each sentence stands for in the corpus, of shape (n,).
        """
        means, effective = estimate_means(self.measure(texts, probabilities, assigned), documents, weights)
        quantities = tuple(
            own.model_copy(update={"mean": mean, "effective": size}) if own.family in ("label", "certainty") else own
            for own, mean, size in zip(self.quantities, means.tolist(), effective.tolist(), strict=True)
        )
        return self.model_copy(update={"quantities": quantities})


def make_profile(
    train: Sequence[str],
    texts: Sequence[str],
    documents: Sequence[str],
    labels: Sequence[str],
    probabilities: Probabilities,
    assigned: Bools,
) -> Profile | None:
    """Profile a model on n sentences to which it was not fitted; None if there are no sentences.

    Args:
        train: the texts to which the model was fitted.
        documents: the document id of each of the n sentences.
        probabilities, assigned: see `Profile.measure`.
    """
    if not texts:
        return None
    words = _hashes_of(train)
    # Use other texts than the reference: edges that are fitted to the reference would make it look more precise.
    lengths = sorted({int(edge) for edge in np.quantile([len(text) for text in train or texts], (0.25, 0.5, 0.75))})
    values = _measure(texts, probabilities, assigned, lengths, frozenset(words.tolist()))
    names = [*(("label", label) for label in labels), *_classes("certainty", _CERTAINTY)]
    names += [("unknown words", "share"), *_classes("length", lengths)]
    means, effective = estimate_means(values, documents)
    quantities = tuple(
        Quantity.model_validate({"family": family, "name": name, "mean": mean, "effective": size})
        for (family, name), mean, size in zip(names, means.tolist(), effective.tolist(), strict=True)
    )
    encoded = base64.b64encode(words.astype("<u4").tobytes()).decode()
    return Profile(
        sentences=len(texts),
        documents=len(set(documents)),
        lengths=tuple(lengths),
        words=encoded,
        quantities=quantities,
    )


def read_profile(section: Mapping[str, Any] | None, model_id: str) -> Profile:
    """Read the section `profile` of a manifest.

    Raises:
        ArtefactError: the artefact has no profile, or an invalid one.
    """
    again = "Train the model again with this version of communique to record a profile"
    if section is None:
        raise ArtefactError(f"model {model_id} has no profile with which texts can be compared. {again}.")
    try:
        return Profile.model_validate(section)
    except ValidationError as error:
        place = ".".join(map(str, ("profile", *error.errors()[0]["loc"])))
        raise ArtefactError(f"model {model_id}: key `{place}` of its manifest is not valid. {again}.") from error


def estimate_means(
    values: Floats, documents: Sequence[str], row_weights: Floats | None = None
) -> tuple[Floats, Floats]:
    """Estimate the means of (n, quantities) values and their effective numbers of sentences, by document.

    Args:
        row_weights: what each row stands for, of shape (n,); None for equal weights.

    Returns:
        Two arrays of shape (quantities,); see `Quantity`.
    """
    from scipy.stats import t

    rows: dict[str, list[int]] = {}
    for row, document in enumerate(documents):
        rows.setdefault(document, []).append(row)
    own_weights = np.ones(len(values)) if row_weights is None else row_weights / row_weights.mean()
    each = [_weighted_sums(values[own], own_weights[own]) for own in rows.values()]
    weights, sums = np.array([weight for weight, _ in each]), np.array([total for _, total in each])
    # Unequal weights are worth fewer sentences (Kish).
    n, units = float(own_weights.sum() ** 2 / (own_weights**2).sum()), len(each)
    means = sums.sum(axis=0) / weights.sum()
    residuals = (sums - weights[:, None] * means) / weights.sum()
    if units == 1:  # one document says little about other documents
        return means, np.ones(len(means))
    clustered = (residuals**2).sum(axis=0) * units / (units - 1)
    independent = np.average((values - means) ** 2, axis=0, weights=own_weights) / n
    variance = np.maximum(clustered, independent)
    most = means * (1 - means) / n
    varies = (variance > 0) & (most > 0)
    design_effect = np.where(varies, variance / np.where(varies, most, 1), 1)
    # A rare label is in few documents, so its own design effect is uncertain: use at least the average.
    binary = varies & np.isin(values, (0, 1)).all(axis=0)
    average = float(design_effect[binary].mean()) if binary.any() else 1.0
    effective = n / np.where(binary | ~varies, np.maximum(design_effect, average), design_effect)
    if units < len(values):  # the variance is less certain than with n independent sentences
        effective *= (t.ppf(0.975, max(n - 1, 1)) / t.ppf(0.975, units - 1)) ** 2
    return means, effective


def _weighted_sums(values: Floats, weights: Floats) -> tuple[float, Floats]:
    """Return `document_sums` of rows with weights; the weight of the document is that of its rows on average."""
    weight = float(min(len(values), DOCUMENT_WEIGHT)) * float(weights.mean())
    return weight, weight * np.average(values, axis=0, weights=weights)


def document_sums(values: Floats) -> tuple[float, Floats]:
    """Return the weight of a document, and the (quantities,) weighted sums of its (n, quantities) values."""
    weight = float(min(len(values), DOCUMENT_WEIGHT))
    return weight, weight * values.mean(axis=0)


def _classes(family: str, edges: Sequence[float]) -> Iterator[tuple[str, str]]:
    shown = [f"{edge:g}" for edge in edges]
    yield family, f"below {shown[0]}"
    yield from ((family, f"{low} to {high}") for low, high in pairwise(shown))
    yield family, f"from {shown[-1]}"


def _measure(
    texts: Sequence[str], probabilities: Probabilities, assigned: Bools, lengths: Sequence[int], known: frozenset[int]
) -> Floats:
    unknown = np.array([_unknown_share(text, known) for text in texts])
    return np.column_stack(
        [
            assigned,
            _one_hot(probabilities.max(axis=1), _CERTAINTY),
            unknown,
            _one_hot(np.array([len(text) for text in texts]), lengths),
        ]
    ).astype(np.float64)


def _one_hot(values: Any, edges: Sequence[float]) -> Bools:
    classes = np.digitize(values, edges)
    return np.asarray(classes[:, None] == np.arange(len(edges) + 1))


def _unknown_share(text: str, known: frozenset[int]) -> float:
    """Return the share of unknown words in a text; 0 for a text without words."""
    hashes = [_hash(word) for word in _words(text)]
    return sum(number not in known for number in hashes) / len(hashes) if hashes else 0.0


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFC", text).casefold())


def _hash(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))


def _hashes_of(texts: Iterable[str]) -> Any:
    """Return the sorted 32-bit hashes of the most frequent words in texts."""
    counts = Counter(word for text in texts for word in _words(text))
    return np.unique(np.array([_hash(word) for word, _ in counts.most_common(_MOST_WORDS)], dtype=np.uint32))
