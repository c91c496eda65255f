"""Train a small network on the probabilities of a larger model: targets, loss, and the training of an encoder.

A student learns its teacher's probability of every label, which is more informative than the teacher's decisions.
Source: Hinton, Vinyals and Dean (2015), "Distilling the Knowledge in a Neural Network", at temperature 1.

This module imports torch, so import it only for training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import get_linear_schedule_with_warmup

from labels.environment.progress import report_progress
from labels.errors import DivergedError
from labels.unicode import undivided
from trainer.calibration.calibration import Probabilities, with_none
from trainer.classifiers.network import Network
from trainer.config.models import FinetuneSection

_POOL = 50
"""Number of batches that are sorted by length together: texts of a batch have similar lengths, yet batches vary."""


def soft_targets(probabilities: Probabilities, *, exclusive: bool, n_outputs: int) -> Tensor:
    """Return (n, outputs) targets; for an exclusive codebook with "none" as the last class if it is an output."""
    scores = probabilities.astype(np.float64)
    if not exclusive:
        return torch.from_numpy(scores).float()
    classes = with_none(scores, n_outputs > scores.shape[1])
    return torch.from_numpy(classes / np.maximum(classes.sum(axis=1, keepdims=True), 1e-12)).float()


def soft_loss(logits: Tensor, targets: Tensor, *, exclusive: bool) -> Tensor:
    """Return the mean cross-entropy of logits with targets, both of shape (batch, outputs)."""
    if exclusive:
        return functional.cross_entropy(logits, targets)
    return functional.binary_cross_entropy_with_logits(logits, targets)


def train_on_targets(
    network: Network,
    tokenizer: Any,
    texts: Sequence[str],
    targets: Tensor,
    *,
    section: FinetuneSection,
    max_length: int,
    exclusive: bool,
    seed: int,
) -> None:
    """Train a network in place for `section.epochs` passes over texts with (n, outputs) targets.

    AdamW has the section's learning rates for encoder and head; they rise during warm-up and then fall linearly to 0.

    Raises:
        DivergedError: the loss became infinite or NaN.
    """
    tokens = tokenizer(list(map(undivided, texts)), truncation=True, max_length=max_length)["input_ids"]
    passes = math.ceil(section.epochs)
    steps = passes * math.ceil(len(texts) / section.batch_size)
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in network.encoder.parameters() if p.requires_grad], "lr": section.learning_rate},
            {"params": network.head.parameters(), "lr": section.head_learning_rate},
        ],
        weight_decay=section.weight_decay,
        fused=True,
    )
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(section.warmup * steps), steps)
    device = network.head.weight.device
    network.train()
    batches = _batches([len(each) for each in tokens], section.batch_size, passes, np.random.default_rng(seed))
    for step, rows in enumerate(batches, 1):
        padded = tokenizer.pad({"input_ids": [tokens[row] for row in rows]}, return_tensors="pt")
        inputs = {name: padded[name].to(device) for name in ("input_ids", "attention_mask")}
        loss = soft_loss(network(**inputs)["logits"], targets[rows].to(device), exclusive=exclusive)
        if not bool(torch.isfinite(loss)):
            raise DivergedError(step, steps)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        report_progress("Training", step, steps)


def _batches(lengths: Sequence[int], size: int, passes: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield rows in random batches of similar length; each pass yields every row once."""
    for _ in range(passes):
        order = rng.permutation(len(lengths))
        pools = [order[start : start + _POOL * size] for start in range(0, len(order), _POOL * size)]
        ranked = [pool[np.argsort([lengths[row] for row in pool], kind="stable")] for pool in pools]
        batches = [pool[start : start + size] for pool in ranked for start in range(0, len(pool), size)]
        for place in rng.permutation(len(batches)):
            yield batches[place]
