"""Gates that calls stop at, and a bell that they ring."""

import asyncio
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class Gates:
    """Stops the calls of a job until it is left. A context manager.

    Args:
        folder: the job's.
        count: how many calls there are.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._count = count
        self._shut: list[int] = []

    def __enter__(self) -> Self:
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
        for index in range(self._count):
            self._shut.append(os.open(self._folder / "gates" / f"{index}", flags, 0o600))
            fcntl.flock(self._shut[-1], fcntl.LOCK_EX)
        os.mkfifo(self._folder / "bell")
        self._bell = os.open(self._folder / "bell", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for descriptor in (*self._shut, self._bell):
            os.close(descriptor)

    async def reached(self) -> int:
        """Wait until a call has come to its gate; return which."""
        loop = asyncio.get_running_loop()
        rung: asyncio.Future[int] = loop.create_future()

        def hear() -> None:
            # Nothing is read when the last caller has gone.
            if (said := os.read(self._bell, 1)) and not rung.done():
                rung.set_result(said[0])

        loop.add_reader(self._bell, hear)
        try:
            return await rung
        finally:
            loop.remove_reader(self._bell)
