"""Sockets as long-held invocations need them, and how many there may be."""

from __future__ import annotations

import os
import socket

from asyncfabric._exceptions import ConfigurationError

# Network address translation and VPC endpoints forget a flow that is idle for 350 s, silently. The
# system's own first probe would come after two hours. macOS calls the first option TCP_KEEPALIVE.
_KEEPALIVE = (
    ("TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE", 60),
    ("TCP_KEEPINTVL", 30),
    ("TCP_KEEPCNT", 5),
)
_SPARE = 320
"""Descriptors left beside those open now: 256 for the requests of an S3 store, and for the rest."""


def new_socket(family: int, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
    """Return a non-blocking socket with keepalive and without Nagle's delay."""
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            option = getattr(socket, name, None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
    except BaseException:
        sock.close()
        raise
    return sock


def allow_descriptors(connections: int) -> None:
    """See to it that the process may have so many connections.

    The soft limit on open files is raised if need be.

    Raises:
        ConfigurationError: the hard limit forbids it.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _in_use() + _SPARE
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise ConfigurationError(
            f"{connections} connections need {needed} open files, and this process may have "
            f"{hard}; lower max_concurrency, or allow more before the start: ulimit -Hn {needed} "
            "(in a container: --ulimit nofile, for a service: LimitNOFILE)"
        )
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{connections} connections need {needed} open files, and the limit of {soft} can't "
            f"be raised ({error}); lower max_concurrency, or run: ulimit -n {needed}"
        ) from error


def _in_use() -> int:
    try:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - only counted
    except OSError:
        return _SPARE
