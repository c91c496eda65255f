"""Explain predictions: how much each word of a text adds to the logit of a label, or subtracts from it.

Linear models of n-grams are explained exactly (`TfidfClassifier.explain`), and models with an encoder by integrated
gradients, which captum computes. `trainer/README.md` explains what such numbers mean and do not mean.

Integrated gradients: a path leads from the text with every word masked to the text itself. For each piece of a word,
the gradients along this path are averaged and multiplied by the change of its embedding. The products add up to the
change of the logit. Source: Sundararajan, Taly and Yan (2017), "Axiomatic attribution for deep networks",
https://arxiv.org/abs/1703.01365.
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
from trainer.encoders.embeddings import pool_states

if TYPE_CHECKING:
    from torch import Tensor

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


# -- models with an encoder: integrated gradients

STEPS = 32, 128
"""Numbers of points on the path; the second number is used if the error with the first is too large."""
TOLERANCE = 0.02
"""Largest error, as a share of the change of the logit, at which finer steps are not needed."""
_SLICE = 4
"""Number of points in one forward and backward pass; between passes, other work may run."""


@dataclass(frozen=True)
class EncoderParts:
    """The parts of a classifier with an encoder: transformers objects, pooling, and the linear layer on pooled states.

    The layer has `weight` (outputs, width) and `bias` (outputs,). With `normalise`, its input has unit length.
    `max_length` is the maximum number of tokens.
    """

    encoder: Any
    tokenizer: Any
    pooling: str
    normalise: bool
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
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
        model = DifferentiableModel(self.encoder_parts(), exclusive=self._exclusive)
        return model.explain(text, [self.labels[column] for column in columns], columns, pause)


class DifferentiableModel:
    """A model that computes logits from token embeddings."""

    def __init__(self, parts: EncoderParts, *, exclusive: bool) -> None:
        self._parts = parts
        self._exclusive = exclusive

    def explain(self, text: str, labels: Sequence[str], columns: Sequence[int], pause: Pause) -> list[Explanation]:
        """Return one explanation per column, which is the position of a label among the logits."""
        import torch

        self._parts.encoder.eval()
        pieces = self._parts.tokenizer(
            text,
            truncation=True,
            max_length=self._parts.max_length,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        given, masked = self._embeddings(pieces)
        outputs = self._outputs(columns)
        pause()
        with torch.no_grad():
            ends = outputs(torch.cat([masked, given])).double().cpu().numpy()
        words = Words(text)
        found = []
        for position, label in enumerate(labels):
            weights = self._attributed(outputs, given, masked, position, ends[1] - ends[0], pause)
            found.append(_explanation(label, words, pieces, weights, ends[:, position]))
        return found

    def _embeddings(self, pieces: Any) -> tuple[Tensor, Tensor]:
        """Return the embeddings (1, tokens, width) of the text, and of the text with all tokens of words masked."""
        import torch

        embed, device = self._parts.encoder.get_input_embeddings(), self._parts.encoder.device
        ids = torch.tensor([pieces["input_ids"]], device=device)
        special = torch.tensor([pieces["special_tokens_mask"]], device=device, dtype=torch.bool)
        mask = self._parts.tokenizer.mask_token_id
        blank = self._parts.tokenizer.pad_token_id if mask is None else mask
        with torch.no_grad():
            return embed(ids), embed(torch.where(special, ids, blank))

    def _outputs(self, columns: Sequence[int]) -> Any:
        """Make a function that maps embeddings (batch, tokens, width) to the explained logits (batch, columns)."""
        import torch
        from torch.nn import functional

        device = self._parts.encoder.device
        # Centring and choosing columns are linear, so they can be applied to the weights.
        weight = explained_outputs(self._parts.weight.T, columns, exclusive=self._exclusive)
        bias = explained_outputs(self._parts.bias, columns, exclusive=self._exclusive)
        head, shift = (torch.tensor(array, dtype=torch.float32, device=device) for array in (weight, bias))

        def outputs(embeddings: Tensor) -> Tensor:
            mask = torch.ones(embeddings.shape[:2], dtype=torch.long, device=device)
            states = self._parts.encoder(inputs_embeds=embeddings, attention_mask=mask).last_hidden_state
            pooled = pool_states(states, mask, self._parts.pooling).float()
            return (functional.normalize(pooled, dim=1) if self._parts.normalise else pooled) @ head + shift

        return outputs

    def _attributed(
        self, outputs: Any, given: Tensor, masked: Tensor, target: int, change: Any, pause: Pause
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the attributions of the pieces, computed again with finer steps if they are not exact enough."""
        from captum.attr import IntegratedGradients

        def paused(embeddings: Tensor) -> Tensor:
            pause()
            found: Tensor = outputs(embeddings)
            return found

        weights = np.zeros(given.shape[1])
        for steps in STEPS:
            attributed = IntegratedGradients(paused).attribute(
                given, masked, target=target, n_steps=steps, internal_batch_size=_SLICE
            )
            weights = attributed.detach().sum(dim=2)[0].double().cpu().numpy()
            if abs(weights.sum() - change[target]) <= TOLERANCE * max(1.0, abs(change[target])):
                break
        return weights


def _explanation(label: str, words: Words, pieces: Any, weights: Any, ends: Any) -> Explanation:
    """Make an explanation by adding up the weights of the pieces of each word."""
    total, read = np.zeros(len(words)), 0
    for (start, end), special, weight in zip(
        pieces["offset_mapping"], pieces["special_tokens_mask"], weights, strict=True
    ):
        if special or start == end:
            continue
        # Use the last character, because some tokenizers count the space before a word as its first character.
        word = words.word_at(end - 1)
        total[word] += weight
        read = max(read, word + 1)
    bias, logit = map(float, ends)
    return Explanation(
        label, "integrated gradients", logit, bias, words.spans(total, read), delta=logit - bias - float(total.sum())
    )
