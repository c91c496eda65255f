from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labels.output.drafts import cache_folder
from tests.conftest import progress_reports
from trainer.encoders.embeddings import Embedder, EmbeddingCache, cached_encode

TEXTS = ["Oslo pledged fuel.", "Rain fell.", "The envoy called for a truce.", "Rain fell."]


class CountingEmbedder(Embedder):
    """An embedder that remembers what it was asked for."""

    def __init__(self, encoder: Path) -> None:
        super().__init__(str(encoder))
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        return super().encode(texts)


@pytest.fixture
def embedder(tiny_encoder: Path) -> CountingEmbedder:
    return CountingEmbedder(tiny_encoder)


def cache_file(embedder: Embedder) -> Path:
    return cache_folder() / "embeddings" / f"{embedder.identity}.sqlite"


def unit(*numbers: float) -> NDArray[np.float32]:
    vector = np.array(numbers, dtype=np.float32)
    return vector / np.linalg.norm(vector)


# -- encoding through the cache


def test_each_text_is_encoded_once(embedder: CountingEmbedder, tiny_encoder: Path) -> None:
    first = cached_encode(embedder, TEXTS)
    again = CountingEmbedder(tiny_encoder)
    second = cached_encode(again, [*TEXTS, "Prices rose."])
    assert embedder.asked == TEXTS[:3]
    assert again.asked == ["Prices rose."]
    np.testing.assert_array_equal(second[:4], first)


def test_cached_vectors_are_those_of_the_encoder(embedder: CountingEmbedder) -> None:
    cached_encode(embedder, TEXTS)
    np.testing.assert_allclose(cached_encode(embedder, TEXTS), embedder.encode(TEXTS), atol=1e-6)


def test_what_is_not_to_be_kept_leaves_no_file(embedder: CountingEmbedder) -> None:
    cached_encode(embedder, TEXTS, keep=False)
    assert not cache_folder().exists()


def test_what_is_kept_is_used_where_nothing_is_to_be_kept(embedder: CountingEmbedder) -> None:
    cached_encode(embedder, TEXTS[:2])
    embedder.asked.clear()
    cached_encode(embedder, TEXTS, keep=False)
    assert embedder.asked == [TEXTS[2]]


def test_no_text_gives_no_row(embedder: CountingEmbedder) -> None:
    assert cached_encode(embedder, []).shape == (0, 16)


def test_progress_counts_what_was_known_too(embedder: CountingEmbedder) -> None:
    cached_encode(embedder, TEXTS[:1])
    with progress_reports() as reports:
        cached_encode(embedder, TEXTS[:3])
    assert reports == [("Encoding", 3, 3)]


@pytest.mark.parametrize(
    "content", [b"", b"no database", b"SQLite format 3\x00" + b"\x00" * 4000], ids=["empty", "text", "header alone"]
)
def test_a_damaged_file_is_ignored_and_made_anew(embedder: CountingEmbedder, content: bytes) -> None:
    path = cache_file(embedder)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    vectors = cached_encode(embedder, TEXTS)
    np.testing.assert_allclose(vectors, embedder.encode(TEXTS), atol=1e-6)
    embedder.asked.clear()
    cached_encode(embedder, TEXTS)  # at the latest now it is whole again
    embedder.asked.clear()
    cached_encode(embedder, TEXTS)
    assert embedder.asked == []


def test_a_database_of_something_else_is_replaced(embedder: CountingEmbedder) -> None:
    path = cache_file(embedder)
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE vectors (other TEXT)")
    cached_encode(embedder, TEXTS)
    assert len(EmbeddingCache(path, 16).read(TEXTS)) == 3


def test_a_folder_that_cannot_be_written_stops_nothing(embedder: CountingEmbedder) -> None:
    cache_folder().write_text("a file, where the folder should be", encoding="utf-8")
    assert cached_encode(embedder, TEXTS).shape == (4, 16)


# -- the file


def test_vectors_of_another_length_or_norm_count_as_missing(isolated: Path) -> None:
    path = isolated / "cache.sqlite"
    EmbeddingCache(path, 2).write({"good": unit(1, 2), "long": unit(1, 2, 3), "bad": np.array([3, 4], np.float32)})
    found = EmbeddingCache(path, 2).read(["good", "long", "bad", "absent"])
    assert list(found) == ["good"]
    assert found["good"].tolist() == unit(1, 2).tolist()


def test_more_texts_than_a_query_holds_are_found(isolated: Path) -> None:
    cache = EmbeddingCache(isolated / "cache.sqlite", 2)
    vectors = {f"text {i}": unit(1, i) for i in range(1203)}
    cache.write(vectors)
    found = cache.read(vectors)
    assert {text: tuple(vector) for text, vector in found.items()} == {t: tuple(v) for t, v in vectors.items()}


def test_half_characters_have_a_key(isolated: Path) -> None:
    cache = EmbeddingCache(isolated / "cache.sqlite", 2)
    cache.write({"cut \ud83d": unit(0, 1)})
    assert list(cache.read(["cut \ud83d", "cut"])) == ["cut \ud83d"]


def test_reading_makes_no_file(isolated: Path) -> None:
    assert EmbeddingCache(isolated / "cache.sqlite", 2).read(["a"]) == {}
    assert not (isolated / "cache.sqlite").exists()


def test_a_locked_file_is_left_alone(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.encoders.embeddings._BUSY_SECONDS", 0)
    path = isolated / "cache.sqlite"
    cache = EmbeddingCache(path, 2)
    cache.write({"a": unit(1, 2)})
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        cache.write({"b": unit(1, 2)})
        assert cache.read(["a"]) == {}
    assert list(cache.read(["a", "b"])) == ["a"]
