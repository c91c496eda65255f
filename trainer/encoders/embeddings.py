"""Texts -> vectors of a frozen sentence encoder, in batches of like length.

`trainer.encoders.encoder` finds and opens encoders; `trainer.encoders.cache` keeps vectors from run to run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.encoders.encoder import BUNDLED, default_pooling, encoder_digest, find_encoder, max_positions, open_encoder

if TYPE_CHECKING:
    import torch

Vectors = NDArray[np.float32]
"""(n, dimensions), a row for each text."""

TokenIds = NDArray[np.int64]
"""(batch, tokens), padded to the longest text: token ids, or a mask that is 0 where a token is padding."""

BATCH = 32
MAX_LENGTH = 128


class Embedder:
    """A sentence encoder that is used but not trained; it is opened when the first text comes.

    Args:
        encoder: `minilm` for the bundled one, a folder, or a hub name.
        pooling: "mean", "first", or "auto" for what the encoder was trained with.
        max_length: tokens; longer texts are cut, at the latest where the encoder's positions end.

    `name` is the encoder as given, a folder by its whole path.

    Raises:
        EncoderError: the encoder cannot be found; `encode` raises it where it cannot be opened.
    """

    def __init__(self, encoder: str = BUNDLED, *, pooling: str = "auto", max_length: int = MAX_LENGTH) -> None:
        self._folder = find_encoder(encoder)
        self.name = str(Path(encoder).resolve()) if self._folder == Path(encoder) else encoder
        self.pooling = default_pooling(self._folder) if pooling == "auto" else pooling
        self.max_length = max_length

    @cached_property
    def identity(self) -> str:
        """16 hex digits: equal where the same text gets the same vector (weights, tokenizer, pooling, length)."""
        content = f"{encoder_digest(self._folder)}\n{self.pooling}\n{self.max_length}"
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._opened[0].config.hidden_size)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """(n, dimensions) float32 vectors of length 1, in the order of `texts`."""
        encoder, tokenizer = self._opened

        def pooled(**inputs: torch.Tensor) -> torch.Tensor:
            return pool_states(encoder(**inputs).last_hidden_state, inputs["attention_mask"], self.pooling)

        vectors = encode_in_batches(
            texts,
            tokenizer,
            lambda input_ids, attention_mask: ask_torch(pooled, encoder.device, input_ids, attention_mask),
            width=self.dimensions,
            max_length=min(self.max_length, max_positions(encoder)),
        )
        return normalised(vectors)

    @cached_property
    def _opened(self) -> tuple[Any, Any]:
        import torch

        encoder, tokenizer = open_encoder(self._folder)
        return encoder.eval().to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def encode_in_batches(
    texts: Sequence[str],
    tokenizer: Any,
    encode: Callable[[TokenIds, TokenIds], Vectors],
    *,
    width: int,
    max_length: int,
) -> Vectors:
    """(n, width) float32 of what `encode` gives for each text, in the order of `texts`.

    Texts are batched by their number of tokens, so that little time is spent on padding.

    Args:
        tokenizer: one of transformers', or an object with the same interface.
        encode: called with a batch's input ids and attention mask; gives (batch, width).
        max_length: tokens at which longer texts are cut.
    """
    tokens = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"] if texts else []
    order = sorted(range(len(texts)), key=lambda position: len(tokens[position]))
    rows = np.zeros((len(texts), width), dtype=np.float32)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        batch = tokenizer.pad({"input_ids": [tokens[i] for i in chosen]}, return_tensors="np")
        rows[chosen] = encode(batch["input_ids"], batch["attention_mask"])
    return rows


def ask_torch(
    pooled: Callable[..., torch.Tensor], device: torch.device, input_ids: TokenIds, attention_mask: TokenIds
) -> Vectors:
    """(batch, width) of what a torch function of `input_ids` and `attention_mask` gives, without gradients."""
    import torch

    with torch.inference_mode():
        ids, mask = (torch.from_numpy(array).to(device) for array in (input_ids, attention_mask))
        vectors: Vectors = pooled(input_ids=ids, attention_mask=mask).float().cpu().numpy()
    return vectors


def pool_states(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """(batch, hidden size) from an encoder's last states (batch, tokens, hidden size).

    Args:
        mask: (batch, tokens), 0 for padding.
        pooling: "first" takes the first token's state, "mean" the mean over all tokens but padding.
    """
    if pooling == "first":
        return states[:, 0]
    # Padding must not count, or a text's vector would depend on its batch.
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def normalised(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1; a row of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
