"""Copies of shards in this process, brought up to date by the entries since.

They are what makes a warm worker's pull cheap: it is sent what others pushed meanwhile, not the
model. Copies are shared by all of the process's tasks and threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ._entries import apply
from ._errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ._layout import FloatArray, Layout
    from ._steps import Reply

CACHE_BYTES: Final = 512 * 1024 * 1024
"""Copies that a process keeps beyond one operation, all servers together."""

_UNKNOWN: Final = -1

_Key = tuple[str, str, int]
"""Server, generation, shard."""


class _Copy:
    __slots__ = ("at", "elements", "incarnation")

    def __init__(self, at: int, elements: FloatArray, incarnation: str) -> None:
        self.at = at
        self.elements = elements
        self.incarnation = incarnation


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull asked for: shards of one parameter, of one incarnation of a server.

    Attributes:
        own: what was pushed with it, by shard: that isn't sent back.
    """

    server: str = field(repr=False)  # with its URL
    layout: Layout
    shards: Sequence[int]
    incarnation: str
    own: Mapping[int, bytes] = field(default_factory=dict[int, bytes], repr=False)


class Replicas:
    """The copies of one process: (server, parameter's generation, shard) -> copy."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._copies: OrderedDict[_Key, _Copy] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def at(self, server: str, layout: Layout, shard: int, incarnation: str | None) -> int:
        """Return the entry up to which a shard is known; -1 for not at all.

        What was read from another incarnation of the server doesn't count: it may have had pushes
        that this one lost. None asks for any: `update` finds out.
        """
        with self._lock:
            copy = self._copies.get((server, layout.generation, shard))
            if copy is None or incarnation not in (None, copy.incarnation):
                return _UNKNOWN
            return copy.at

    def drop(self, server: str, generation: str | None = None) -> None:
        """Forget what is known of a server, or of one parameter's generation that is over."""
        with self._lock:
            for key in [*self._copies]:
                if key[0] == server and generation in (None, key[1]):
                    self._bytes -= self._copies.pop(key).elements.nbytes

    def read(
        self,
        server: str,
        layout: Layout,
        shards: Sequence[int],
        read: Callable[[int, int, FloatArray], None],
    ) -> bool:
        """Hand out shards as they are here. Returns False unless all are known."""
        with self._lock:
            for shard in shards:
                copy = self._copies.get((server, layout.generation, shard))
                if copy is None or copy.at == _UNKNOWN:
                    return False
                read(shard, copy.at, copy.elements)
        return True

    def update(
        self,
        pulled: Pulled,
        replies: Sequence[Reply],
        read: Callable[[int, int, FloatArray], None],
    ) -> bool:
        """Apply what a pull brought, and hand out each shard: its number, its entry, its elements.

        The elements are to be read before `read` returns. Returns False if that isn't all: copies
        were dropped while the pull was under way, or there is more than a pull brings. Pull again.
        """
        done = True
        with self._lock:
            for shard, (since, base, entries, more, own) in zip(
                pulled.shards, replies, strict=True
            ):
                if own:
                    entries.append(pulled.own[shard])
                copy = self._updated(pulled, shard, since, base, entries)
                if copy is None or (more and copy.at < since + len(entries) + more):
                    done = False
                elif done:
                    read(shard, copy.at, copy.elements)
        return done

    def _updated(
        self, pulled: Pulled, shard: int, since: int, base: bytes, entries: Sequence[bytes]
    ) -> _Copy | None:
        import numpy as np

        layout = pulled.layout
        key = pulled.server, layout.generation, shard
        copy = self._copies.get(key)
        if copy is None or copy.incarnation != pulled.incarnation or copy.at < since:
            if not base:
                return None
            if len(base) != layout.length(shard) * layout.itemsize:
                raise ParameterError(
                    f"shard {shard} of a parameter has {len(base)} bytes in Redis, and not "
                    f"{layout.length(shard) * layout.itemsize}: another program wrote there. Put "
                    "the parameter anew or restore a snapshot"
                )
            copy = _Copy(since, np.frombuffer(base, layout.code).copy(), pulled.incarnation)
            self._keep(key, copy)
        else:
            self._copies.move_to_end(key)
        new = entries[copy.at - since :]  # another task may have brought some of them already
        if new:
            # Whatever interrupts this, a call's timeout in the midst of it: the copy counts as
            # unknown until it is done, and is fetched anew.
            at, copy.at = copy.at, _UNKNOWN
            apply(layout, copy.elements, new)
            copy.at = at + len(new)
        return copy

    def _keep(self, key: _Key, copy: _Copy) -> None:
        self._copies[key] = copy
        self._copies.move_to_end(key)
        # Counted too often where one is replaced or this is interrupted, then counted anew.
        self._bytes += copy.elements.nbytes
        if self._bytes > self._limit:
            self._bytes = sum(each.elements.nbytes for each in self._copies.values())
        while self._bytes > self._limit and len(self._copies) > 1:
            _, dropped = self._copies.popitem(last=False)
            self._bytes -= dropped.elements.nbytes


REPLICAS: Final = Replicas()
