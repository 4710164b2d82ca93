"""Frames over a non-blocking socket: the driver's end.

Sockets are watched by `loop.add_reader` instead of a transport: large buffers then go out by
`sendmsg` and come in by `recv_into` without a copy, on the stock loop and on uvloop alike.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from asyncfabric_runtime._wire import PREFIX, WireError, parse_prefix, split

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from asyncfabric_storage._buffers import Buffer

_CHUNK = 256 * 1024
_READS = 16
"""Reads of one wake-up at most, so that one busy worker doesn't keep the loop from the others."""
_BATCH = 64


class Channel:
    """One worker's stream of frames.

    Args:
        loop: the driver's loop.
        sock: a non-blocking socket; the channel owns it.
        on_frame: called with kind, segments and size. The segments of a frame with more than one
            are the callee's to keep; a single one must be read before returning.
        on_end: called once, when the peer has closed or what it sent makes no sense.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        on_frame: Callable[[int, list[memoryview], int], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._on_frame = on_frame
        self._on_end = on_end
        self._chunk = memoryview(bytearray(_CHUNK))
        self._filled = 0
        self._body: memoryview | None = None
        self._body_filled = 0
        self._header = (0, 0)
        self._waiting: deque[memoryview] = deque()
        self._open = True
        loop.add_reader(sock.fileno(), self._readable)

    # -- writing --------------------------------------------------------------------------------

    def send(self, frame: list[Buffer]) -> None:
        """Write a frame, or keep what doesn't fit now until it does."""
        if not self._open:
            return
        if not self._waiting:
            if len(frame) == 1:
                piece = frame[0]
                try:
                    sent = self._socket.send(piece)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    return  # the peer is dead; its end is noticed by reading
                if sent == memoryview(piece).nbytes:
                    return
                self._waiting.append(memoryview(piece)[sent:])
                self._loop.add_writer(self._socket.fileno(), self._writable)
                return
            self._loop.add_writer(self._socket.fileno(), self._writable)
        for piece in frame:
            view = memoryview(piece)
            if view.nbytes:
                self._waiting.append(view.cast("B"))
        self._writable()

    def _writable(self) -> None:
        waiting = self._waiting
        while waiting:
            try:
                sent = self._socket.sendmsg(
                    [waiting[place] for place in range(min(_BATCH, len(waiting)))]
                )
            except BlockingIOError:
                return
            except OSError:
                waiting.clear()
                break
            while waiting and sent >= len(waiting[0]):
                sent -= len(waiting.popleft())
            if sent:
                waiting[0] = waiting[0][sent:]
        if self._open:
            self._loop.remove_writer(self._socket.fileno())

    # -- reading --------------------------------------------------------------------------------

    def _readable(self) -> None:
        for _ in range(_READS):
            if not self._open or not self._read_once():
                return

    def drain(self) -> None:
        """Read all that has arrived: what a dead worker said last."""
        while self._open and self._read_once():
            pass

    def _read_once(self) -> bool:
        """Read what there is, once; return whether there may be more at once."""
        target = (
            self._chunk[self._filled :] if self._body is None else self._body[self._body_filled :]
        )
        try:
            got = self._socket.recv_into(target)
        except BlockingIOError:
            return False
        except OSError:
            got = 0
        if not got:
            self.close()
            self._on_end()
            return False
        try:
            if self._body is None:
                self._filled += got
                self._parse()
            else:
                self._body_filled += got
                if self._body_filled == len(self._body):
                    self._finish_body()
        except (WireError, MemoryError):  # a frame's size may be damaged, too
            self.close()
            self._on_end()
            return False
        return got == len(target) or self._body is not None

    def _parse(self) -> None:
        start = 0
        try:
            while self._open and self._filled - start >= PREFIX.size:
                begin = start + PREFIX.size
                kind, count, size = parse_prefix(self._chunk[start:begin])
                there = self._filled - begin
                if there < size:
                    if begin + size > _CHUNK:
                        # Too large for the chunk: the rest goes straight to where it stays.
                        self._body = memoryview(bytearray(size))
                        self._body[:there] = self._chunk[begin : self._filled]
                        self._body_filled, self._header = there, (kind, count)
                        start = self._filled
                    return
                body = self._chunk[begin : begin + size]
                if count > 1:
                    body = memoryview(bytearray(body))  # the chunk is used again, these are kept
                start = begin + size
                self._on_frame(kind, split(body, count), size)
        finally:  # whatever a frame led to, it isn't read again
            if start:
                rest = bytes(self._chunk[start : self._filled])
                self._chunk[: len(rest)] = rest
                self._filled = len(rest)

    def _finish_body(self) -> None:
        body, self._body = self._body, None
        kind, count = self._header
        assert body is not None  # noqa: S101 - for the type checker
        self._on_frame(kind, split(body, count), len(body))

    def close(self) -> None:
        """Stop watching and close the socket; the worker sees the end of its stream."""
        if self._open:
            self._open = False
            if not self._loop.is_closed():
                self._loop.remove_reader(self._socket.fileno())
                self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
