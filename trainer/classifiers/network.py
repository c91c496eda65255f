"""The torch module that `finetune` and `contrastive` train: encoder, pooling, dropout, linear head, and its loss."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from labels.errors import ExperimentError
from trainer.classifiers.linear import LinearLayer
from trainer.config.models import Precision
from trainer.encoders.embeddings import TokenIds, Vectors, ask_torch, pool_states
from trainer.encoders.encoder import max_positions, open_encoder

_SMALLEST = 1e-6
"""Least scale of a row, so that a row of zeros is not divided by zero."""
_NATIVE = ("amx_bf16", "avx512_bf16")
"""The capabilities by which a processor reports units for bfloat16."""


def trains_in_bfloat16(precision: Precision) -> bool:
    """Whether products are computed in bfloat16, weights and sums staying in float32; about twice as fast.

    Args:
        precision: "auto" where a GPU or the processor has units for it; "float32" never.
    """
    if precision == "float32":
        return False
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    # Without such units a processor emulates bfloat16, which is slower than float32.
    get = getattr(torch.cpu, "get_capabilities", None)  # newer versions of torch only
    capabilities: Mapping[str, object] = get() if get else {}
    return any(bool(capabilities.get(name)) for name in _NATIVE)


class Network(nn.Module):
    """Encoder with a linear head; `forward` gives logits (batch, outputs), and the loss where labels are given.

    With `normalise` the head sees pooled states of length 1.
    """

    accepts_loss_kwargs = False
    """For transformers' `Trainer`: the loss is a batch's own mean, to be divided by how many batches make a step."""

    def __init__(
        self, encoder: Any, n_outputs: int, *, pooling: str, dropout: float = 0.0, normalise: bool = False
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.normalise = normalise
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, n_outputs)
        self.exclusive = False
        self.smoothing = 0.0
        self.asymmetric = False
        # Not saved: the loss is chosen again for each training.
        self.register_buffer("weights", torch.ones(n_outputs), persistent=False)

    @property
    def layer(self) -> LinearLayer:
        """The head as plain numbers."""
        weight, bias = (tensor.detach().cpu().numpy() for tensor in (self.head.weight, self.head.bias))
        return LinearLayer(weight, bias)

    def set_head(self, layer: LinearLayer) -> None:
        """Take the head's weights from a layer."""
        self.head.load_state_dict({"weight": torch.from_numpy(layer.weight), "bias": torch.from_numpy(layer.bias)})

    @property
    def size(self) -> int:
        """How many parameters it has."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def max_positions(self) -> int:
        """How many tokens the encoder can take."""
        return max_positions(self.encoder)

    def prepare(self, *, lora_rank: int, recompute: bool) -> None:
        """Get the encoder ready for training: adapters in place of all weights, activations computed twice.

        Raises:
            ExperimentError: `lora_rank` is above 0 and peft is not installed, or the encoder cannot compute twice.
        """
        if recompute:
            if not self.encoder.supports_gradient_checkpointing:
                raise ExperimentError(
                    "model.activation_checkpointing = true: this encoder cannot do that. Set it to false."
                )
            # The reentrant way loses gradients where no input requires one, as with adapters.
            self.encoder.gradient_checkpointing_enable({"use_reentrant": False})
        if lora_rank:
            self.encoder = _with_adapters(self.encoder, lora_rank)

    def finish(self) -> None:
        """Undo `prepare`: adapters are merged into the weights that they adapt."""
        if hasattr(self.encoder, "merge_and_unload"):
            self.encoder = self.encoder.merge_and_unload()
        self.encoder.gradient_checkpointing_disable()

    def set_encoder_dropout(self, share: float) -> None:
        """Let the encoder drop this share of its activations in training, in place of what it was configured with."""
        # In the modules, not in the configuration: that is saved with the encoder and should stay its own.
        for module in self.encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = share

    def set_loss(
        self,
        gold: NDArray[np.bool_],
        *,
        exclusive: bool,
        smoothing: float,
        most_weight: float,
        asymmetric: bool = False,
    ) -> None:
        """Choose the loss and weigh rare outputs: the square root of how much rarer than even, from 1 to `most_weight`.

        With `asymmetric`, outputs of a multi-label codebook have `asymmetric_loss` instead.

        Args:
            gold: (n, outputs), for exclusive codebooks one-hot with "none" as the last class.
        """
        positives = np.maximum(gold.sum(axis=0), 1)  # a label without examples must not divide by 0
        even = gold.shape[0] / gold.shape[1] if exclusive else gold.shape[0] - positives
        weights = np.clip(np.sqrt(even / positives), 1, most_weight)
        self.weights = torch.tensor(weights, dtype=torch.float32)
        self.exclusive, self.smoothing, self.asymmetric = exclusive, smoothing, asymmetric

    def forward(self, labels: Tensor | None = None, **inputs: Tensor) -> dict[str, Tensor]:
        """Logits, with `loss` before them where `labels` ((batch,) classes or (batch, outputs) 0/1) are given."""
        logits: Tensor = self.head(self.dropout(self.pooled(**inputs))).float()
        # transformers' `Trainer` takes the first value for the loss, so the order counts.
        return {"logits": logits} if labels is None else {"loss": self._loss(logits, labels), "logits": logits}

    def pooled(self, **inputs: Tensor) -> Tensor:
        """What the head sees: (batch, hidden size) pooled states of the encoder's last layer."""
        states = pool_states(self.encoder(**inputs).last_hidden_state, inputs["attention_mask"], self.pooling)
        return functional.normalize(states, dim=1) if self.normalise else states

    def encode(self, input_ids: TokenIds, attention_mask: TokenIds) -> Vectors:
        """(batch, hidden size): `pooled` for arrays, without dropout or gradients."""
        self.eval()
        return ask_torch(self.pooled, self.head.weight.device, input_ids, attention_mask)

    def as_pooler(self, *, int8: bool) -> Pooler:
        """A copy on the CPU that gives `pooled`, ready for export; with `int8`, ready for weights of 8 bits."""
        pooler = Pooler(copy.deepcopy(self)).cpu().eval()
        # Eager attention consists of plain matrix products; fused kernels may not exist in ONNX.
        pooler.network.encoder.set_attn_implementation("eager")
        if int8:
            _lay_out_for_bytes(pooler.network.encoder)
        return pooler

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = self.weights.to(logits.device)
        if self.exclusive:
            return functional.cross_entropy(logits, labels, weight=weights, label_smoothing=self.smoothing)
        if self.asymmetric:
            return asymmetric_loss(logits, labels.float())
        # Smoothed towards one half: a sentence's label may be wrong, and certainty would be punished without bound.
        smoothed = labels.float() * (1 - self.smoothing) + self.smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, smoothed, pos_weight=weights)


def _with_adapters(encoder: Any, rank: int) -> Any:
    """The encoder with low-rank adapters on all its linear layers; nothing else of it is trained.

    Source: Hu et al. (2021), "LoRA"; scaled by 2, as is usual where all layers are adapted.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise ExperimentError(
            f'model.lora_rank = {rank} needs peft. Install it with `pip install "communique[peft]"`, or set it to 0.'
        ) from None
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear")
    adapted = get_peft_model(encoder, config)
    _freeze_pooler(adapted)
    return adapted


def _freeze_pooler(encoder: Any) -> None:
    """The pooler is not used, and distributed training expects a gradient for every trained weight."""
    for name, parameter in encoder.named_parameters():
        if "pooler" in name.split("."):
            parameter.requires_grad = False


def asymmetric_loss(logits: Tensor, labels: Tensor, *, focus: float = 4.0, margin: float = 0.05) -> Tensor:
    """Mean binary cross-entropy in which easy negatives count little or nothing.

    Args:
        logits, labels: (batch, outputs), labels 0 or 1.
        focus: a negative of probability p weighs p ** focus.
        margin: negatives below this probability count nothing.

    Source: Ridnik et al. (2021), "Asymmetric Loss for Multi-Label Classification", with their settings.
    """
    positive = functional.logsigmoid(logits)
    shifted = (torch.sigmoid(logits) - margin).clamp(min=0)
    negative = shifted**focus * torch.log((1 - shifted).clamp(min=1e-8))
    return -(labels * positive + (1 - labels) * negative).mean()


def open_network(
    folder: Path, n_outputs: int, *, pooling: str, dropout: float = 0.0, normalise: bool = False, keep_layers: int = 0
) -> tuple[Network, Any]:
    """A network around the encoder in `folder` (float32), with a fresh head, and the encoder's tokenizer.

    Args:
        keep_layers: keep only the encoder's first layers; 0 keeps all.

    Raises:
        EncoderError: the folder holds no encoder that transformers can open.
        ExperimentError: `keep_layers` is more than the encoder has.
    """
    encoder, tokenizer = open_encoder(folder, keep_layers=keep_layers)
    _freeze_pooler(encoder)
    return Network(encoder, n_outputs, pooling=pooling, dropout=dropout, normalise=normalise), tokenizer


class Pooler(nn.Module):
    """A network's pooled states as a function of arguments that have an order, which torch's exporter needs."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(batch, hidden size), as `Network.pooled`."""
        return self.network.pooled(input_ids=input_ids, attention_mask=attention_mask)


class RowScaledLinear(nn.Linear):
    """torch's layer, but the product is one of rows whose largest absolute value is 1."""

    @classmethod
    def of(cls, linear: nn.Linear) -> RowScaledLinear:
        """A layer with another's weights."""
        scaled = cls(linear.in_features, linear.out_features, bias=linear.bias is not None)
        scaled.weight, scaled.bias = linear.weight, linear.bias  # shared, not copied
        return scaled

    def forward(self, x: Tensor) -> Tensor:
        """(..., outputs) from (..., inputs)."""
        # onnxruntime rounds a whole batch on one scale, so that one outlier would cost all other rows their precision.
        scale = x.abs().amax(dim=-1, keepdim=True).clamp(min=_SMALLEST)
        product = functional.linear(x / scale, self.weight) * scale
        return product if self.bias is None else product + self.bias


class ByteEmbedding(nn.Module):
    """A table of embeddings as whole numbers from -127 to 127, with a scale for each row."""

    codes: Tensor
    scale: Tensor

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        weight = table.weight.detach()
        scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=_SMALLEST) / 127
        self.register_buffer("scale", scale)
        self.register_buffer("codes", torch.round(weight / scale).to(torch.int8))

    @property
    def weight(self) -> Tensor:
        """The whole table, for encoders that look into it (DeBERTa)."""
        return self.codes.float() * self.scale

    def forward(self, ids: Tensor) -> Tensor:
        """(..., width) from (...)."""
        return self.codes[ids].float() * self.scale[ids]


def _lay_out_for_bytes(module: nn.Module) -> None:
    """Replace torch's layers by the two above, at any depth."""
    for name, child in module.named_children():
        # Exact types only: a subclass may compute something else in `forward`.
        if type(child) is nn.Linear:
            setattr(module, name, RowScaledLinear.of(child))
        elif type(child) is nn.Embedding:
            setattr(module, name, ByteEmbedding(child))
        else:
            _lay_out_for_bytes(child)
