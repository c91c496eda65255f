"""Connect to a Ray cluster. A wrong address is reported within seconds, where Ray would wait for minutes."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from labels.errors import InputError

_SECONDS = 5.0
"""How long a cluster may take to accept a connection, and then to answer."""
_SCHEME = "ray://"
_CLUSTER = "/ray.rpc.NodeInfoGcsService/GetClusterId"
_CLIENTS = "/ray.rpc.RayletDriver/ClusterInfo"
"""Calls that the ports of a head node answer: the port of the cluster (6379), and the port of Ray clients (10001)."""


@contextmanager
def connected(address: str | None, workers: int) -> Iterator[None]:
    """Connect to a cluster, or start Ray on this machine; it is shut down at the end unless it was there before.

    Raises:
        InputError: Ray is not installed, or no cluster answers at the address.
    """
    check_cluster(address)
    import ray

    address = address or os.environ.get("RAY_ADDRESS")
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # read by Ray when it starts
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address:
        options["address"] = address
    else:
        options |= {"num_cpus": max(os.cpu_count() or 1, workers + 1), "include_dashboard": False}
    try:
        ray.init(**options)
    except (Exception, SystemExit) as error:  # Ray raises many kinds, and ends the process after two minutes
        reason = " ".join(str(error).split())[:200]
        where = f"--address {address}: Ray could not be reached" if address else "Ray could not start on this machine"
        raise InputError(f"{where} ({reason}). Check the cluster and the address, or leave out --engine.") from error
    try:
        yield
    finally:
        ray.shutdown()


def check_cluster(address: str | None) -> None:
    """Check that Ray is installed and a cluster answers.

    Raises:
        InputError: see `connected`.
    """
    if find_spec("ray") is None:
        raise InputError('--engine ray needs Ray. Install Ray with `pip install "communique[ray]"`.')
    address = address or os.environ.get("RAY_ADDRESS")
    if not address or address in ("auto", "local"):  # which Ray answers quickly
        return
    is_client = address.startswith(_SCHEME)
    place = address.removeprefix(_SCHEME).rstrip("/")
    if "://" in place:  # of another provider, which Ray finds
        return
    host, _, port = place.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"--address {address}: the port is missing. Write HOST:6379, or ray://HOST:10001.")
    _refuse_unreachable(address, host.strip("[]"), int(port))
    _refuse_other_servers(address, place, is_client=is_client)


def _refuse_unreachable(address: str, host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"--address {address}: no Ray cluster answers there ({reason}). Check the address, or leave out --address "
            "to use this machine."
        ) from None


def _refuse_other_servers(address: str, place: str, *, is_client: bool) -> None:
    """Refuse a server that is not Ray, and the wrong one of Ray's two ports."""
    if find_spec("grpc") is None or os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return  # Ray itself reports an error, later
    own, other = (_CLIENTS, _CLUSTER) if is_client else (_CLUSTER, _CLIENTS)
    if _knows(place, own):
        return
    if _knows(place, other):
        right = place if is_client else f"{_SCHEME}{place}"
        raise InputError(
            f"--address {address}: this port of the Ray cluster is for another kind of connection. Use {right}."
        )
    raise InputError(
        f"--address {address}: a server answers there, but it is not Ray. Check the port, or leave out --address to "
        "use this machine."
    )


def _knows(place: str, call: str) -> bool:
    """Whether a server answers a gRPC call, if only with the error that an empty message is not a valid request."""
    import grpc

    with grpc.insecure_channel(place, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(call)(b"", timeout=_SECONDS)
        except grpc.RpcError as error:
            code = grpc.StatusCode
            return error.code() not in (code.UNIMPLEMENTED, code.UNAVAILABLE, code.DEADLINE_EXCEEDED)
        return True
