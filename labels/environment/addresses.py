"""The address of a server, and where its requests come from: this machine, a proxy, its own pages, or other sites.

Header names are in small letters.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping

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
