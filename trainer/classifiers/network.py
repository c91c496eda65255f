"""Define the torch module that `finetune` and `contrastive` train: encoder, pooling, dropout, linear head and loss."""

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
"""Smallest scale of a row, which avoids division by zero for a row of zeros."""
_NATIVE = ("amx_bf16", "avx512_bf16")
"""Processor capabilities that mean hardware support for bfloat16."""


def trains_in_bfloat16(precision: Precision) -> bool:
    """Return whether to compute products in bfloat16, which is about twice as fast; weights and sums stay in float32.

    Args:
        precision: "auto" uses bfloat16 if the GPU or processor has hardware support; "float32" never uses bfloat16.
    """
    if precision == "float32":
        return False
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    # Without hardware support, bfloat16 is emulated, which is slower than float32.
    get = getattr(torch.cpu, "get_capabilities", None)  # only in newer versions of torch
    capabilities: Mapping[str, object] = get() if get else {}
    return any(bool(capabilities.get(name)) for name in _NATIVE)


class Network(nn.Module):
    """An encoder with a linear head. `forward` returns logits (batch, outputs), and the loss if labels are passed.

    With `normalise`, the pooled states are scaled to unit length before the head.
    """

    accepts_loss_kwargs = False
    """Makes transformers' `Trainer` divide the loss, a mean over one batch, by the number of batches per step."""

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
        # The weights are not saved, because `set_loss` sets them for each training run.
        self.register_buffer("weights", torch.ones(n_outputs), persistent=False)

    @property
    def layer(self) -> LinearLayer:
        """The head as numpy arrays."""
        weight, bias = (tensor.detach().cpu().numpy() for tensor in (self.head.weight, self.head.bias))
        return LinearLayer(weight, bias)

    def set_head(self, layer: LinearLayer) -> None:
        """Copy the weights of a layer to the head."""
        self.head.load_state_dict({"weight": torch.from_numpy(layer.weight), "bias": torch.from_numpy(layer.bias)})

    @property
    def size(self) -> int:
        """The number of parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def max_positions(self) -> int:
        """The maximum number of tokens that the encoder accepts."""
        return max_positions(self.encoder)

    def prepare(self, *, lora_rank: int, recompute: bool) -> None:
        """Prepare the encoder for training.

        Args:
            lora_rank: if above 0, train adapters of this rank instead of all weights.
            recompute: recompute activations in the backward pass to save memory.

        Raises:
            ExperimentError: `lora_rank` is above 0 and peft is not installed, or the encoder does not support
                `recompute`.
        """
        if recompute:
            if not self.encoder.supports_gradient_checkpointing:
                raise ExperimentError(
                    "model.activation_checkpointing = true: this encoder cannot recompute activations. Set the key to "
                    "false."
                )
            # The reentrant variant loses gradients if no input requires a gradient, as with adapters.
            self.encoder.gradient_checkpointing_enable({"use_reentrant": False})
        if lora_rank:
            self.encoder = _with_adapters(self.encoder, lora_rank)

    def finish(self) -> None:
        """Undo `prepare`: merge adapters into the weights, and stop recomputing activations."""
        if hasattr(self.encoder, "merge_and_unload"):
            self.encoder = self.encoder.merge_and_unload()
        self.encoder.gradient_checkpointing_disable()

    def set_encoder_dropout(self, share: float) -> None:
        """Replace the dropout probability in all layers of the encoder."""
        # Do not change the configuration, which is saved with the encoder.
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
        """Set the loss, with higher weights for rare outputs.

        A weight is the square root of expected / observed positives, clipped to the range from 1 to `most_weight`.
        Expected means the number of positives if all outputs were equally frequent. With `asymmetric`, multi-label
        codebooks use `asymmetric_loss` without weights instead.

        Args:
            gold: (n, outputs); for exclusive codebooks one-hot, with "none" (if allowed) as the last class.
        """
        positives = np.maximum(gold.sum(axis=0), 1)  # avoids division by 0 for a label without examples
        even = gold.shape[0] / gold.shape[1] if exclusive else gold.shape[0] - positives
        weights = np.clip(np.sqrt(even / positives), 1, most_weight)
        self.weights = torch.tensor(weights, dtype=torch.float32)
        self.exclusive, self.smoothing, self.asymmetric = exclusive, smoothing, asymmetric

    def forward(
        self, labels: Tensor | None = None, row_weights: Tensor | None = None, **inputs: Tensor
    ) -> dict[str, Tensor]:
        """Return `logits`, preceded by `loss` if `labels` ((batch,) classes or (batch, outputs) 0/1) are passed.

        `row_weights` (batch,) multiply the losses of the rows; a row without a weight has weight 1.
        """
        logits: Tensor = self.head(self.dropout(self.pooled(**inputs))).float()
        # The order matters: transformers' `Trainer` uses the first value as the loss.
        if labels is None:
            return {"logits": logits}
        return {"loss": self._loss(logits, labels, row_weights), "logits": logits}

    def pooled(self, **inputs: Tensor) -> Tensor:
        """Return the (batch, hidden size) pooled states of the encoder's last layer: the input of the head."""
        states = pool_states(self.encoder(**inputs).last_hidden_state, inputs["attention_mask"], self.pooling)
        return functional.normalize(states, dim=1) if self.normalise else states

    def encode(self, input_ids: TokenIds, attention_mask: TokenIds) -> Vectors:
        """Return the pooled states as an array of shape (batch, hidden size), without dropout or gradients."""
        if self.training:  # `eval` visits every module, which takes as long as a layer
            self.eval()
        return ask_torch(self.pooled, self.head.weight.device, input_ids, attention_mask)

    def as_pooler(self, *, int8: bool) -> Pooler:
        """Return a copy on the CPU that computes `pooled` and is prepared for export, with `int8` for 8-bit weights."""
        pooler = Pooler(copy.deepcopy(self)).cpu().eval()
        # Eager attention consists of plain matrix products; fused kernels may not exist in ONNX.
        pooler.network.encoder.set_attn_implementation("eager")
        if int8:
            _lay_out_for_bytes(pooler.network.encoder)
        return pooler

    def _loss(self, logits: Tensor, labels: Tensor, row_weights: Tensor | None) -> Tensor:
        if row_weights is not None:
            # Not divided by the sum of the weights: a batch of rows with low weights must count less than another.
            return (self._row_losses(logits, labels) * row_weights.to(logits)).mean()
        weights = self.weights.to(logits.device)
        if self.exclusive:
            return functional.cross_entropy(logits, labels, weight=weights, label_smoothing=self.smoothing)
        if self.asymmetric:
            return asymmetric_loss(logits, labels.float())
        # Smooth towards one half: a gold label may be wrong, and the loss of a certain prediction is unbounded.
        smoothed = labels.float() * (1 - self.smoothing) + self.smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, smoothed, pos_weight=weights)

    def _row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the (batch,) losses of the rows, whose mean is `_loss`."""
        if not self.exclusive:
            return torch.stack([self._loss(logits[[row]], labels[[row]], None) for row in range(len(labels))])
        weights = self.weights.to(logits.device)
        smoothed = functional.cross_entropy(
            logits, labels, weight=weights, label_smoothing=self.smoothing, reduction="none"
        )
        return smoothed * len(labels) / weights[labels].sum()


def _with_adapters(encoder: Any, rank: int) -> Any:
    """Add low-rank adapters to all linear layers of the encoder; its other weights are frozen.

    Source: Hu et al. (2021), "LoRA"; scaled by 2, as is usual if all layers are adapted.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise ExperimentError(
            f'model.lora_rank = {rank} needs peft. Install peft with `pip install "communique[peft]"`, '
            "or set model.lora_rank to 0."
        ) from None
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear")
    adapted = get_peft_model(encoder, config)
    _freeze_pooler(adapted)
    return adapted


def _freeze_pooler(encoder: Any) -> None:
    """Freeze the pooler: it is unused, and distributed training expects a gradient for every trained weight."""
    for name, parameter in encoder.named_parameters():
        if "pooler" in name.split("."):
            parameter.requires_grad = False


def asymmetric_loss(logits: Tensor, labels: Tensor, *, focus: float = 4.0, margin: float = 0.05) -> Tensor:
    """Return the mean binary cross-entropy in which easy negatives have little or no weight.

    Args:
        logits, labels: arrays of shape (batch, outputs); labels are 0 or 1.
        focus: a negative with probability p has weight p ** focus.
        margin: negatives below this probability have weight 0.

    Source: Ridnik et al. (2021), "Asymmetric Loss for Multi-Label Classification", with the settings of the paper.
    """
    positive = functional.logsigmoid(logits)
    shifted = (torch.sigmoid(logits) - margin).clamp(min=0)
    negative = shifted**focus * torch.log((1 - shifted).clamp(min=1e-8))
    return -(labels * positive + (1 - labels) * negative).mean()


def open_network(
    folder: Path, n_outputs: int, *, pooling: str, dropout: float = 0.0, normalise: bool = False, keep_layers: int = 0
) -> tuple[Network, Any]:
    """Open the encoder in `folder` (float32) as a network with a new head; returns the network and the tokenizer.

    Args:
        keep_layers: number of layers of the encoder to keep, counted from the first; 0 keeps all.

    Raises:
        EncoderError: the folder does not contain an encoder that transformers can open.
        ExperimentError: `keep_layers` exceeds the encoder's number of layers.
    """
    encoder, tokenizer = open_encoder(folder, keep_layers=keep_layers)
    _freeze_pooler(encoder)
    return Network(encoder, n_outputs, pooling=pooling, dropout=dropout, normalise=normalise), tokenizer


class Pooler(nn.Module):
    """`Network.pooled` with positional arguments, which torch's exporter needs."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return pooled states of shape (batch, hidden size); see `Network.pooled`."""
        return self.network.pooled(input_ids=input_ids, attention_mask=attention_mask)


class RowScaledLinear(nn.Linear):
    """A linear layer that scales each input row to a largest absolute value of 1 before the product."""

    @classmethod
    def of(cls, linear: nn.Linear) -> RowScaledLinear:
        """Make a layer that shares the weights of `linear`."""
        scaled = cls(linear.in_features, linear.out_features, bias=linear.bias is not None)
        scaled.weight, scaled.bias = linear.weight, linear.bias  # shared, not copied
        return scaled

    def forward(self, x: Tensor) -> Tensor:
        """Map values of shape (..., inputs) to values of shape (..., outputs)."""
        # onnxruntime quantises a whole batch with one scale, so one outlier would reduce the precision of all rows.
        scale = x.abs().amax(dim=-1, keepdim=True).clamp(min=_SMALLEST)
        product = functional.linear(x / scale, self.weight) * scale
        return product if self.bias is None else product + self.bias


class ByteEmbedding(nn.Module):
    """An embedding table stored as integers from -127 to 127, with one scale per row."""

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
        """The whole table in float32, for encoders that access it directly (DeBERTa)."""
        return self.codes.float() * self.scale

    def forward(self, ids: Tensor) -> Tensor:
        """Return embeddings of shape (..., width) for ids of shape (...)."""
        return self.codes[ids].float() * self.scale[ids]


def _lay_out_for_bytes(module: nn.Module) -> None:
    """Replace linear and embedding layers with `RowScaledLinear` and `ByteEmbedding`, at any depth."""
    for name, child in module.named_children():
        # Replace exact types only, because a subclass may have a different `forward`.
        if type(child) is nn.Linear:
            setattr(module, name, RowScaledLinear.of(child))
        elif type(child) is nn.Embedding:
            setattr(module, name, ByteEmbedding(child))
        else:
            _lay_out_for_bytes(child)
