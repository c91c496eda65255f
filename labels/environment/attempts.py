"""Count requests with wrong keys per address, in a table of fixed size that all workers of a server share."""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

_ATTEMPTS, _MINUTE = 10, 60.0
_ROWS = 2**16
"""Number of addresses that can be counted at the same time."""
_COLUMNS = 1 + _ATTEMPTS
"""A row contains a fingerprint of its address, and the moments of its last failed attempts, the oldest first."""


class FailedAttempts:
    """Counts requests with wrong keys per address; after ten in a minute, an address must wait.

    Args:
        path: the file of the table, which the workers of a server share; None to keep the table in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        size = 8 * _ROWS * _COLUMNS
        if path is None:
            memory = mmap.mmap(-1, size)
        else:
            with path.open("a+b") as file:
                file.truncate(size)  # a new file is filled with zeros; the file of another worker keeps its content
                memory = mmap.mmap(file.fileno(), size)
        self._table = np.frombuffer(memory, dtype=np.float64).reshape(_ROWS, _COLUMNS)

    def add(self, address: str) -> None:
        """Count a failed attempt. Of two addresses with the same row, only the later one is remembered."""
        row, fingerprint = self._row(address)
        # Moments of a monotonic clock, which is the same for all processes of a machine; 0 is long ago.
        moments = row[2:].tolist() if row[0] == fingerprint else [0.0] * (_ATTEMPTS - 1)
        row[:] = [fingerprint, *moments, monotonic()]

    def seconds_left(self, address: str) -> float:
        """The time that an address must wait; 0 if the address may try now."""
        row, fingerprint = self._row(address)
        oldest = float(row[1])
        return max(0.0, oldest + _MINUTE - monotonic()) if row[0] == fingerprint and oldest else 0.0

    def _row(self, address: str) -> tuple[NDArray[np.float64], float]:
        """The row of an address, and its fingerprint, which is never 0."""
        digest = hashlib.blake2b(address.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        position, rest = int.from_bytes(digest[:8]) % _ROWS, int.from_bytes(digest[8:14])
        return self._table[position], float(rest + 1)
