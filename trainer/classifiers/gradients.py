"""Integrated gradients: attributions of a transformer's logits to the words of a text, computed by captum.

The path leads from the text with every word masked to the text itself; the gradient along this path, times the change
of the embedding of each piece of a word, adds up to the change of the logit (Sundararajan, Taly and Yan 2017,
"Axiomatic attribution for deep networks", https://arxiv.org/abs/1703.01365).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainer.classifiers.explanations import EncoderParts, Explanation, Pause, Words, explained_outputs
from trainer.encoders.embeddings import pool_states

STEPS = 32, 128
"""Number of points on the path; the second number is used if the first leaves too large an error."""
TOLERANCE = 0.02
"""Largest error of an approximation, as a share of the change of the logit, that needs no finer steps."""
_SLICE = 4
"""Number of points in one forward and backward pass: between passes, other work may come first."""


class DifferentiableModel:
    """A model from token embeddings to logits."""

    def __init__(self, parts: EncoderParts, *, exclusive: bool) -> None:
        self._parts = parts
        self._exclusive = exclusive

    def explain(self, text: str, labels: Sequence[str], columns: Sequence[int], pause: Pause) -> list[Explanation]:
        """One explanation for each of the columns, which are the positions of the labels among the logits."""
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
        """The embeddings (1, tokens, width) of the text, and of the text with every token of a word masked."""
        embed, device = self._parts.encoder.get_input_embeddings(), self._parts.encoder.device
        ids = torch.tensor([pieces["input_ids"]], device=device)
        special = torch.tensor([pieces["special_tokens_mask"]], device=device, dtype=torch.bool)
        mask = self._parts.tokenizer.mask_token_id
        blank = self._parts.tokenizer.pad_token_id if mask is None else mask
        with torch.no_grad():
            return embed(ids), embed(torch.where(special, ids, blank))

    def _outputs(self, columns: Sequence[int]) -> Any:
        """A function from embeddings (batch, tokens, width) to the explained logits (batch, columns)."""
        device = self._parts.encoder.device
        # Centring and choosing columns are linear, so they can be done with the weights.
        weight = explained_outputs(self._parts.layer.weight.T, columns, exclusive=self._exclusive)
        bias = explained_outputs(self._parts.layer.bias, columns, exclusive=self._exclusive)
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
        """The attributions of the pieces, with finer steps if the first are not exact enough."""
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
    """Add the weights of the pieces of each word up."""
    total, read = np.zeros(len(words)), 0
    for (start, end), special, weight in zip(
        pieces["offset_mapping"], pieces["special_tokens_mask"], weights, strict=True
    ):
        if special or start == end:
            continue
        # The last character: some tokenizers count the space before a word as its first character.
        word = words.word_at(end - 1)
        total[word] += weight
        read = max(read, word + 1)
    bias, logit = map(float, ends)
    return Explanation(
        label, "integrated gradients", logit, bias, words.spans(total, read), delta=logit - bias - float(total.sum())
    )
