"""A proxy in front of an S3, on which nothing can be relied upon.

It speaks as much HTTP as is needed: a request with a length, one for each connection.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Literal, Self, get_args
from urllib.parse import urlsplit

Trouble = Literal["500", "503", "409", "reset", "lost", "500 after", "412 after", "slow", "cut"]
"""Refused as it is; connections reset before and after the request was carried out; carried out,
and answered by 500, or, a creation, as if the object had been there; an answer that comes slowly,
or breaks off."""
Phase = Literal["before", "after"]
OnStep = Callable[[int, Phase], None]

_REASONS = {
    "500": ("500 Internal Server Error", "InternalError"),
    "503": ("503 Slow Down", "SlowDown"),
    "409": ("409 Conflict", "ConditionalRequestConflict"),
    "412": ("412 Precondition Failed", "PreconditionFailed"),
}
_SLOWLY = 0.02  # seconds between the parts of an answer


class Proxy:
    """Stands before an S3. An async context manager.

    Args:
        upstream: the S3's address.
        seed: what all chances are drawn from.
        share: how many requests meet with trouble.
        on_step: told of each request by its number, before and after it is carried out.

    Attributes:
        url: its own address.
        requests: how many there were.
        met: how many of them met with which trouble.
    """

    def __init__(
        self, upstream: str, *, seed: int = 0, share: float = 0.0, on_step: OnStep | None = None
    ) -> None:
        self.url = ""
        self.requests = 0
        self.met = Counter[Trouble]()
        self.share = share
        self.on_step = on_step
        self._seed = seed
        parts = urlsplit(upstream)
        self._upstream = parts.hostname, parts.port
        self._tasks: set[asyncio.Task[None]] = set()

    def trouble(self, number: int, head: bytes) -> Trouble | None:
        """Return what befalls a request."""
        chance = Random(f"{self._seed}:{number}")
        if chance.random() >= self.share:
            return None
        kind: Trouble = chance.choice(get_args(Trouble))
        conditional = b"if-none-match" in head.lower()
        if not conditional and kind in {"409", "412 after"}:
            return "503"
        return kind

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        await self._server.wait_closed()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            # Whoever asked may be dead.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        self.requests += 1
        number = self.requests
        trouble = self.trouble(number, head)
        if trouble is not None:
            self.met[trouble] += 1
        self._step(number, "before")
        if trouble == "reset":
            return
        if trouble in {"500", "503", "409"}:
            await _end(writer, _refusal(trouble))
            return
        answer = await self._forward(head, body)
        self._step(number, "after")
        if trouble == "lost":
            return
        if trouble in {"500 after", "412 after"}:
            answer = _refusal(trouble[:3])
        if trouble == "cut":
            answer = answer[: (len(answer) + answer.index(b"\r\n\r\n") + 4) // 2]
        if trouble == "slow":
            part = len(answer) // 4 + 1
            for start in range(0, len(answer), part):
                writer.write(answer[start : start + part])
                await writer.drain()
                await asyncio.sleep(_SLOWLY)
            answer = b""
        await _end(writer, answer)

    def _step(self, number: int, phase: Phase) -> None:
        if self.on_step is not None:
            self.on_step(number, phase)

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        """Have a request carried out, whatever has become of who asked."""
        reader, writer = await asyncio.open_connection(*self._upstream)
        try:
            first, rest = head.split(b"\r\n", 1)
            writer.write(first + b"\r\nconnection: close\r\n" + rest + body)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


async def _end(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write the last of an answer, and see to it that it is sent."""
    writer.write(data)
    writer.close()
    await writer.wait_closed()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _refusal(status: str) -> bytes:
    reason, code = _REASONS[status]
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code></Error>'.encode()
    head = f"HTTP/1.1 {reason}\r\ncontent-type: application/xml\r\nconnection: close\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
