"""Vectors of frozen encoders kept on disk, so that folds and runs on the same texts encode each text once.

One SQLite file for each encoder under `cache_folder()`. Its content can be computed again: the file may be deleted at
any time, a damaged one is deleted, and where none can be written, work continues without it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labels.files import cache_folder
from labels.progress import report_progress
from trainer.encoders.embeddings import Embedder, Vectors

_CHUNK = 1024
_KEYS_A_QUERY = 500
_BUSY_SECONDS = 10
_DAMAGED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""What SQLite reports for a file that is not a database, is damaged, or has other tables than ours."""


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
    # By text, as the same sentence may occur several times.
    vectors = np.zeros((len(texts), embedder.dimensions), dtype=np.float32)
    for row, text in enumerate(texts):
        vectors[row] = known[text]
    return vectors


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
        by_key = {_key(text): text for text in texts}
        found: dict[str, NDArray[np.float32]] = {}
        if not self._path.is_file():
            return found
        keys = list(by_key)
        with self._forgiving(), closing(self._connect()) as connection:
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
        try:
            yield
        except sqlite3.Error as error:
            # The low byte is the primary code; extended codes add details above it.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                self._remove()
        except OSError:
            return

    def _remove(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            return


def _key(text: str) -> bytes:
    # Articles may contain unpaired surrogates, which plain UTF-8 refuses.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
