"""Encode texts as vectors with a frozen sentence encoder, in batches of similar length, and cache the vectors.

The cache has one SQLite file per encoder in `cache_folder()`, so that folds and runs on the same texts encode every
text only once. Its contents can always be computed again. The file may therefore be deleted at any time; a damaged file
is deleted; and if the file cannot be written, work continues without it. `trainer.encoders.encoder` finds and opens
encoders.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labels.environment.progress import report_progress
from labels.output.drafts import cache_folder
from labels.unicode import undivided
from trainer.encoders.encoder import BUNDLED, default_pooling, encoder_digest, find_encoder, max_positions, open_encoder

if TYPE_CHECKING:
    import torch

Vectors = NDArray[np.float32]
"""Vectors of shape (n, dimensions), one row per text."""

TokenIds = NDArray[np.int64]
"""Token ids, or a mask that is 0 for padding, of shape (batch, tokens), padded to the longest text of the batch."""

BATCH = 32
MAX_LENGTH = 128
_CHUNK = 1024
_KEYS_A_QUERY = 500
_BUSY_SECONDS = 10
_DAMAGED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""SQLite's error codes for a file that is not a database, is damaged, or has unexpected tables."""


class Embedder:
    """A frozen sentence encoder, which is opened when the first text is encoded.

    Args:
        encoder: `minilm` for the bundled encoder, a folder, or a hub name.
        pooling: "mean", "first", or "auto" for the pooling that the encoder was trained with.
        max_length: maximum number of tokens, limited to the number of positions of the encoder; longer texts are
            truncated.

    Attributes:
        name: the argument `encoder`, but the absolute path if it is a folder.

    Raises:
        EncoderError: the encoder cannot be found. `encode` raises it if the encoder cannot be opened.
    """

    def __init__(self, encoder: str = BUNDLED, *, pooling: str = "auto", max_length: int = MAX_LENGTH) -> None:
        self._folder = find_encoder(encoder)
        self.name = str(Path(encoder).resolve()) if self._folder == Path(encoder) else encoder
        self.pooling = default_pooling(self._folder) if pooling == "auto" else pooling
        self.max_length = max_length

    @cached_property
    def identity(self) -> str:
        """16 hex digits that identify everything that affects vectors: weights, tokenizer, pooling, maximum length."""
        content = f"{encoder_digest(self._folder)}\n{self.pooling}\n{self.max_length}"
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def dimensions(self) -> int:
        """The number of dimensions of a vector."""
        return int(self.opened[0].config.hidden_size)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return unit-length float32 vectors of shape (n, dimensions), in the order of `texts`."""
        encoder, tokenizer = self.opened

        def pooled(**inputs: torch.Tensor) -> torch.Tensor:
            return pool_states(encoder(**inputs).last_hidden_state, inputs["attention_mask"], self.pooling)

        vectors = encode_in_batches(
            texts,
            tokenizer,
            lambda input_ids, attention_mask: ask_torch(pooled, encoder.device, input_ids, attention_mask),
            width=self.dimensions,
            max_length=min(self.max_length, max_positions(encoder)),
        )
        return normalised(vectors)

    @cached_property
    def opened(self) -> tuple[Any, Any]:
        """Return the encoder and its tokenizer, as transformers objects."""
        encoder, tokenizer = open_encoder(self._folder)
        return encoder.eval().to(best_device()), tokenizer


def best_device() -> str:
    """Return the device on which torch computes: a GPU if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def encode_in_batches(
    texts: Sequence[str],
    tokenizer: Any,
    encode: Callable[[TokenIds, TokenIds], Vectors],
    *,
    width: int,
    max_length: int,
) -> Vectors:
    """Encode texts in batches; returns a float32 array of shape (n, width), in the order of `texts`.

    Texts are batched by their number of tokens to reduce padding.

    Args:
        tokenizer: a tokenizer from transformers, or an object with the same interface.
        encode: function of a batch's input ids and attention mask that returns an array of shape (batch, width).
        width: the number of columns that `encode` returns.
        max_length: maximum number of tokens; longer texts are truncated.
    """
    tokens = (
        tokenizer(list(map(undivided, texts)), truncation=True, max_length=max_length)["input_ids"] if texts else []
    )
    # `rows` keeps the order of the texts; only the batches are made in the order of length.
    order = sorted(range(len(texts)), key=lambda position: len(tokens[position]))
    rows = np.zeros((len(texts), width), dtype=np.float32)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        batch = tokenizer.pad({"input_ids": [tokens[i] for i in chosen]}, return_tensors="np")
        rows[chosen] = encode(batch["input_ids"], batch["attention_mask"])
    return rows


def ask_torch(
    pooled: Callable[..., torch.Tensor], device: torch.device, input_ids: TokenIds, attention_mask: TokenIds
) -> Vectors:
    """Call a torch function of `input_ids` and `attention_mask` without gradients; returns shape (batch, width)."""
    import torch

    with torch.inference_mode():
        ids, mask = (torch.from_numpy(array).to(device) for array in (input_ids, attention_mask))
        vectors: Vectors = pooled(input_ids=ids, attention_mask=mask).float().cpu().numpy()
    return vectors


def pool_states(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool an encoder's last hidden states to one vector per text, of shape (batch, hidden size).

    Args:
        states: the last hidden states, of shape (batch, tokens, hidden size).
        mask: the attention mask, of shape (batch, tokens), 0 for padding.
        pooling: "first" for the state of the first token, "mean" for the mean over all tokens except padding.
    """
    if pooling == "first":
        return states[:, 0]
    # Padding is excluded: otherwise, the vector of a text would depend on the other texts in its batch.
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def normalised(vectors: Vectors) -> Vectors:
    """Scale rows to unit length; rows of zeros are not changed."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def cached_encode(embedder: Embedder, texts: Sequence[str], *, keep: bool = True) -> Vectors:
    """Return the same vectors as `embedder.encode(texts)`, but read known vectors from the cache.

    Args:
        keep: write new vectors to the cache; use false for texts that are encoded only once, such as a large corpus.
    """
    cache = EmbeddingCache(cache_folder() / "embeddings" / f"{embedder.identity}.sqlite", embedder.dimensions)
    known = cache.read(texts)
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    for start in range(0, len(missing), _CHUNK):
        chunk = missing[start : start + _CHUNK]
        fresh = dict(zip(chunk, embedder.encode(chunk), strict=True))
        if keep:
            cache.write(fresh)
        known |= fresh
        report_progress("Encoding", len(texts) - len(missing) + start + len(chunk), len(texts))
    # Look vectors up by text, because a text may occur several times. `reshape` is needed if there are no texts.
    return np.array([known[text] for text in texts], dtype=np.float32).reshape(len(texts), embedder.dimensions)


class EmbeddingCache:
    """The cached vectors of one encoder. The key of a vector is the SHA-256 digest of its text.

    Args:
        path: the cache file; it is created by the first `write`.
        dimensions: the number of dimensions. Cached vectors with another number of dimensions, or with a norm other
            than 1, are treated as missing.
    """

    def __init__(self, path: Path, dimensions: int) -> None:
        self._path = path
        self._dimensions = dimensions

    def read(self, texts: Iterable[str]) -> dict[str, NDArray[np.float32]]:
        """Return the cached vectors by text, without the texts that are not in the cache."""
        found: dict[str, NDArray[np.float32]] = {}
        if not self._path.is_file():
            return found
        by_key = {_key(text): text for text in texts}
        keys = list(by_key)
        with self._forgiving(), closing(self._connect()) as connection:
            # SQLite limits the parameters of a query.
            for start in range(0, len(keys), _KEYS_A_QUERY):
                some = keys[start : start + _KEYS_A_QUERY]
                marks = ",".join("?" * len(some))
                rows = connection.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some)  # noqa: S608
                for key, blob in rows:
                    vector = self._vector(blob)
                    if vector is not None:
                        found[by_key[key]] = vector
        return found

    def write(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Write vectors, given by text. If the file cannot be written, no vector is written and no error is raised."""
        # Little-endian on every machine: a cache folder may be shared.
        rows = [(_key(text), vector.astype("<f4").tobytes()) for text, vector in vectors.items()]
        with self._forgiving():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as connection, connection:
                connection.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")
                connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def _vector(self, blob: object) -> NDArray[np.float32] | None:
        if not isinstance(blob, bytes) or len(blob) != 4 * self._dimensions:
            return None
        vector = np.frombuffer(blob, dtype="<f4").astype(np.float32)
        # All cached vectors have unit length; any other length means that the bytes were damaged.
        return vector if abs(float(np.linalg.norm(vector)) - 1) < 1e-3 else None

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=_BUSY_SECONDS)

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Suppress errors, so that work continues without the cache; a damaged file is removed."""
        with suppress(OSError):
            try:
                yield
            except sqlite3.Error as error:
                # The low byte is the primary error code; extended codes add details in the higher bytes.
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                    self._path.unlink(missing_ok=True)


def _key(text: str) -> bytes:
    # Articles may contain unpaired surrogates, which the default UTF-8 encoder rejects.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
