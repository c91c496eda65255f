from __future__ import annotations

import sys
from math import exp, log, sqrt
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labels.errors import ExperimentError
from tests.lazy import Lazy

torch = Lazy("torch")
BertConfig = Lazy("transformers:BertConfig")
BertModel = Lazy("transformers:BertModel")
RobertaConfig = Lazy("transformers:RobertaConfig")
RobertaModel = Lazy("transformers:RobertaModel")
Network = Lazy("trainer.classifiers.network:Network")
asymmetric_loss = Lazy("trainer.classifiers.network:asymmetric_loss")
open_network = Lazy("trainer.classifiers.network:open_network")


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


# -- asymmetric loss


def test_asymmetric_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0], [2.0, -4.0]], dtype=torch.float64)
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    hard = 1 / (1 + exp(-2)) - 0.05
    expected = [
        -log(0.5),  # a positive, as in cross-entropy
        -(0.45**4) * log(0.55),  # a negative of 0.5, taken as 0.05 less
        -(hard**4) * log(1 - hard),
        0,  # a negative of 0.018: easier than the margin
    ]
    assert float(asymmetric_loss(logits, labels)) == pytest.approx(sum(expected) / 4)


def test_asymmetric_loss_without_focus_and_margin_is_cross_entropy() -> None:
    logits, labels = torch.linspace(-5, 5, 12).reshape(3, 4), (torch.arange(12).reshape(3, 4) % 3 == 0).float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    assert float(asymmetric_loss(logits, labels, focus=0.0, margin=0.0)) == pytest.approx(float(expected), rel=1e-5)


def test_asymmetric_loss_has_the_gradient_that_differences_give() -> None:
    logits = torch.tensor([[0.3, -1.2, 2.0], [-2.5, 1.1, 0.0]], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda given: asymmetric_loss(given, labels), logits)


def test_asymmetric_loss_leaves_easy_negatives_alone_and_is_finite_at_the_ends() -> None:
    logits = torch.tensor([-100.0, -4.0, 4.0, 100.0, -100.0, 100.0], requires_grad=True)
    loss = asymmetric_loss(logits, torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 1.0]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[:2].tolist() == [0, 0]
    assert logits.grad[2] > 0 > logits.grad[4]


def test_a_network_can_have_the_asymmetric_loss() -> None:
    network, labels = small_network(2), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    gold = np.array([[True, False]] + [[False, False]] * 9)
    network.set_loss(gold, exclusive=False, smoothing=0.1, most_weight=9.0, asymmetric=True)
    loss, logits = loss_of(network, labels)
    assert loss == pytest.approx(float(asymmetric_loss(torch.from_numpy(logits), labels)))


# -- what training asks of the encoder


def test_adapters_alone_are_trained_and_merged_in_the_end(tiny_encoder: Path) -> None:
    network, _ = open_network(tiny_encoder, 2, pooling="mean")
    plain = type(network.encoder)
    before = {name: tensor.clone() for name, tensor in network.encoder.state_dict().items()}
    network.prepare(lora_rank=2, recompute=False)
    trained = {name: tensor for name, tensor in network.encoder.named_parameters() if tensor.requires_grad}
    assert trained
    assert all("lora_" in name and "pooler" not in name for name in trained)
    with torch.no_grad():
        for name, tensor in trained.items():
            tensor.fill_(0.1 if "lora_B" in name else 1.0)
    ids = torch.tensor([[5, 6, 7]])
    network.eval()
    adapted = network.pooled(input_ids=ids, attention_mask=torch.ones_like(ids)).detach()
    network.finish()
    assert type(network.encoder) is plain
    merged = network.pooled(input_ids=ids, attention_mask=torch.ones_like(ids)).detach()
    torch.testing.assert_close(merged, adapted, atol=1e-5, rtol=1e-4)
    after = network.encoder.state_dict()
    assert set(after) == set(before)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    linear = {name for name in before if name.endswith(("query.weight", "key.weight", "value.weight", "dense.weight"))}
    assert changed == {name for name in linear if "pooler" not in name}
    for name in changed:  # two columns of 0.1 times two rows of 1, scaled by 2
        torch.testing.assert_close(after[name] - before[name], torch.full_like(after[name], 0.4))


def test_adapters_need_peft(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    network, _ = open_network(tiny_encoder, 2, pooling="mean")
    with pytest.raises(ExperimentError, match=r"lora_rank = 4 needs peft.*communique\[peft\]"):
        network.prepare(lora_rank=4, recompute=False)


def test_dropout_of_the_encoder_can_be_set_to_nothing() -> None:
    network, ids = small_network().train(), torch.tensor([[5, 6, 7]])

    def answer() -> torch.Tensor:
        return network.pooled(input_ids=ids, attention_mask=torch.ones_like(ids)).detach()

    assert not torch.equal(answer(), answer())
    network.set_encoder_dropout(0.0)
    torch.testing.assert_close(answer(), answer(), atol=0, rtol=0)


def test_an_encoder_that_cannot_compute_twice_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_network()
    monkeypatch.setattr(type(network.encoder), "supports_gradient_checkpointing", False)
    with pytest.raises(ExperimentError, match=r"activation_checkpointing.*Set the key to false"):
        network.prepare(lora_rank=0, recompute=True)


def test_computing_twice_ends_with_the_training() -> None:
    network = small_network()
    network.prepare(lora_rank=0, recompute=True)
    flags = [module.gradient_checkpointing for module in network.modules() if hasattr(module, "gradient_checkpointing")]
    assert any(flags)
    network.finish()
    flags = [module.gradient_checkpointing for module in network.modules() if hasattr(module, "gradient_checkpointing")]
    assert not any(flags)


@pytest.mark.parametrize("kind", ["multi-label", "exclusive", "asymmetric"])
def test_weights_of_rows_scale_their_losses(kind: str) -> None:
    exclusive = kind == "exclusive"
    gold = one_hot([0] * 8 + [1] * 2 + [2] * 2, 3)
    network = small_network(3)
    network.set_loss(gold, exclusive=exclusive, smoothing=0.1, most_weight=9.0, asymmetric=kind == "asymmetric")
    labels = torch.tensor([0, 1, 2]) if exclusive else torch.eye(3)
    ids = torch.arange(1, 10).reshape(3, 3)

    def loss(*weights: float) -> float:
        rows = {"row_weights": torch.tensor(weights)} if weights else {}
        with torch.inference_mode():
            return float(network(labels=labels, input_ids=ids, attention_mask=torch.ones_like(ids), **rows)["loss"])

    assert loss(1, 1, 1) == pytest.approx(loss(), rel=1e-5)
    assert loss(0.5, 0.5, 0.5) == pytest.approx(loss() / 2, rel=1e-5)
    assert loss(1, 0, 0) + loss(0, 1, 0) + loss(0, 0, 1) == pytest.approx(loss(), rel=1e-5)
    assert min(loss(1, 0, 0), loss(0, 1, 0), loss(0, 0, 1)) > 0
