"""Attribute a transformer's logits to the words of a text by integrated gradients, which captum computes.

The path leads from the text with every word masked to the text itself. For each piece of a word, the gradients along
this path are averaged and multiplied by the change of its embedding. The products add up to the change of the logit.
Source: Sundararajan, Taly and Yan (2017), "Axiomatic attribution for deep networks",
https://arxiv.org/abs/1703.01365.
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
"""Numbers of points on the path; the second number is used if the error with the first is too large."""
TOLERANCE = 0.02
"""Largest error, as a share of the change of the logit, at which finer steps are not needed."""
_SLICE = 4
"""Number of points in one forward and backward pass; between passes, other work may run."""


class DifferentiableModel:
    """A model that computes logits from token embeddings."""

    def __init__(self, parts: EncoderParts, *, exclusive: bool) -> None:
        self._parts = parts
        self._exclusive = exclusive

    def explain(self, text: str, labels: Sequence[str], columns: Sequence[int], pause: Pause) -> list[Explanation]:
        """Return one explanation per column, which is the position of a label among the logits."""
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
        embed, device = self._parts.encoder.get_input_embeddings(), self._parts.encoder.device
        ids = torch.tensor([pieces["input_ids"]], device=device)
        special = torch.tensor([pieces["special_tokens_mask"]], device=device, dtype=torch.bool)
        mask = self._parts.tokenizer.mask_token_id
        blank = self._parts.tokenizer.pad_token_id if mask is None else mask
        with torch.no_grad():
            return embed(ids), embed(torch.where(special, ids, blank))

    def _outputs(self, columns: Sequence[int]) -> Any:
        """Make a function that maps embeddings (batch, tokens, width) to the explained logits (batch, columns)."""
        device = self._parts.encoder.device
        # Centring and choosing columns are linear, so they can be applied to the weights.
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
