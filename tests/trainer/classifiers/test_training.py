from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.lazy import Lazy
from tests.trainer.conftest import examples_for, plain_codebook, tiny_section
from trainer.classifiers.finetune import FinetuneClassifier

torch = Lazy("torch")
load_file = Lazy("safetensors.torch:load_file")
Network = Lazy("trainer.classifiers.network:Network")
encoder_rates = Lazy("trainer.classifiers.training:encoder_rates")
is_out_of_memory = Lazy("trainer.classifiers.training:is_out_of_memory")
smaller_batch = Lazy("trainer.classifiers.training:smaller_batch")


@pytest.fixture(scope="module")
def still_encoder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder without dropout, so that only what is computed decides, not how often chance was asked."""
    folder = tmp_path_factory.mktemp("still") / "encoder"
    shutil.copytree(tiny_encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def train_four_steps(encoder: Path, *, n: int = 64, **changes: Any) -> Network:
    """The network of a classifier that was fitted for one epoch."""
    codebook = plain_codebook("aid", "truce")
    examples = examples_for(codebook, n + 32)
    section = tiny_section(encoder, min_steps=0, **{"precision": "float32"} | changes)
    classifier = FinetuneClassifier(codebook, section, 1).fit(examples[:n], examples[n:])
    assert classifier.network_ is not None
    return classifier.network_


def weights_before_and_after(encoder: Path, network: Network) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Each weight of the encoder as it lies on disk and as it was trained."""
    after = network.encoder.state_dict()
    return {name: (tensor, after[name]) for name, tensor in load_file(encoder / "model.safetensors").items()}


def test_each_layer_learns_more_slowly_than_the_next() -> None:
    names = [
        "encoder.embeddings.word_embeddings.weight",
        "encoder.encoder.layer.0.attention.self.query.weight",
        "encoder.encoder.layer.1.output.dense.bias",
        "encoder.final_norm.weight",
    ]
    assert encoder_rates(names, 0.8, 0.5) == dict(zip(names, (0.2, 0.4, 0.8, 0.8), strict=True))
    assert set(encoder_rates(names, 0.8, 1.0).values()) == {0.8}
    assert encoder_rates(["encoder.wte.weight"], 0.8, 0.5) == {"encoder.wte.weight": 0.8}


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


def assert_alike(one: Network, other: Network, atol: float) -> None:
    other_state = other.state_dict()
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, other_state[name], atol=atol, rtol=0, msg=name)


def moved(encoder: Path, network: Network) -> float:
    """The largest change of a weight of the encoder."""
    return max(
        float((after - before).abs().max()) for before, after in weights_before_and_after(encoder, network).values()
    )


def test_two_batches_of_eight_make_the_same_step_as_one_of_sixteen(still_encoder: Path) -> None:
    changes: dict[str, Any] = {"dropout": 0.0, "weight_decay": 0.0}
    # 72 examples: the last step has one batch of eight only, and must not count half or double.
    whole = train_four_steps(still_encoder, n=72, batch_size=16, **changes)
    parts = train_four_steps(still_encoder, n=72, batch_size=8, gradient_accumulation=2, **changes)
    assert moved(still_encoder, whole) > 1e-2
    assert_alike(whole, parts, atol=2e-4)


def test_bfloat16_multiplies_coarser_and_keeps_weights_in_float32(
    still_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = train_four_steps(still_encoder, dropout=0.0)
    monkeypatch.setattr("trainer.classifiers.training.trains_in_bfloat16", lambda precision: precision == "auto")
    coarse = train_four_steps(still_encoder, dropout=0.0, precision="auto")
    assert {parameter.dtype for parameter in coarse.parameters()} == {torch.float32}
    apart = (exact.head.weight - coarse.head.weight).abs().max()
    assert 1e-6 < apart < 1e-2


def test_activations_computed_twice_give_the_same_weights(still_encoder: Path) -> None:
    kept, recomputed = (
        train_four_steps(still_encoder, dropout=0.0, activation_checkpointing=on) for on in (False, True)
    )
    assert_alike(kept, recomputed, atol=1e-6)


def test_the_fused_optimizer_takes_the_steps_of_the_plain_one(
    still_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fused = train_four_steps(still_encoder, dropout=0.0)
    plain_adamw = torch.optim.AdamW

    def plain(*args: Any, fused: bool, **options: Any) -> torch.optim.Optimizer:
        assert fused
        return plain_adamw(*args, **options)

    monkeypatch.setattr(torch.optim, "AdamW", plain)
    assert_alike(fused, train_four_steps(still_encoder, dropout=0.0), atol=1e-4)


def test_asymmetric_loss_is_trained_with(still_encoder: Path) -> None:
    one, other = (train_four_steps(still_encoder, dropout=0.0, loss=loss) for loss in ("cross_entropy", "asymmetric"))
    assert (one.head.weight - other.head.weight).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_running_out_of_memory_is_recognised(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_torch_says_itself_when_a_gpu_runs_out_of_memory() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))


@pytest.mark.parametrize(
    ("whole", "sizes"), [(16, [8, 4, 2, 1, 0]), (15, [5, 1, 0]), (12, [6, 3, 1, 0]), (7, [1, 0]), (1, [0])]
)
def test_smaller_batches_make_up_the_whole_one(whole: int, sizes: list[int]) -> None:
    found = [whole]
    while found[-1]:
        found.append(smaller_batch(found[-1], whole))
    assert found[1:] == sizes
