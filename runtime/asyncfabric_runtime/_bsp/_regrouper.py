"""The stage between: what belongs together is put side by side, unread."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from asyncfabric_runtime._context import current

from ._blocking import store_for_blocking, write
from ._spool import Spool
from ._task import Task, pieces_of

if TYPE_CHECKING:
    from ._task import Packed


class Regrouper:
    """What `fabric.map` runs for each set and group; returns the name of its object."""

    def __init__(self, prefix: str, memory: int) -> None:
        self._prefix = prefix
        self._memory = memory
        self.__name__ = self.__qualname__ = "regroup"

    def __call__(self, packed: Packed) -> str:
        """Read the set's part of a group, and write it task by task."""
        task = Task(*packed)
        rows = task.rows()
        name = f"{os.urandom(6).hex()}-{current().index}g"
        store = store_for_blocking(current().store.url)
        with Spool(task.length, self._memory // 2) as spool:
            number, at, place = -1, 0, 0
            for of, data in pieces_of(task, store, self._prefix, self._memory // 16):
                if of != number:
                    number, at, place = of, rows[of][0], 0
                rest = data
                while rest:
                    while rows[of][place + 1] <= at:
                        place += 1  # one that is empty, or has been read
                    some = rest[: rows[of][place + 1] - at]
                    spool.append(place, bytes(some))
                    at += len(some)
                    rest = rest[len(some) :]
            write(store, f"{self._prefix}{name}", spool.joined(), self._memory // 4)
        return name
