from __future__ import annotations

from math import exp, log, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from trainer.classifiers.network import Network, open_network


def small_network(n_outputs: int = 2, *, pooling: str = "mean") -> Network:
    """A network without dropout around one small random layer."""
    config = BertConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Network(BertModel(config), n_outputs, pooling=pooling, dropout=0.0).eval()


def one_hot(classes: list[int], n_classes: int) -> NDArray[np.bool_]:
    return np.eye(n_classes, dtype=bool)[classes]


def loss_of(network: Network, labels: torch.Tensor) -> tuple[float, NDArray[np.float32]]:
    """The loss of one sentence a row of `labels`, and the logits."""
    ids = torch.arange(1, 1 + 3 * len(labels)).reshape(len(labels), 3)
    with torch.inference_mode():
        out = network(labels=labels, input_ids=ids, attention_mask=torch.ones_like(ids))
    return float(out["loss"]), out["logits"].numpy()


def test_rare_labels_weigh_the_square_root_of_their_odds_within_limits() -> None:
    gold = np.zeros((100, 4), dtype=bool)
    gold[:20, 0] = True  # sqrt(80 / 20) = 2
    gold[:80, 1] = True  # sqrt(20 / 80) < 1
    gold[:1, 2] = True  # sqrt(99 / 1) > 5
    network = small_network(4)  # the last never occurs and counts as occurring once
    network.set_loss(gold, exclusive=False, smoothing=0.0, most_weight=5.0)
    assert network.weights.tolist() == [2, 1, 5, 5]


def test_rare_classes_weigh_the_square_root_of_how_much_rarer_than_even() -> None:
    gold = one_hot([0] * 50 + [1] * 5 + [2] * 5, 3)  # even would be 20 each
    network = small_network(3)
    network.set_loss(gold, exclusive=True, smoothing=0.0, most_weight=4.0)
    assert network.weights.tolist() == pytest.approx([1, 2, 2])


def test_multilabel_loss_weighs_positives() -> None:
    gold = np.array([[True, False]] + [[False, False]] * 4 + [[False, True]] * 5)  # odds 9 and 1
    network = small_network(2)
    network.set_loss(gold, exclusive=False, smoothing=0.0, most_weight=10.0)
    loss, logits = loss_of(network, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    p = 1 / (1 + np.exp(-logits.astype(float)))
    expected = [-3 * log(p[0, 0]), -log(1 - p[0, 1]), -log(1 - p[1, 0]), -log(p[1, 1])]
    assert loss == pytest.approx(np.mean(expected), rel=1e-5)


def test_multilabel_smoothing_draws_targets_half_way_to_even() -> None:
    network = small_network(2)
    network.set_loss(np.array([[True, False], [False, True]]), exclusive=False, smoothing=0.2, most_weight=1.0)
    loss, logits = loss_of(network, torch.tensor([[1.0, 0.0]]))
    p = 1 / (1 + np.exp(-logits.astype(float)))[0]
    expected = [-0.9 * log(p[0]) - 0.1 * log(1 - p[0]), -0.1 * log(p[1]) - 0.9 * log(1 - p[1])]
    assert loss == pytest.approx(np.mean(expected), rel=1e-5)


def test_exclusive_loss_is_the_weighted_mean_of_log_probabilities() -> None:
    network = small_network(3)
    network.set_loss(one_hot([0] * 8 + [1] * 2 + [2] * 2, 3), exclusive=True, smoothing=0.0, most_weight=9.0)
    loss, logits = loss_of(network, torch.tensor([0, 2]))
    weight = [1, sqrt(2)]  # even would be 4
    shares = [exp(row[target]) / sum(map(exp, row)) for row, target in zip(logits.tolist(), (0, 2), strict=True)]
    expected = -sum(w * log(share) for w, share in zip(weight, shares, strict=True)) / sum(weight)
    assert loss == pytest.approx(expected, rel=1e-5)


def test_without_labels_there_is_no_loss() -> None:
    ids = torch.tensor([[1, 2, 3]])
    assert list(small_network()(input_ids=ids, attention_mask=torch.ones_like(ids))) == ["logits"]


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_padding_does_not_change_an_answer(pooling: str) -> None:
    network = small_network(pooling=pooling)
    bare, padded = torch.tensor([[5, 6, 7]]), torch.tensor([[5, 6, 7, 0, 0]])
    with torch.inference_mode():
        one = network(input_ids=bare, attention_mask=torch.ones_like(bare))["logits"]
        other = network(input_ids=padded, attention_mask=(padded > 0).long())["logits"]
    np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6)


@pytest.mark.parametrize(("pooling", "take"), [("mean", lambda states: states.mean(1)), ("first", lambda s: s[:, 0])])
def test_pooling_is_the_mean_of_the_tokens_or_the_first(pooling: str, take: object) -> None:
    network = small_network(pooling=pooling)
    inputs = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    assert callable(take)
    with torch.inference_mode():
        expected = network.head(take(network.encoder(**inputs).last_hidden_state))
        np.testing.assert_allclose(network(**inputs)["logits"].numpy(), expected.numpy(), atol=1e-6)


def test_encoder_takes_as_many_tokens_as_it_says() -> None:
    # RoBERTa numbers its positions from the padding token's id on, so two of its 34 are never a token's.
    config = RobertaConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=34,
    )
    network = Network(RobertaModel(config), 2, pooling="mean", dropout=0.0).eval()
    ids = torch.full((1, network.max_positions), 7)
    with torch.inference_mode():
        logits = network(input_ids=ids, attention_mask=torch.ones_like(ids))["logits"]
    assert torch.isfinite(logits).all()


def test_opened_network_is_float32_and_leaves_the_unused_pooler_alone(tiny_encoder: Path) -> None:
    network, tokenizer = open_network(tiny_encoder, 3, pooling="mean", dropout=0.1)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {"encoder.pooler.dense.weight", "encoder.pooler.dense.bias"}
    assert network.head.out_features == 3
    assert tokenizer("rain")["input_ids"]


@pytest.mark.parametrize(("keep", "layers"), [(0, 3), (1, 1), (3, 3)])
def test_keeps_the_first_layers_or_all(tiny_encoder: Path, keep: int, layers: int) -> None:
    network, _ = open_network(tiny_encoder, 2, pooling="mean", dropout=0.0, keep_layers=keep)
    assert len(network.encoder.encoder.layer) == layers == network.encoder.config.num_hidden_layers
