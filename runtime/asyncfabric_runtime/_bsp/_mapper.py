"""The mapper's half of a shuffle: one item's pairs, combined, as one object of partitions."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric_runtime._context import current

from ._blocking import store_for_blocking, write
from ._blocks import Seal
from ._compression import best_codec
from ._groups import cut, cut_single
from ._keys import partitions_of
from ._spool import Spool
from ._table import GIVES, Table, check_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._compression import Codec

_MOST_BLOCK_BYTES = 4 * 1024 * 1024
KEY_VARIABLE = "ASYNCFABRIC_EXCHANGE"
"""The environment variable with the key of a shuffle's blocks, in hexadecimal."""


class Exchange(NamedTuple):
    """What mappers and reducers of a shuffle have in common.

    Attributes:
        prefix: of the keys of its objects.
        partitions: how many there are.
        combine: makes one value of two, or None.
        memory: bytes of data that a worker keeps.
    """

    prefix: str
    partitions: int
    combine: Callable[[Any, Any], Any] | None
    memory: int

    def seal(self, name: str) -> Seal:
        """Return what writes and reads the blocks of an object.

        The key is in the environment, which stays in the invocation: functions, of which this is a
        part, may be put in the store that it protects.
        """
        return Seal(bytes.fromhex(os.environ[KEY_VARIABLE]), name)

    @property
    def block(self) -> int:
        """Bytes of the pairs that a block is made of, as they are in memory, about."""
        return min(_MOST_BLOCK_BYTES, self.memory // 32)


class Written(NamedTuple):
    """What a mapper tells the driver.

    Attributes:
        name: of its object, below the prefix; empty if it wrote none.
        ends: where each partition ends in it, as little-endian u64.
    """

    name: str
    ends: bytes


class Mapper:
    """What `fabric.map` runs on each item of a shuffle; returns a `Written`, as a plain tuple."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        exchange: Exchange,
        partition: Callable[[Any], int] | None,
    ) -> None:
        self.function = function
        self._exchange = exchange
        self._partition = partition
        self.__name__: str = getattr(function, "__name__", type(function).__name__)
        self.__qualname__: str = self.__name__

    def __call__(self, item: object) -> tuple[str, bytes]:
        """Run the function, and write what comes of it."""
        exchange, here = self._exchange, current()
        store = store_for_blocking(here.store.url)
        # A number of its own for each attempt: copies never write to one key.
        name = f"{os.urandom(6).hex()}-{here.index}"
        codec = best_codec() if store.remote else None
        with Spool(exchange.partitions, exchange.memory // 4) as spool:
            for groups, most in self._tables(self.function(item)):
                self._write(groups, most, spool, exchange.seal(name), codec)
            ends = list(_sums(spool.sizes))
            if not ends[-1]:
                return Written("", b"")
            write(store, f"{exchange.prefix}{name}", spool.joined(), exchange.memory // 2)
        return Written(name, struct.pack(f"<{len(ends)}Q", *ends))

    def _tables(
        self,
        result: Any,  # noqa: ANN401 - the user's
    ) -> Iterator[tuple[dict[Any, Any], int]]:
        """Yield what the function gave, in tables that fit in memory, and the values of a block."""
        exchange = self._exchange
        table = Table(exchange.combine, self.__name__)
        if isinstance(result, Mapping):
            mapping: Mapping[Any, Any] = result  # pyright: ignore[reportUnknownVariableType]
            if exchange.combine is not None:
                table.adopt(mapping)
                yield table.drain(), table.worth(exchange.block)
                return
            result = mapping.items()
        pairs = _pairs(result, self.__name__)
        for first in pairs:
            table.add(chain((first,), islice(pairs, table.stride(exchange.memory) - 1)))
            if table.bytes > exchange.memory // 2:
                yield table.drain(), table.worth(exchange.block)
        yield table.drain(), table.worth(exchange.block)

    def _write(
        self, groups: dict[Any, Any], most: int, spool: Spool, seal: Seal, codec: Codec | None
    ) -> None:
        count = self._exchange.partitions
        keys: list[list[Any]] = [[] for _ in range(count)]
        values: list[list[Any]] = [[] for _ in range(count)]
        places = partitions_of(groups, count, self._partition)
        for (key, value), place in zip(groups.items(), places, strict=True):
            keys[place].append(key)
            values[place].append(value)
        groups.clear()
        single = self._exchange.combine is not None
        for number in range(count):
            own, its = keys[number], values[number]
            keys[number], values[number] = [], []
            cuts = cut_single(own, its, most) if single else cut(zip(own, its, strict=True), most)
            for block in cuts:
                spool.append(number, seal.write(block, number, spool.counts[number], codec))


def _sums(sizes: list[int]) -> Iterator[int]:
    total = 0
    for size in sizes:
        total += size
        yield total


def _pairs(result: Any, name: str) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - the user's
    """Return the pairs; the first one is looked at. Raises `TypeError`."""
    if not isinstance(result, Iterable):
        msg = (
            f"{name} {GIVES}, and it returned {result!r:.80}; return a list, a dict or a "
            "Counter, or make it a generator"
        )
        raise TypeError(msg)
    given: Iterable[Any] = result  # pyright: ignore[reportUnknownVariableType]
    pairs = iter(given)
    for first in pairs:
        check_pair(first, name)  # a str of two characters would be taken for one
        return chain((first,), pairs)
    return pairs
