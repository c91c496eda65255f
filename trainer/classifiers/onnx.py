"""Write and run a network as an ONNX graph, in float32 or with 8-bit weights.

The graph maps token ids and mask to pooled vectors. `write_graph` writes the graph with torch. `OnnxNetwork` runs the
graph with onnxruntime and applies the linear head in numpy. It replaces the torch `Network` and must not import torch
or transformers, whose imports take seconds.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from labels.errors import ArtefactError
from trainer.classifiers.linear import LinearLayer
from trainer.encoders.embeddings import TokenIds, Vectors

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto
    from onnxruntime import InferenceSession

    from trainer.classifiers.network import Network, Pooler


GRAPH, ENCODER, HEAD, SETTINGS = "onnx/model.onnx", "encoder", "head.safetensors", "settings.json"
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "pooled"
OPSET = 20
"""The first ONNX opset with a GELU operator."""
NOT_INSTALLED = (
    'onnxruntime, onnx or onnxscript is not installed. Install all three with `pip install "communique[onnx]"`.'
)


class NetworkSettings(BaseModel):
    """The contents of `settings.json`: the settings needed to open a saved network.

    `encoder` is the name of the encoder that training started from. `finetune` sets `best_epoch`; `contrastive` sets
    `steps`. `precision`, `parameters` and `pad_token_id` are set on export, because computing them needs torch.
    """

    model_config = ConfigDict(frozen=True)

    encoder: str
    pooling: str
    normalise: bool = False
    max_length: int
    best_epoch: float = 0.0
    steps: int = 0
    precision: str = ""
    parameters: int = 0
    pad_token_id: int = 0


class OnnxNetwork:
    """Replaces the torch `Network` in prediction, with the same `encode`, `layer` and `size`.

    Args:
        folder: contains `onnx/model.onnx`, `encoder/tokenizer.json`, `head.safetensors` and `settings.json`.

    Raises:
        ArtefactError: onnxruntime is not installed or cannot open the graph, or the graph contains elements that
            communique never writes.
    """

    def __init__(self, folder: Path, settings: NetworkSettings) -> None:
        self._folder = folder
        self._session = open_session(folder / GRAPH)
        self.layer = LinearLayer.load(folder / HEAD)
        self.size = settings.parameters
        content = (folder / ENCODER / "tokenizer.json").read_text(encoding="utf-8")
        self.tokenizer = PlainTokenizer(content, settings.max_length, settings.pad_token_id)

    def encode(self, input_ids: TokenIds, attention_mask: TokenIds) -> Vectors:
        """Return the (batch, width) pooled states, which are the input of the head.

        In an int8 graph, rounding depends on the batch, so the vector of a text depends slightly on the other texts.
        """
        vectors: Vectors = self._session.run([OUTPUT], dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))[0]
        return vectors

    def save(self, folder: Path) -> None:
        """Copy graph, tokenizer, head and settings to an existing folder."""
        for name in (Path(GRAPH).parent.name, ENCODER):
            shutil.copytree(self._folder / name, folder / name)
        for name in (HEAD, SETTINGS):
            shutil.copyfile(self._folder / name, folder / name)


class PlainTokenizer:
    """A tokenizer with the interface of transformers' tokenizers but without importing torch.

    Args:
        content: the text of a `tokenizer.json`.
        max_length: maximum number of tokens; longer texts are truncated.
        pad_token_id: id of the padding token; padding is on the right.
    """

    def __init__(self, content: str, max_length: int, pad_token_id: int) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(content)
        self._tokenizer.no_padding()  # `pad` adds padding later, after texts are grouped by length
        self._tokenizer.enable_truncation(max_length)
        self._pad_token_id = pad_token_id

    def __call__(self, texts: Sequence[str], **_limits: Any) -> dict[str, list[list[int]]]:
        """Return the `input_ids` of each text, truncated to this tokenizer's `max_length`."""
        return {"input_ids": [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]}

    def pad(self, batch: dict[str, list[list[int]]], **_kind: Any) -> dict[str, TokenIds]:
        """Return `input_ids` and `attention_mask` as padded arrays of shape (batch, tokens)."""
        rows = batch["input_ids"]
        shape = len(rows), max(map(len, rows))
        ids, mask = np.full(shape, self._pad_token_id, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return dict(zip(INPUTS, (ids, mask), strict=True))


def open_session(graph: Path) -> InferenceSession:
    """Open an onnxruntime session for a graph written by `write_graph`.

    A float32 graph runs on a GPU if onnxruntime can use one.

    Raises:
        ArtefactError: see `OnnxNetwork`.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ArtefactError(f"{graph}: this model runs on onnxruntime, but {NOT_INSTALLED}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.log_severity_level = 3  # errors only: its warnings are about optimisations
    try:
        # Load no external data, because a graph can name any file on this computer as its weights.
        model = onnx.load(graph, load_external_data=False)
        _refuse_unusual_graph(graph, model)
        return onnxruntime.InferenceSession(str(graph), options, providers=_providers(model))
    except ArtefactError:
        raise
    except Exception as error:  # protobuf and onnxruntime errors have no common base class
        reason = str(error).strip().split("\n")[0][:200]
        raise ArtefactError(
            f"{graph}: onnxruntime {onnxruntime.__version__} cannot open this graph ({reason}). Upgrade onnxruntime, "
            "or export the model again with `communique export`."
        ) from error


def _refuse_unusual_graph(path: Path, model: ModelProto) -> None:
    """Refuse graphs that are nested or have custom operators or external weights, which could read other files."""
    nodes = model.graph.node
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in nodes if node.domain not in ("", "ai.onnx")})
    nested = any(attribute.HasField("g") or attribute.graphs for node in nodes for attribute in node.attribute)
    outside = any(tensor.data_location == tensor.EXTERNAL for tensor in _tensors(model))
    for found, what in (
        (foreign, f"operators that are not standard ONNX operators ({', '.join(foreign[:3])})"),
        (nested or model.functions, "graphs or functions inside the graph"),
        (outside or model.graph.sparse_initializer, "weights outside the file"),
    ):
        if found:
            raise ArtefactError(
                f"{path}: the graph contains {what}, which communique never writes and refuses to load. "
                "Export the model again with `communique export`."
            )


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors


def _providers(model: ModelProto) -> list[str]:
    """Return the execution providers in order of preference; 8-bit operators run only on the CPU."""
    import onnxruntime

    bytewise = any(node.op_type == "DynamicQuantizeLinear" for node in model.graph.node)
    wanted = ["CPUExecutionProvider"] if bytewise else ["CUDAExecutionProvider", "CPUExecutionProvider"]
    return [provider for provider in wanted if provider in onnxruntime.get_available_providers()]


def _threads() -> int:
    """Return OMP_NUM_THREADS, which torch also uses, or else the number of processors available to this process."""
    wished = os.environ.get("OMP_NUM_THREADS", "")
    if wished.isdigit() and int(wished):
        return int(wished)
    affinity = getattr(os, "sched_getaffinity", None)  # not available on all systems
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def write_graph(network: Network, path: Path, *, int8: bool) -> None:
    """Write `network.pooled` as one ONNX file for batches of any size; the network is not changed.

    Raises:
        ArtefactError: the exporter is not installed, or does not support this encoder.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # needed by torch's exporter
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise ArtefactError(f"{path.name}: the file cannot be written, because {NOT_INSTALLED}") from error
    with _quiet():
        onnx.save(_without_traces(_exported(network.as_pooler(int8=int8))), path)
        if int8:
            quantize_dynamic(
                path,
                path,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                reduce_range=True,  # 7 bits: sums of 8-bit products overflow on processors without VNNI
                weight_type=QuantType.QInt8,
            )


def _exported(pooler: Pooler) -> ModelProto:
    """Export the graph, with variable numbers of texts and tokens."""
    import torch

    # The input for tracing: sizes of 1 would become constants, and transformers may drop a mask without padding.
    ids = torch.ones((2, 8), dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    size = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    try:
        program: Any = torch.onnx.export(
            pooler,
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
    except Exception as error:  # the exporter may raise anything for an unsupported encoder
        cause = error.__cause__ or error
        reason = str(cause).strip().split("\n")[0][:200]
        raise ArtefactError(
            f"this encoder ({type(pooler.network.encoder).__name__}) cannot be written as an ONNX graph "
            f"({type(cause).__name__}: {reason}). Train with another encoder; BERT-like encoders are supported."
        ) from error


def _without_traces(graph: ModelProto) -> ModelProto:
    """Remove the Python source locations of the operators, which contain folder names of this computer."""
    for entry in (graph, graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.initializer):
        entry.ClearField("metadata_props")
        entry.ClearField("doc_string")
    return graph


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's warnings, which concern only its own code."""
    # Disable all loggers until the end of the block, because the names of the exporter's loggers may change.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
