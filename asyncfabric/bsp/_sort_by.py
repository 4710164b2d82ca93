"""`sort_by`: Python values in the order of a key, over as many workers as there are."""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import aclosing
from itertools import chain
from operator import index
from typing import TYPE_CHECKING, Any, TypeVar, overload

from asyncfabric._checks import check_items
from asyncfabric_runtime._bsp._keys import check_partitions
from asyncfabric_runtime._bsp._mapper import Mapper
from asyncfabric_runtime._bsp._reducer import Reducer
from asyncfabric_runtime._bsp._sort_values import DealValues, SampleKeys, SortValues

from ._host import carrying, check_fabric, check_plain
from ._shuffle import Shuffle, check_output, exchange_for

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from asyncfabric._fabric import Fabric
    from asyncfabric_runtime import Ref
    from asyncfabric_runtime._bsp._mapper import Exchange

A = TypeVar("A")
V = TypeVar("V")
P = TypeVar("P")

SAMPLED_ITEMS = 16


class _SortBy(Shuffle[P]):
    """A shuffle whose partitions are ranges of keys, which it first finds by a sample."""

    def __init__(
        self,
        fabric: Fabric,
        map_fn: Callable[[Any], Iterable[Any]],
        items: Iterable[Any] | AsyncIterable[Any],
        key: Callable[[Any], Any] | None,
        exchange: Exchange,
        output: str | None,
    ) -> None:
        mapper = Mapper(DealValues(map_fn, key, ()), exchange, index)
        super().__init__(
            fabric, mapper, Reducer(SortValues(key), exchange, output), items, exchange
        )
        self._function = map_fn
        self._key = key

    async def _run(self) -> AsyncGenerator[P]:
        items = self._items = await _listed(self._items)
        if self._exchange.partitions > 1:
            dealer = DealValues(self._function, self._key, await self._splitters(items))
            self._mapper = Mapper(dealer, self._exchange, index)
        async with aclosing(super()._run()) as partitions:
            async for partition in partitions:
                yield partition

    async def _splitters(self, items: list[Any]) -> tuple[Any, ...]:
        step = max(1, -(-len(items) // SAMPLED_ITEMS))
        sampling = carrying(self._fabric, self._function)
        sample = SampleKeys(self._function, self._key)
        keys = list(chain.from_iterable(await sampling.map(sample, items[::step], chunksize=1)))
        try:
            keys.sort()
        except TypeError as error:
            error.add_note(
                "sort_by() compares keys as Python does; give a key= whose results can be compared"
            )
            raise
        count = self._exchange.partitions if keys else 1
        return tuple(keys[number * len(keys) // count] for number in range(1, count))


async def _listed(items: Iterable[Any] | AsyncIterable[Any]) -> list[Any]:
    if isinstance(items, AsyncIterable):
        return [item async for item in items]
    return list(items)


@overload
def sort_by(
    fabric: Fabric,
    map_fn: Callable[[A], Iterable[V]],
    items: Iterable[A] | AsyncIterable[A],
    *,
    key: Callable[[V], Any] | None = None,
    partitions: int,
    memory: int | str = "256MiB",
    output: None = None,
) -> Shuffle[list[V]]: ...
@overload
def sort_by(
    fabric: Fabric,
    map_fn: Callable[[A], Iterable[V]],
    items: Iterable[A] | AsyncIterable[A],
    *,
    key: Callable[[V], Any] | None = None,
    partitions: int,
    memory: int | str = "256MiB",
    output: str,
) -> Shuffle[Ref[list[V]]]: ...
def sort_by(
    fabric: Fabric,
    map_fn: Callable[[Any], Iterable[Any]],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    key: Callable[[Any], Any] | None = None,
    partitions: int,
    memory: int | str = "256MiB",
    output: str | None = None,
) -> Shuffle[Any]:
    """Sort Python values: map items to values, and return these in the order of their keys.

        def lines(chunk):
            return chunk.lines()

        parts = await af.bsp.sort_by(
            fabric, lines, af.bsp.chunks(url), key=str.casefold, partitions=16
        )
        assert list(chain(*parts)) == sorted(all_lines, key=str.casefold)

    It is a shuffle whose partitions are ranges of keys: the partitions are in order, and so are the
    values in each. Values of one key stay in the order of the items, as with `sorted`. Keys are
    whatever Python can compare. To find the ranges, `map_fn` is first run on up to 16 items, whose
    values are thrown away. For records of one width, `sort` is far faster.

    Args:
        fabric: where it runs.
        map_fn: given an item, returns its values (a list, or as a generator).
        items: as for `Fabric.map`; each is one mapper. They are kept as a list.
        key: as for `sorted`; by default values are compared themselves.
        partitions: lists of values there are to be, of about one size. Values of one key are all in
            one partition.
        memory: as for `shuffle`; besides, a worker holds the values of a partition while it sorts
            them, so there have to be enough partitions.
        output: as for `shuffle`.

    Returns:
        As `shuffle`: what can be awaited, or iterated over, with `stats`.

    Raises:
        ConfigurationError, TypeError: an argument makes no sense, a key is NaN, or keys can't be
            compared.
    """
    check_fabric(fabric)
    check_plain("map_fn", map_fn)
    if key is not None:
        check_plain("key", key)
    check_items(items)
    check_partitions(partitions)
    exchange = exchange_for(partitions, None, memory)
    return _SortBy(fabric, map_fn, items, key, exchange, check_output(output))
