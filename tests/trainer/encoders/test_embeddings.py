from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from labels.errors import EncoderError
from tests.conftest import make_examples
from tests.lazy import Lazy
from tests.trainer.conftest import texts_of
from trainer.encoders.embeddings import Embedder, normalised, pool_states

torch = Lazy("torch")
AutoModel = Lazy("transformers:AutoModel")
AutoTokenizer = Lazy("transformers:AutoTokenizer")

TEXTS = [f"{text} {'Rain fell. ' * (i * 7 % 11)}" for i, text in enumerate(texts_of(make_examples(70)))]


@pytest.fixture
def own_copy(short_encoder: Path, isolated: Path) -> Path:
    """An encoder's folder that a test may change; the weights are shared."""
    folder = isolated / "copy"
    shutil.copytree(short_encoder, folder, copy_function=lambda source, target: Path(target).hardlink_to(source))
    return folder


def rewrite(path: Path, content: str) -> None:
    path.unlink()  # the link, not the file that it shares
    path.write_text(content, encoding="utf-8")


def test_a_vector_is_the_normalised_mean_of_the_token_states(short_encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(short_encoder)
    with torch.inference_mode():
        inputs = tokenizer(["Oslo pledged winter fuel."], return_tensors="pt")
        states = AutoModel.from_pretrained(short_encoder, dtype=torch.float32)(**inputs).last_hidden_state[0].numpy()
    mean = states.mean(axis=0)
    (vector,) = Embedder(str(short_encoder)).encode(["Oslo pledged winter fuel."])
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_vectors_come_in_the_order_of_their_texts_whatever_the_lengths(short_encoder: Path) -> None:
    embedder = Embedder(str(short_encoder))
    alone = np.concatenate([embedder.encode([text]) for text in TEXTS])
    shuffled = random.Random(3).sample(range(len(TEXTS)), len(TEXTS))
    together = embedder.encode([TEXTS[i] for i in shuffled])
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone[shuffled], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.abs(alone @ alone.T - np.eye(len(TEXTS))).min() < 0.9  # so that a wrong order would show


def test_no_texts_give_no_rows(tiny_encoder: Path) -> None:
    assert Embedder(str(tiny_encoder)).encode([]).shape == (0, 16)


def test_texts_are_cut_at_max_length_and_where_the_encoder_ends(tiny_encoder: Path) -> None:
    one, other = Embedder(str(tiny_encoder), max_length=8).encode(["a b c d e f g", "a b c d e f truce truce"])
    assert one.tolist() == other.tolist()
    assert np.isfinite(Embedder(str(tiny_encoder), max_length=500).encode(["rain " * 300])).all()


def test_pooling_is_the_encoders_own_unless_another_is_asked_for(short_encoder: Path, tiny_encoder: Path) -> None:
    assert Embedder(str(short_encoder)).pooling == "mean"
    assert Embedder(str(tiny_encoder)).pooling == "first"
    assert Embedder(str(tiny_encoder), pooling="mean").pooling == "mean"


def test_a_folder_goes_by_its_whole_path(short_encoder: Path, own_copy: Path) -> None:
    assert Embedder("copy").name == str(own_copy.resolve())
    assert Embedder().name == "minilm"


def test_the_same_files_have_the_same_identity_wherever_they_lie(short_encoder: Path, own_copy: Path) -> None:
    (own_copy / "README.md").write_text("A copy.", encoding="utf-8")
    assert Embedder(str(own_copy)).identity == Embedder(str(short_encoder)).identity


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: rewrite(folder / "model.safetensors", "other weights"),
        lambda folder: rewrite(folder / "config.json", json.dumps({"layers": 1})),
        lambda folder: rewrite(folder / "tokenizer.json", "{}"),
    ],
    ids=["weights", "configuration", "tokenizer"],
)
def test_another_encoder_has_another_identity(
    short_encoder: Path, own_copy: Path, change: Callable[[Path], None]
) -> None:
    change(own_copy)
    assert Embedder(str(own_copy)).identity != Embedder(str(short_encoder)).identity


def test_pooling_and_length_are_part_of_the_identity(short_encoder: Path) -> None:
    name = str(short_encoder)
    settings = [Embedder(name), Embedder(name, pooling="first"), Embedder(name, max_length=64)]
    assert len({embedder.identity for embedder in settings}) == 3


def test_an_encoder_is_looked_for_at_once_and_opened_when_it_is_asked(own_copy: Path) -> None:
    with pytest.raises(EncoderError, match="there is no such folder"):
        Embedder("nowhere/at-all")
    rewrite(own_copy / "model.safetensors", "no weights")
    embedder = Embedder(str(own_copy))
    with pytest.raises(EncoderError, match="cannot be opened"):
        embedder.encode(["a"])


@pytest.mark.parametrize(("pooling", "expected"), [("mean", [[2.0, 3.0]]), ("first", [[1.0, 2.0]])])
def test_padding_is_not_pooled(pooling: str, expected: list[list[float]]) -> None:
    states = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    assert pool_states(states, torch.tensor([[1, 1, 0]]), pooling).tolist() == expected


@given(npst.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 4)), elements=st.floats(-9, 9, width=32)))
def test_normalised_rows_have_length_one_or_are_zero(vectors: np.ndarray) -> None:
    lengths = np.linalg.norm(normalised(vectors), axis=1)
    tiny = np.linalg.norm(vectors, axis=1) < 1e-6  # float32 squares of less vanish
    np.testing.assert_allclose(lengths[~tiny], 1, rtol=1e-4)
    assert np.isfinite(lengths).all()
