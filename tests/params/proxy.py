"""A relay between client and Redis that loses what it is told to lose."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class Proxy:
    """Passes everything on, until told otherwise.

    Attributes:
        cuts: connections that it has cut.
        passed: how many times it passed something on to Redis.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._cut: str | None = None
        self._at = b""
        self._refused: bytes | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._dropped: set[asyncio.StreamWriter] = set()
        self._handed: asyncio.Event | None = None
        self.cuts = 0
        self.passed = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._tasks)

    def cut(self, when: str, at: bytes = b"") -> None:
        """Cut the connection once, at its next bytes that have `at` in them.

        `before` Redis has them, or `after`, when only the answer is lost.
        """
        self._cut = when
        self._at = at

    def refuse(self, word: bytes) -> None:
        """Cut every connection on which this comes, before Redis has it."""
        self._refused = word

    def drop(self) -> None:
        """From now on pass nothing on over the connections that there are, and say nothing."""
        self._dropped |= self._writers

    def hold(self) -> None:
        """Pass no replies on."""
        self._passing.clear()

    def release(self) -> None:
        """Pass replies on again."""
        self._passing.set()

    async def handed(self) -> None:
        """Wait for the next bytes that Redis is sent."""
        self._handed = asyncio.Event()
        await self._handed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        there, redis = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(self._answer(there, writer))
        try:
            while data := await reader.read(1 << 20):
                if writer in self._dropped:
                    continue
                if self._refused is not None and self._refused in data:
                    break
                if self._cut is not None and self._at in data:
                    self.cuts += 1
                    when, self._cut = self._cut, None
                    if when == "after":
                        back.cancel()  # the answer is lost
                        await asyncio.wait([back])
                        redis.write(data)
                        assert await there.read(1)
                    break
                self.passed += 1
                redis.write(data)
                if self._handed is not None:
                    self._handed.set()
        except ConnectionError:
            pass
        finally:
            back.cancel()
            self._tasks.discard(task)
            self._writers.discard(writer)
            for each in (redis, writer):
                each.close()
                with contextlib.suppress(ConnectionError):
                    await each.wait_closed()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await there.read(1 << 20):
                await self._passing.wait()
                writer.write(data)
        writer.close()
