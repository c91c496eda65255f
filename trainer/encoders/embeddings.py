"""Texts -> vectors of a frozen sentence encoder, in batches of similar length, and a cache of them from run to run.

The cache is one SQLite file for each encoder under `cache_folder()`, so that folds and runs on the same texts encode
each text once. Its content can be computed again: the file may be deleted at any time, a damaged one is deleted, and
where none can be written, work continues without it. `trainer.encoders.encoder` finds and opens encoders.
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

from labels.files import cache_folder
from labels.progress import report_progress
from trainer.encoders.encoder import BUNDLED, default_pooling, encoder_digest, find_encoder, max_positions, open_encoder

if TYPE_CHECKING:
    import torch

Vectors = NDArray[np.float32]
"""(n, dimensions), a row for each text."""

TokenIds = NDArray[np.int64]
"""(batch, tokens), padded to the longest text: token ids, or a mask that is 0 where a token is padding."""

BATCH = 32
MAX_LENGTH = 128
_CHUNK = 1024
_KEYS_A_QUERY = 500
_BUSY_SECONDS = 10
_DAMAGED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""What SQLite reports for a file that is not a database, is damaged, or has other tables than ours."""


class Embedder:
    """A sentence encoder that is used but not trained; it is opened when the first text comes.

    Args:
        encoder: `minilm` for the bundled one, a folder, or a hub name.
        pooling: "mean", "first", or "auto" for what the encoder was trained with.
        max_length: tokens; longer texts are cut, at the latest where the encoder's positions end.

    `name` is the encoder as given, a folder by its whole path.

    Raises:
        EncoderError: the encoder cannot be found; `encode` raises it where it cannot be opened.
    """

    def __init__(self, encoder: str = BUNDLED, *, pooling: str = "auto", max_length: int = MAX_LENGTH) -> None:
        self._folder = find_encoder(encoder)
        self.name = str(Path(encoder).resolve()) if self._folder == Path(encoder) else encoder
        self.pooling = default_pooling(self._folder) if pooling == "auto" else pooling
        self.max_length = max_length

    @cached_property
    def identity(self) -> str:
        """16 hex digits: equal where the same text gets the same vector (weights, tokenizer, pooling, length)."""
        content = f"{encoder_digest(self._folder)}\n{self.pooling}\n{self.max_length}"
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._opened[0].config.hidden_size)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """(n, dimensions) float32 vectors of length 1, in the order of `texts`."""
        encoder, tokenizer = self._opened

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
    def _opened(self) -> tuple[Any, Any]:
        encoder, tokenizer = open_encoder(self._folder)
        return encoder.eval().to(best_device()), tokenizer


def best_device() -> str:
    """Where torch computes: on a GPU where there is one."""
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
    """(n, width) float32 of what `encode` gives for each text, in the order of `texts`.

    Texts are batched by their number of tokens, so that little time is spent on padding.

    Args:
        tokenizer: one of transformers', or an object with the same interface.
        encode: called with a batch's input ids and attention mask; gives (batch, width).
        max_length: tokens at which longer texts are cut.
    """
    tokens = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"] if texts else []
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
    """(batch, width) of what a torch function of `input_ids` and `attention_mask` gives, without gradients."""
    import torch

    with torch.inference_mode():
        ids, mask = (torch.from_numpy(array).to(device) for array in (input_ids, attention_mask))
        vectors: Vectors = pooled(input_ids=ids, attention_mask=mask).float().cpu().numpy()
    return vectors


def pool_states(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """(batch, hidden size) from an encoder's last states (batch, tokens, hidden size).

    Args:
        mask: (batch, tokens), 0 for padding.
        pooling: "first" takes the first token's state, "mean" the mean over all tokens but padding.
    """
    if pooling == "first":
        return states[:, 0]
    # Padding must not count, or a text's vector would depend on its batch.
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def normalised(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1; a row of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def cached_encode(embedder: Embedder, texts: Sequence[str], *, keep: bool = True) -> Vectors:
    """What `embedder.encode(texts)` gives, taken from its cache where it is there.

    Args:
        keep: write what had to be encoded to the cache; false for texts that are read only once, such as a corpus.
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
    # By text, as the same sentence may occur several times. The shape is given for the case of no text.
    return np.array([known[text] for text in texts], dtype=np.float32).reshape(len(texts), embedder.dimensions)


class EmbeddingCache:
    """The vectors of one encoder, by the SHA-256 of their text.

    Args:
        path: the file; it is made when something is written.
        dimensions: length of a vector. Vectors of another length or norm than 1 count as missing.
    """

    def __init__(self, path: Path, dimensions: int) -> None:
        self._path = path
        self._dimensions = dimensions

    def read(self, texts: Iterable[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors of those texts that are known."""
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
        """Store the vectors of these texts: all of them, or none where the file cannot be written."""
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
        # All vectors here have length 1; another length means that the bytes were damaged.
        return vector if abs(float(np.linalg.norm(vector)) - 1) < 1e-3 else None

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=_BUSY_SECONDS)

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Continue without the cache after an error; a damaged file is removed."""
        with suppress(OSError):
            try:
                yield
            except sqlite3.Error as error:
                # The low byte is the primary code; extended codes add details above it.
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                    self._path.unlink(missing_ok=True)


def _key(text: str) -> bytes:
    # Articles may contain unpaired surrogates, which plain UTF-8 refuses.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
