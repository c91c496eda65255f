"""The address of a server, where its requests come from, and how often an address failed to give a valid key.

Requests come from this machine, a proxy, the server's own pages, or other sites. Header names are in small letters.
Wrong keys are counted in a table of fixed size that all workers of a server share.
"""

from __future__ import annotations

import hashlib
import ipaddress
import mmap
import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from labels.errors import InputError

_BACKLOG = 2048
"""Maximum number of connections waiting to be accepted: uvicorn's default."""
_FORWARDING = re.compile(r"forwarded|x-forwarded-.*|x-real-ip|via")
"""Names of the headers that proxies add to a request."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 chooses a free port.

    Raises:
        InputError: the address is in use, or is not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        # A server that was just stopped leaves its port in TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)  # clients may connect as soon as the URL is announced
    except (OSError, UnicodeError) as error:  # UnicodeError: not a valid host name
        raise InputError(
            f"cannot listen on {host} port {port} ({getattr(error, 'strerror', None) or error}). "
            "Choose another address with --host or --port; --port 0 chooses a free port."
        ) from error
    return listener


def url_of(host: str, port: int) -> str:
    """The URL of a server."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address of a server can only be reached from this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_loopback_host(host: str) -> bool:
    """Whether the header `Host` of a request, with or without a port, is a loopback name."""
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not name or not port.isdecimal():
        name = host
    return is_loopback(name)


def is_own_site(headers: Mapping[str, str]) -> bool:
    """Whether the page that makes a request, if any, is a page of the server itself."""
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")


def forwarding_header(names: Iterable[str]) -> str | None:
    """The first of the header names of a request that a proxy has added; None if there is none."""
    return next(filter(_FORWARDING.fullmatch, names), None)


# -- wrong keys

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
