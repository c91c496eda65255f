"""Make a folder really read-only for a test, also for root."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VERSION = 0x20080522
_DAC_OVERRIDE = 1 << 1
"""The capability of root to write what the permissions forbid."""


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing in `folder` can be written meanwhile; for root, the kernel is told to heed the permissions."""
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)
    effective, permitted, inheritable = _capabilities()
    _set_capabilities(effective & ~_DAC_OVERRIDE, permitted, inheritable)
    try:
        yield
    finally:
        _set_capabilities(effective, permitted, inheritable)
        for path, mode in modes.items():
            path.chmod(mode)


def _capabilities() -> tuple[int, int, int]:
    """The first 32 capabilities of this thread: effective, permitted and inheritable."""
    data = (ctypes.c_uint32 * 6)()
    _call("capget", data)
    return data[0], data[1], data[2]


def _set_capabilities(*first: int) -> None:
    data = (ctypes.c_uint32 * 6)()
    _call("capget", data)
    data[0], data[1], data[2] = first
    _call("capset", data)


def _call(name: str, data: ctypes.Array[ctypes.c_uint32]) -> None:
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    if getattr(ctypes.CDLL(None, use_errno=True), name)(header, data):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
