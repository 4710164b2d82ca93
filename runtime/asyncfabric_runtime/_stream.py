"""Frames over a blocking socket: the worker's end."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from ._wire import PREFIX, parse_prefix, split

if TYPE_CHECKING:
    from asyncfabric_storage._buffers import Buffer

_BATCH = 64
"""Buffers handed to one sendmsg; the system's own limit is 1,024."""


class FrameStream:
    """Reads and writes whole frames. Writing is safe from several threads."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """Return the socket's descriptor, so that a loop can wait for it."""
        return self._socket.fileno()

    def receive(self) -> tuple[int, list[memoryview]] | None:
        """Wait for a frame; return its kind and segments, or None when the peer has gone.

        The segments are writable and belong to the caller. Nothing is read ahead of the frame, so
        the socket is readable exactly when there is another one. Raises `WireError`.
        """
        prefix = self._exactly(PREFIX.size)
        if prefix is None:
            return None
        kind, count, size = parse_prefix(prefix)
        body = self._exactly(size)
        return None if body is None else (kind, split(body, count))

    def _exactly(self, size: int) -> memoryview | None:
        data = memoryview(bytearray(size))
        got = 0
        while got < size:
            try:
                received = self._socket.recv_into(data[got:], 0, socket.MSG_WAITALL)
            except ConnectionError:
                return None
            if not received:
                return None
            got += received
        return data

    def send(self, frame: list[Buffer]) -> None:
        """Write a frame whole. Raises `OSError` when the peer has gone."""
        with self._lock:
            if len(frame) == 1:
                self._socket.sendall(frame[0])
                return
            waiting = [memoryview(piece).cast("B") for piece in frame if memoryview(piece).nbytes]
            while waiting:
                sent = self._socket.sendmsg(waiting[:_BATCH])
                while sent and sent >= len(waiting[0]):
                    sent -= len(waiting.pop(0))
                if sent:
                    waiting[0] = waiting[0][sent:]
