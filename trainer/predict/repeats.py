"""Repeated sentences are predicted once: the probabilities of the latest different sentences are remembered.

What is remembered depends only on the sentences so far, in order, and not on when the model answered them. A log of the
answers restores it exactly, so a continued run asks the model for the same batches as an uninterrupted run. The last
digits of a transformer's probabilities depend on the batch; equal batches give equal bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.calibration.calibration import Probabilities

CAPACITY = 100_000
"""Number of remembered sentences; together they take about 25 MB."""
_WIDTH = 16


def digests(texts: Iterable[str]) -> bytes:
    """The digests of texts, 16 bytes each."""
    # Articles may contain unpaired surrogates, which the default UTF-8 encoder rejects.
    return b"".join(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_WIDTH).digest() for text in texts
    )


@dataclass(frozen=True)
class Plan:
    """The sentences of a block that the model must answer, and where the answers for all sentences are.

    - `fresh`: indices of the sentences to predict, in order
    - `slots`: (n,) number of the answer for each sentence; answers are numbered in the order of first occurrence
    - `start`: the number of the first fresh answer
    - `keys`: the digests of the fresh sentences
    """

    fresh: list[int]
    slots: NDArray[np.int64]
    start: int
    keys: list[bytes]


class Repeats:
    """The answers for the latest `capacity` different sentences.

    Call `plan` for the blocks in order, and `resolve` for the same blocks in the same order; several blocks can be
    planned before the first is resolved.
    """

    def __init__(self, labels: int, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._slots: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._answers = np.zeros((capacity, labels), dtype=np.float32)
        self._next = 0

    def plan(self, keys: bytes) -> Plan:
        """Find the sentences of a block that were not answered or planned before; `keys` are their `digests`."""
        start, fresh, own = self._next, [], []
        slots = np.empty(len(keys) // _WIDTH, dtype=np.int64)
        for row in range(len(slots)):
            key = keys[row * _WIDTH : (row + 1) * _WIDTH]
            slot = self._slots.get(key)
            if slot is None:
                slot = self._add(key)
                fresh.append(row)
                own.append(key)
            slots[row] = slot
        return Plan(fresh, slots, start, own)

    def _add(self, key: bytes) -> int:
        slot, place = self._next, self._next % self._capacity
        if slot < self._capacity:
            self._keys.append(key)
        else:
            del self._slots[self._keys[place]]
            self._keys[place] = key
        self._slots[key] = slot
        self._next += 1
        return slot

    def resolve(self, plan: Plan, fresh: Probabilities) -> Probabilities:
        """(n, labels) probabilities of all sentences of a block, from the probabilities of its fresh sentences."""
        found = np.empty((len(plan.slots), self._answers.shape[1]), dtype=np.float32)
        earlier = plan.slots < plan.start
        found[earlier] = self._answers[plan.slots[earlier] % self._capacity]
        found[~earlier] = fresh[plan.slots[~earlier] - plan.start]
        kept = fresh[-self._capacity :]
        last = plan.start + len(fresh)
        self._answers[np.arange(last - len(kept), last) % self._capacity] = kept
        return found

    def log(self, plan: Plan, fresh: Probabilities) -> bytes:
        """The entries of a block for the log from which `restore` reads: 16 bytes and one float32 per label each."""
        # Little-endian on every machine: the folder of a run may be shared.
        return b"".join(key + row.tobytes() for key, row in zip(plan.keys, fresh.astype("<f4"), strict=True))

    def restore(self, log: Path) -> None:
        """Remember the latest answers in a log; its length must be that of whole entries."""
        width = _WIDTH + 4 * self._answers.shape[1]
        entries = log.stat().st_size // width
        first = max(0, entries - self._capacity)
        self._next = first
        with log.open("rb") as file:
            file.seek(first * width)
            # In order from `first`, as if the ring had been filled to that place.
            self._keys = [b""] * min(first, self._capacity)
            while entry := file.read(width):
                place = self._next % self._capacity
                if place < len(self._keys):
                    self._keys[place] = entry[:_WIDTH]
                else:
                    self._keys.append(entry[:_WIDTH])
                self._slots[entry[:_WIDTH]] = self._next
                self._answers[place] = np.frombuffer(entry[_WIDTH:], dtype="<f4")
                self._next += 1
