"""What is refused as a graph, and the tokenizer that stands for that of transformers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from labels.errors import ArtefactError
from trainer.classifiers.onnx import PlainTokenizer, open_session

GRAPH = Path("model.onnx")


def write_graph(node: onnx.NodeProto, *weights: TensorProto, functions: list[onnx.FunctionProto] | None = None) -> Path:
    """A graph of one operator from four numbers to four."""
    four = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y")]
    graph = helper.make_graph([node], "graph", four[:1], four[1:], list(weights))
    domains = [helper.make_opsetid(domain, 20 if not domain else 1) for domain in {"", node.domain}]
    model = helper.make_model(graph, opset_imports=domains, ir_version=10, functions=functions or [])
    GRAPH.write_bytes(model.SerializeToString())
    return GRAPH


def ones() -> TensorProto:
    return helper.make_tensor("w", TensorProto.FLOAT, [4], np.ones(4, dtype=np.float32))


def elsewhere(tensor: TensorProto) -> TensorProto:
    """The same tensor, said to lie in another file beside the graph, where it does."""
    Path("weights.bin").write_bytes(np.ones(4, dtype=np.float32).tobytes())
    outside = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="weights.bin")
    return outside


def test_a_plain_graph_is_run() -> None:
    session = open_session(write_graph(helper.make_node("Add", ["x", "w"], ["y"]), ones()))
    [sums] = session.run(None, {"x": np.arange(4, dtype=np.float32)})
    assert sums.tolist() == [1, 2, 3, 4]
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_weights_in_another_file_are_refused() -> None:
    graph = write_graph(helper.make_node("Add", ["x", "w"], ["y"]), elsewhere(ones()))
    with pytest.raises(ArtefactError, match=r"model\.onnx: the graph contains weights outside the file"):
        open_session(graph)


def test_a_constant_in_another_file_is_refused() -> None:
    with pytest.raises(ArtefactError, match="weights outside the file"):
        open_session(write_graph(helper.make_node("Constant", [], ["y"], value=elsewhere(ones()))))


def test_operators_of_other_domains_are_refused() -> None:
    graph = write_graph(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"))
    with pytest.raises(ArtefactError, match=r"not standard ONNX operators \(com\.microsoft\.Gelu\).*communique export"):
        open_session(graph)


def test_graphs_inside_the_graph_are_refused() -> None:
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], value=ones())],
        "branch",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
    )
    yes = helper.make_tensor("w", TensorProto.BOOL, [], [True])
    graph = write_graph(helper.make_node("If", ["w"], ["y"], then_branch=branch, else_branch=branch), yes)
    with pytest.raises(ArtefactError, match="graphs or functions inside the graph"):
        open_session(graph)


def test_functions_inside_the_graph_are_refused() -> None:
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    function = helper.make_function("", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 20)])
    with pytest.raises(ArtefactError, match="graphs or functions inside the graph"):
        open_session(write_graph(helper.make_node("Twice", ["x"], ["y"]), functions=[function]))


@pytest.mark.parametrize("content", [b"no graph at all", b""])
def test_what_is_no_graph_is_refused_with_a_repair(content: bytes) -> None:
    GRAPH.write_bytes(content)
    with pytest.raises(ArtefactError, match=r"onnxruntime \d.* cannot open this graph .*communique export"):
        open_session(GRAPH)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ArtefactError, match=r'pip install "communique\[onnx\]"'):
        open_session(GRAPH)


@pytest.mark.parametrize(("wished", "threads"), [("3", 3), ("", None), ("0", None), ("2,2", None)])
def test_as_many_threads_as_wished_or_else_as_processors(
    monkeypatch: pytest.MonkeyPatch, wished: str, threads: int | None
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", wished)
    session = open_session(write_graph(helper.make_node("Add", ["x", "w"], ["y"]), ones()))
    expected = threads or len(os.sched_getaffinity(0))
    assert session.get_session_options().intra_op_num_threads == expected


@pytest.fixture(scope="module")
def tokenizers(tiny_encoder: Path) -> tuple[Any, PlainTokenizer]:
    """That of transformers, and ours for at most 12 tokens."""
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(tiny_encoder, local_files_only=True)
    return theirs, PlainTokenizer((tiny_encoder / "tokenizer.json").read_text("utf-8"), 12, theirs.pad_token_id)


@settings(deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), min_size=1, max_size=4))
def test_tokens_and_padding_are_those_of_transformers(tokenizers: tuple[Any, PlainTokenizer], texts: list[str]) -> None:
    theirs, ours = tokenizers
    expected, found = theirs(texts, truncation=True, max_length=12)["input_ids"], ours(texts)["input_ids"]
    assert found == expected
    padded, arrays = theirs.pad({"input_ids": expected}, return_tensors="np"), ours.pad({"input_ids": found})
    for name in ("input_ids", "attention_mask"):
        assert arrays[name].dtype == np.int64
        np.testing.assert_array_equal(arrays[name], padded[name])
