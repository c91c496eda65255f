"""The torch module that `finetune` trains: encoder, pooling, dropout, linear head, and its loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from trainer.embeddings import pool_states
from trainer.encoders import max_positions, open_encoder


class Network(nn.Module):
    """Encoder with a linear head; `forward` gives logits (batch, outputs), and the loss where labels are given."""

    def __init__(self, encoder: Any, n_outputs: int, *, pooling: str, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, n_outputs)
        self.exclusive = False
        self.smoothing = 0.0
        self.register_buffer("weights", torch.ones(n_outputs), persistent=False)

    @property
    def max_positions(self) -> int:
        """How many tokens the encoder can take."""
        return max_positions(self.encoder)

    def set_loss(self, gold: NDArray[np.bool_], *, exclusive: bool, smoothing: float, most_weight: float) -> None:
        """Choose the loss and weigh rare outputs: the square root of how much rarer than even, from 1 to `most_weight`.

        Args:
            gold: (n, outputs), for exclusive codebooks one-hot with "none" as the last class.
        """
        positives = np.maximum(gold.sum(axis=0), 1)
        even = gold.shape[0] / gold.shape[1] if exclusive else gold.shape[0] - positives
        weights = np.clip(np.sqrt(even / positives), 1, most_weight)
        self.weights = torch.tensor(weights, dtype=torch.float32)
        self.exclusive, self.smoothing = exclusive, smoothing

    def forward(self, labels: Tensor | None = None, **inputs: Tensor) -> dict[str, Tensor]:
        """Logits, with `loss` before them where `labels` ((batch,) classes or (batch, outputs) 0/1) are given."""
        logits: Tensor = self.head(self.dropout(self.pooled(**inputs)))
        return {"logits": logits} if labels is None else {"loss": self._loss(logits, labels), "logits": logits}

    def pooled(self, **inputs: Tensor) -> Tensor:
        """What the head sees: (batch, hidden size) pooled states of the encoder's last layer."""
        return pool_states(self.encoder(**inputs).last_hidden_state, inputs["attention_mask"], self.pooling)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = self.weights.to(logits.device)
        if self.exclusive:
            return functional.cross_entropy(logits, labels, weight=weights, label_smoothing=self.smoothing)
        smoothed = labels.float() * (1 - self.smoothing) + self.smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, smoothed, pos_weight=weights)


def open_network(
    folder: Path, n_outputs: int, *, pooling: str, dropout: float, keep_layers: int = 0
) -> tuple[Network, Any]:
    """A network around the encoder in `folder` (float32), with a fresh head, and the encoder's tokenizer.

    Args:
        keep_layers: keep only the encoder's first layers; 0 keeps all.

    Raises:
        EncoderError: the folder holds no encoder that transformers can open.
        ExperimentError: `keep_layers` is more than the encoder has.
    """
    encoder, tokenizer = open_encoder(folder, keep_layers=keep_layers)
    for name, parameter in encoder.named_parameters():
        if name.startswith("pooler."):
            parameter.requires_grad = False  # not used: no gradient reaches it
    return Network(encoder, n_outputs, pooling=pooling, dropout=dropout), tokenizer
