"""A trained network as an ONNX graph: token ids and mask in, pooled vectors out; in float32, or with weights of 8 bits.

How a graph is asked is left to `onnx_network`; whether it says the same as the network, to `trainer.export`.

8 bits: every linear layer's weights are rounded to 7 of 8 bits for each output (processors without VNNI add pairs of
products in 16 bits, which 8 would overflow), its inputs to 8 bits when they come. Rounding all tokens of a batch on one
scale spoils them, because the first token of BERT's texts is an outlier that stretches it; so each token is brought to
a largest value of 1 first, and the product back again (a scale for each token, as in Yao et al. 2022, "ZeroQuant").
Tables of embeddings are kept in 8 bits with a scale for each row.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.classifiers.network import Network
from trainer.classifiers.onnx_network import INPUTS, NOT_INSTALLED, OUTPUT
from trainer.errors import ArtefactError

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 20
"""The first with an operator for GELU."""

_SMALLEST = 1e-6


def write_graph(network: Network, path: Path, *, int8: bool) -> None:
    """Write what `network.pooled` computes as one ONNX file for batches of any size; the network stays as it is.

    Raises:
        ArtefactError: the exporter is not installed, or cannot express this encoder.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # what torch's exporter is written in
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise ArtefactError(f"{path.name}: cannot be written, {NOT_INSTALLED}") from error
    pooled = _Pooled(copy.deepcopy(network)).cpu().eval()
    pooled.network.encoder.set_attn_implementation("eager")
    if int8:
        _lay_out_for_bytes(pooled.network.encoder)
    with _quiet():
        graph = _without_traces(_exported(pooled))
        onnx.save(graph, path)
        if int8:
            quantize_dynamic(
                path,
                path,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )


class _Pooled(nn.Module):
    """A network's pooled states as a function of arguments that have an order."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.network.pooled(input_ids=input_ids, attention_mask=attention_mask)


class RowScaledLinear(nn.Linear):
    """torch's layer, but the product is one of rows whose largest absolute value is 1."""

    @classmethod
    def of(cls, linear: nn.Linear) -> RowScaledLinear:
        """A layer with another's weights."""
        scaled = cls(linear.in_features, linear.out_features, bias=linear.bias is not None)
        scaled.weight, scaled.bias = linear.weight, linear.bias
        return scaled

    def forward(self, x: Tensor) -> Tensor:
        """(..., outputs) from (..., inputs)."""
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
    """Put the two layers above in the place of torch's, at any depth."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, RowScaledLinear.of(child))
        elif type(child) is nn.Embedding:
            setattr(module, name, ByteEmbedding(child))
        else:
            _lay_out_for_bytes(child)


def _exported(pooled: _Pooled) -> ModelProto:
    """The graph, with the number of texts and of tokens left open."""
    ids = torch.ones((2, 8), dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    size = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    try:
        program: Any = torch.onnx.export(
            pooled,
            (ids, mask),
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=(size, size),
            verbose=False,
        )
        graph: ModelProto = program.model_proto
        return graph
    except Exception as error:  # whatever the exporter meets in an encoder that it cannot express
        cause = error.__cause__ or error
        reason = str(cause).strip().split("\n")[0][:200]
        raise ArtefactError(
            f"this encoder ({type(pooled.network.encoder).__name__}) cannot be written as an ONNX graph "
            f"({type(cause).__name__}: {reason}). Encoders like BERT can."
        ) from error


def _without_traces(graph: ModelProto) -> ModelProto:
    """Without the lines of Python that each operator came from: they name this machine's folders."""
    for entry in (graph, graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.initializer):
        entry.ClearField("metadata_props")
        entry.ClearField("doc_string")
    return graph


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's warnings off: they are about its own code."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
