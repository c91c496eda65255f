"""Explain predictions: how much each word of a text adds to the logit of a label, or subtracts from it.

Linear models of n-grams are explained exactly (`TfidfClassifier.explain`), and models with an encoder by integrated
gradients (`trainer.classifiers.gradients`). `trainer/README.md` explains what such numbers mean and do not mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labels.errors import InputError
from trainer.calibration.calibration import Floats

if TYPE_CHECKING:
    from trainer.classifiers.linear import LinearLayer

Method = Literal["terms", "integrated gradients"]
Pause = Callable[[], object]
"""A function that is called before each slice of work. It may wait, or raise an exception to end the work."""

_WORD = re.compile(r"\S+")
_EDGES = re.compile(r"\A\W*(.*?)\W*\Z", re.DOTALL)


@dataclass(frozen=True)
class Span:
    """The word `text[start:end]`, with its weight: the amount that it adds to the logit."""

    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Explanation:
    """Why a text has a label, or does not: `logit == bias + sum of the spans' weights + rest + delta`.

    - `method`: "terms" (exact) or "integrated gradients" (an approximation)
    - `logit`: the uncalibrated logit of the label; with an exclusive codebook, minus the mean logit of all classes
    - `bias`: the logit of a text without known words ("terms"), or of the text with every word masked
    - `spans`: words in the order of the text; words that the model did not read are missing
    - `rest`: the sum of the weights of words that were left out by `strongest`
    - `delta`: the error of the approximation; 0 apart from rounding for "terms"
    """

    label: str
    method: Method
    logit: float
    bias: float
    spans: tuple[Span, ...]
    rest: float = 0.0
    delta: float = 0.0

    def strongest(self, top_k: int | None) -> Explanation:
        """Return this explanation with only the `top_k` words of largest absolute weight; None keeps all words."""
        if top_k is None or len(self.spans) <= top_k:
            return self
        ranked = sorted(self.spans, key=lambda span: -abs(span.weight))
        kept = sorted(ranked[:top_k], key=lambda span: span.start)
        return replace(self, spans=tuple(kept), rest=self.rest + sum(span.weight for span in ranked[top_k:]))


@runtime_checkable
class Explainable(Protocol):
    """The additional methods of a classifier that can explain its predictions.

    The protocol has methods only, like `trainer.classifiers.base.Exportable`.
    """

    def why_not_explained(self) -> str:
        """Return why this classifier cannot be explained, and an alternative; empty if it can be explained."""

    def explain(self, text: str, columns: Sequence[int], pause: Pause) -> list[Explanation]:
        """Return one explanation with all words per column, which is the position of a label in codebook order."""


def why_not_explained(classifier: Any, kind: str) -> str:
    """Return why the predictions of a classifier cannot be explained; empty if they can be explained."""
    if isinstance(classifier, Explainable):
        return classifier.why_not_explained()
    return (
        f"a model of kind {kind} cannot be explained. Use a model of kind tfidf, embedding, contrastive or finetune, "
        "or a cascade of these."
    )


def refuse_unexplained(classifier: Any, kind: str) -> Explainable:
    """Return a classifier that can be explained.

    Raises:
        InputError: the predictions of this classifier cannot be explained; the message says why.
    """
    if reason := why_not_explained(classifier, kind):
        raise InputError(reason)
    assert isinstance(classifier, Explainable)
    return classifier


@dataclass(frozen=True)
class EncoderParts:
    """The parts of a classifier with an encoder: transformers objects, pooling, and the linear layer on pooled states.

    With `normalise`, the input of the layer has unit length. `max_length` is the maximum number of tokens.
    """

    encoder: Any
    tokenizer: Any
    pooling: str
    normalise: bool
    layer: LinearLayer
    max_length: int


class ExplainedByGradients:
    """The methods of classifiers that are explained by integrated gradients. A subclass defines `encoder_parts`."""

    labels: tuple[str, ...]
    _exclusive: bool

    def encoder_parts(self) -> EncoderParts:
        """Return the parts of the fitted classifier."""
        raise NotImplementedError

    def why_not_explained(self) -> str:
        """Return why this classifier cannot be explained: no captum, or a slow tokenizer. Empty if it can."""
        if find_spec("captum") is None:
            return 'explaining a model with an encoder needs captum. Install it: pip install "communique[explain]".'
        if not getattr(self.encoder_parts().tokenizer, "is_fast", False):
            return (
                "the tokenizer of this encoder does not report where its tokens begin, so words cannot be marked. "
                "Train with an encoder that has a fast tokenizer."
            )
        return ""

    def explain(self, text: str, columns: Sequence[int], pause: Pause) -> list[Explanation]:
        """Return explanations by integrated gradients; see `Explainable.explain`."""
        from trainer.classifiers.gradients import DifferentiableModel

        model = DifferentiableModel(self.encoder_parts(), exclusive=self._exclusive)
        return model.explain(text, [self.labels[column] for column in columns], columns, pause)


def explained_outputs(values: NDArray[Any], columns: Sequence[int], *, exclusive: bool) -> Floats:
    """Select the explained columns from logits or weights of shape (..., outputs); returns shape (..., columns).

    The classes of an exclusive codebook compete, and only the difference of their logits counts, so the mean of all
    classes is subtracted.
    """
    found = np.asarray(values, dtype=np.float64)
    centred = found - found.mean(axis=-1, keepdims=True) if exclusive else found
    return np.asarray(centred[..., list(columns)], dtype=np.float64)


class Words:
    """The words of a text, divided at white space. It adds up the weights of smaller pieces by word."""

    def __init__(self, text: str) -> None:
        self._spans = [match.span() for match in _WORD.finditer(text)]
        self._text = text
        # The word index of each character; white space belongs to the word before it.
        starts = np.zeros(len(text) + 1, dtype=np.int64)
        starts[[start for start, _ in self._spans]] = 1
        self._word_at = np.array(list(accumulate(starts)), dtype=np.int64) - 1

    def __len__(self) -> int:
        return len(self._spans)

    def word_at(self, position: int) -> int:
        """Return the index of the word at or before a character."""
        return max(0, int(self._word_at[position]))

    def spans(self, weights: Sequence[float] | NDArray[np.float64], read: int | None = None) -> tuple[Span, ...]:
        """Return spans with the weights of the first `read` words (None: all), without punctuation at their edges."""
        found = []
        for (start, end), weight in list(zip(self._spans, weights, strict=True))[:read]:
            inner = _EDGES.match(self._text[start:end])
            assert inner is not None
            left, right = inner.span(1)
            # A word that consists of punctuation, such as a dash, is kept whole.
            place = (start + left, start + right) if left < right else (start, end)
            found.append(Span(*place, float(weight)))
        return tuple(found)
