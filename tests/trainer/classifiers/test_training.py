from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.conftest import examples_for, plain_codebook, tiny_section
from trainer.classifiers.finetune import FinetuneClassifier
from trainer.classifiers.network import Network
from trainer.classifiers.training import validation_score


def train_four_steps(encoder: Path, **changes: Any) -> Network:
    """The network of a classifier that was fitted for one epoch."""
    codebook = plain_codebook("aid", "truce")
    examples = examples_for(codebook, 96)
    section = tiny_section(encoder, min_steps=0, **changes)
    classifier = FinetuneClassifier(codebook, section, 1).fit(examples[:64], examples[64:])
    assert classifier.network_ is not None
    return classifier.network_


def weights_before_and_after(encoder: Path, network: Network) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Each weight of the encoder as it lies on disk and as it was trained."""
    after = network.encoder.state_dict()
    return {name: (tensor, after[name]) for name, tensor in load_file(encoder / "model.safetensors").items()}


def test_exclusive_score_is_macro_f1_of_the_likeliest_class() -> None:
    logits = np.array([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
    # Class 0: one right, one wrongly claimed: F1 2/3. Class 1: one right, one missed: F1 2/3. Class 2: F1 1.
    assert validation_score(logits, np.array([0, 1, 1, 2]), True) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_multilabel_score_is_average_precision_of_the_labels_that_occur() -> None:
    gold = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    logits = np.array([[3.0, 2.0, 0.0], [2.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    # Label 0 is found at ranks 1 and 3: (1/1 + 2/3) / 2. Label 1 at rank 2: 1/2. Label 2 never occurs.
    assert validation_score(logits, gold, False) == pytest.approx((5 / 6 + 1 / 2) / 2)


def test_multilabel_score_without_any_positive_is_zero() -> None:
    assert validation_score(np.ones((3, 2)), np.zeros((3, 2)), False) == 0


def test_head_learns_at_its_own_rate(tiny_encoder: Path) -> None:
    fast = train_four_steps(tiny_encoder, learning_rate=1e-12, head_learning_rate=1e-2)
    slow = train_four_steps(tiny_encoder, learning_rate=1e-12, head_learning_rate=1e-12)
    for before, after in weights_before_and_after(tiny_encoder, fast).values():
        torch.testing.assert_close(after, before, atol=1e-6, rtol=0)
    assert (fast.head.weight - slow.head.weight).abs().max() > 5e-3


def test_every_layer_of_the_encoder_is_trained_but_the_unused_pooler(tiny_encoder: Path) -> None:
    weights = weights_before_and_after(tiny_encoder, train_four_steps(tiny_encoder))
    unchanged = {name for name, (before, after) in weights.items() if torch.equal(before, after)}
    # What is added to all keys alike, softmax takes away again: their bias gets no gradient beyond rounding.
    assert {name for name in unchanged if "key.bias" not in name} == {"pooler.dense.weight", "pooler.dense.bias"}


def test_weight_decay_spares_biases_and_normalisation(tiny_encoder: Path) -> None:
    changes = {"learning_rate": 1e-7, "weight_decay": 1e6, "warmup": 0.0}
    weights = weights_before_and_after(tiny_encoder, train_four_steps(tiny_encoder, **changes))
    shrunk = {name for name, (before, after) in weights.items() if after.norm() < 0.95 * before.norm()}
    assert shrunk == {name for name, (before, _) in weights.items() if before.ndim > 1 and "pooler" not in name}
