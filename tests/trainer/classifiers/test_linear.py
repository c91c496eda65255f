from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labels.errors import ArtefactError
from labels.records import Example
from tests.conftest import make_examples
from tests.lazy import Lazy
from trainer.classifiers.base import output_probabilities
from trainer.classifiers.linear import (
    LinearLayer,
    build_regression,
    fit_regression,
    read_skops,
    regression_targets,
)

dump = Lazy("skops.io:dump")

LABELS = ("aid", "truce", "threat")


def features(examples: list[Example]) -> np.ndarray:
    """(n, 3): whether the text holds a word that goes with each label."""
    words = (("pledged", "send", "promised", "set aside"), ("truce", "halt", "silent", "ceasefire"), ("threatened",))
    return np.array([[any(word in e.text for word in group) for group in words] for e in examples], dtype=float)


def test_targets_are_a_column_a_label_or_a_class_with_none_last() -> None:
    examples = make_examples(4, exclusive=True)  # aid, truce, threat, none
    assert regression_targets(examples, LABELS, exclusive=False).tolist() == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
        [False, False, False],
    ]
    assert regression_targets(examples, LABELS, exclusive=True).tolist() == [0, 1, 2, 3]


def probabilities(layer: LinearLayer, rows: np.ndarray, n_labels: int, *, exclusive: bool) -> np.ndarray:
    return output_probabilities(layer.logits(rows), n_labels, exclusive=exclusive)


@pytest.mark.parametrize("exclusive", [False, True])
def test_probabilities_have_a_column_a_label_in_order(exclusive: bool) -> None:
    examples = make_examples(60, exclusive=True)
    regression = build_regression(exclusive=exclusive, C=10.0, class_weight="balanced", seed=1)
    regression.fit(features(examples), regression_targets(examples, LABELS, exclusive=exclusive))
    layer = LinearLayer.of(regression, 3 + exclusive, exclusive=exclusive)
    found = probabilities(layer, features(examples), 3, exclusive=exclusive)
    assert (found.shape, found.dtype) == ((60, 3), np.float32)
    gold = [[label in example.labels for label in LABELS] for example in examples]
    assert ((found > 0.5) == gold).all()


def test_a_class_that_train_lacks_gets_probability_zero() -> None:
    examples = [example for example in make_examples(60, exclusive=True) if example.labels != ("truce",)]
    regression = build_regression(exclusive=True, C=1.0, class_weight="none", seed=1)
    regression.fit(features(examples), regression_targets(examples, LABELS, exclusive=True))
    found = probabilities(LinearLayer.of(regression, 4, exclusive=True), features(examples), 3, exclusive=True)
    assert found[:, 1] == pytest.approx(0, abs=1e-9)
    assert (found[:, [0, 2]] > 0).all()


def test_a_single_label_gets_one_column_that_is_its_probability() -> None:
    examples = [replace(e, labels=tuple(x for x in e.labels if x == "aid")) for e in make_examples(40)]
    regression = build_regression(exclusive=False, C=10.0, class_weight="none", seed=1)
    regression.fit(features(examples), regression_targets(examples, LABELS[:1], exclusive=False))
    found = probabilities(LinearLayer.of(regression, 1, exclusive=False), features(examples), 1, exclusive=False)
    assert ((found[:, 0] > 0.5) == [bool(e.labels) for e in examples]).all()


# -- the layer gives scikit-learn's probabilities


def without(examples: list[Example], *labels: str) -> list[Example]:
    return [example for example in examples if not set(labels) & set(example.labels)]


def everywhere(examples: list[Example], label: str) -> list[Example]:
    return [replace(example, labels=tuple({*example.labels, label})) for example in examples]


EXAMPLES = make_examples(60, exclusive=True)
CASES = {
    "several labels": (False, EXAMPLES),
    "a label that none has": (False, without(EXAMPLES, "truce")),
    "a label that all have": (False, everywhere(EXAMPLES, "aid")),
    "classes": (True, EXAMPLES),
    "classes, one of them missing": (True, without(EXAMPLES, "truce")),
    "two classes": (True, without(EXAMPLES, "truce", "threat")),
}


@pytest.mark.filterwarnings("ignore:Label .* is present in all training examples:UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_a_layer_gives_the_probabilities_of_its_regression_and_keeps_them_on_disk(name: str) -> None:
    exclusive, examples = CASES[name]
    rng = np.random.default_rng(3)
    train, others = (rng.normal(size=(n, 8)).astype(np.float32) for n in (len(examples), 50))
    regression = build_regression(exclusive=exclusive, C=10.0, class_weight="balanced", seed=1)
    fit_regression(regression, train, regression_targets(examples, LABELS, exclusive=exclusive))
    said = regression.predict_proba(others)
    expected = said if not exclusive else np.zeros((50, 4))
    if exclusive:
        expected[:, regression.classes_] = said
    layer = LinearLayer.of(regression, 3 + exclusive, exclusive=exclusive)
    layer.save(Path("layer.safetensors"))
    found = probabilities(LinearLayer.load(Path("layer.safetensors")), others, 3, exclusive=exclusive)
    np.testing.assert_allclose(found, expected[:, :3], atol=1e-6)


# -- skops files of format 1


class Stranger:
    """A type that communique never wrote."""

    def __init__(self) -> None:
        self.value = 3


def write_schema(path: Path, schema: dict[str, object]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema | {"protocol": 2, "_skops_version": "0.16.0"}))


def node(module: str, name: str, loader: str, **content: object) -> dict[str, object]:
    return {"__module__": module, "__class__": name, "__loader__": loader} | content


COMMAND = node("builtins", "str", "JsonNode", content=json.dumps("touch sprung"), is_json=True)
ARGUMENTS = node("builtins", "tuple", "TupleNode", content=[COMMAND])
EMPTY = node("builtins", "dict", "DictNode", content={}, key_types=node("builtins", "list", "ListNode", content=[]))
SYSTEM = node("os", "system", "FunctionNode")
CALL = {"func": SYSTEM, "args": ARGUMENTS, "kwds": EMPTY, "namespace": EMPTY}
METHOD = {"func": "fit", "obj": node("sklearn.pipeline", "Pipeline", "ObjectNode")}
HOSTILE = {
    "a function": (SYSTEM, r"os\.system"),
    "a call": (node("functools", "partial", "PartialNode", content=CALL), r"functools\.partial, os\.system"),
    "a constructor": (node("subprocess", "Popen", "ConstructorFromReduceNode", content=ARGUMENTS), "Popen"),
    "deep inside": (node("builtins", "list", "ListNode", content=[EMPTY, SYSTEM]), r"os\.system"),
    "a method of a type of ours": (node("sklearn.pipeline", "Pipeline", "MethodNode", content=METHOD), "Pipeline"),
    "a type that only skops trusts": (node("sklearn.svm._classes", "SVC", "ObjectNode"), r"sklearn\.svm.*SVC"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_skops_file_is_refused_and_nothing_of_it_runs(name: str) -> None:
    schema, named = HOSTILE[name]
    write_schema(Path("model.skops"), schema)
    with pytest.raises(ArtefactError, match=rf"^model\.skops: the file contains types that are not trusted: .*{named}"):
        read_skops(Path("model.skops"))
    assert not Path("sprung").exists()


def test_a_type_in_a_skops_file_that_communique_never_wrote_is_named() -> None:
    dump({"regression": Stranger()}, Path("model.skops"))
    with pytest.raises(ArtefactError, match=r"not trusted: .*Stranger"):
        read_skops(Path("model.skops"))


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04."])
def test_a_file_that_is_not_of_skops_is_refused(content: bytes) -> None:
    Path("model.skops").write_bytes(content)
    with pytest.raises(ArtefactError, match=r"^model\.skops: not a skops file"):
        read_skops(Path("model.skops"))


def test_a_regression_of_format_1_is_read() -> None:
    regression = build_regression(exclusive=False, C=10.0, class_weight="none", seed=1)
    fit_regression(
        regression, features(EXAMPLES), regression_targets(everywhere(EXAMPLES, "aid"), LABELS, exclusive=False)
    )
    dump(regression, Path("model.skops"))
    again = read_skops(Path("model.skops"))
    assert (again.predict_proba(features(EXAMPLES)) == regression.predict_proba(features(EXAMPLES))).all()
