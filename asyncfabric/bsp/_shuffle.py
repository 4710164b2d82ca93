"""`shuffle`: two maps, and between them every value finds those of the same key."""

from __future__ import annotations

import warnings
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from asyncfabric._checks import check_items
from asyncfabric._exceptions import ConfigurationError, ObjectNotFound
from asyncfabric_runtime._bsp._keys import check_partitions
from asyncfabric_runtime._bsp._mapper import KEY_VARIABLE, Exchange, Mapper, Written
from asyncfabric_runtime._bsp._reducer import Reducer
from asyncfabric_runtime._bsp._regrouper import Regrouper

from ._host import (
    ONCE,
    Durable,
    Scratch,
    carrying,
    check_fabric,
    check_plain,
    check_reachable,
    durable_of,
    places,
)
from ._regroup import Regrouping
from ._sizes import parse_size
from ._tasks import Layout, ShuffleStats, figures

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterable,
        AsyncIterator,
        Callable,
        Generator,
        Iterable,
        Iterator,
        Mapping,
    )
    from types import TracebackType
    from typing import Self

    from asyncfabric._fabric import Fabric
    from asyncfabric_runtime import Ref
    from asyncfabric_runtime._bsp._task import Packed

    Pairs = Iterable[tuple[Any, Any]] | Mapping[Any, Any]

A = TypeVar("A")
K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R")
P = TypeVar("P")

LEAST_MEMORY = 1024 * 1024
TWO_LEVELS_READS = 300 * 300
"""Reads of one level, mappers times tasks, from which on data is regrouped in between.

A fresh prefix of S3 takes 5,500 reads a second: these take 16 s, about as long as another pass of
the data at the speed of a function's network.
"""
TASKS_A_PLACE = 4
"""Reducers for each place at a worker: so that the last ones don't run alone."""


class Shuffle(Generic[P]):
    """A shuffle, made by `shuffle`. Await it for a list of partitions, or iterate over them.

    It starts when it is awaited or iterated. What workers wrote in between is deleted when the last
    partition was taken, when the stream is left, and after errors and cancellation.

        partitions = await shuffle(...)

        async with shuffle(...) as stream:      # deletes at its end, also after a `break`
            async for partition in stream:
                ...
    """

    def __init__(
        self,
        fabric: Fabric,
        mapper: Mapper,
        reducer: Reducer,
        items: Iterable[Any] | AsyncIterable[Any],
        exchange: Exchange,
        durable: Durable = ONCE,
    ) -> None:
        self._fabric = fabric
        self._mapper = mapper
        self._reducer = reducer
        self._items = items
        self._exchange = exchange
        self._durable = durable
        self._scratch = Scratch(fabric, exchange.prefix)
        self._stream: AsyncGenerator[P] | None = None
        self._stats = ShuffleStats()

    @property
    def stats(self) -> ShuffleStats:
        """What went from mappers to reducers; known when the first partition is."""
        return self._stats

    def __await__(self) -> Generator[Any, None, list[P]]:
        return self._gather().__await__()

    async def _gather(self) -> list[P]:
        async with aclosing(self._begin()) as stream:
            return [partition async for partition in stream]

    def __aiter__(self) -> AsyncIterator[P]:
        return self._begin()

    def _begin(self) -> AsyncGenerator[P]:
        if self._stream is not None:
            msg = (
                "this shuffle was awaited or iterated over already, and is done once; make another "
                "one with af.bsp.shuffle(...)"
            )
            raise RuntimeError(msg)
        self._stream = self._run()
        return self._stream

    def __del__(self) -> None:
        if getattr(self, "_stream", self) is None:
            warnings.warn(
                "a Shuffle was never awaited or iterated",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )

    async def aclose(self) -> None:
        """Stop what runs, and delete what was written in between."""
        if self._stream is None:
            self._stream = self._run()  # so that it can't be begun any more
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _run(self) -> AsyncGenerator[P]:
        durable, done = self._durable, False
        try:
            if self._reducer.output is not None:
                await check_reachable(self._fabric, self._reducer.output)
            secret = (await durable.secret()).hex()
            mapping = carrying(self._fabric, self._mapper.function, **{KEY_VARIABLE: secret})
            mapped = mapping.map(
                self._mapper, self._items, job=durable.stage("map"), version=durable.version
            )
            async with self._scratch.watch(mapped):
                written = [Written(*told) for told in await mapped]
            layout = Layout(written, self._exchange.partitions)
            self._stats = figures(layout)
            reducing = carrying(self._fabric, self._reducer.function, **{KEY_VARIABLE: secret})
            reduced = reducing.map(
                self._reducer,
                await self._tasks(layout),
                chunksize=1,
                job=durable.stage("reduce"),
                version=durable.version,
            )
            async with reduced:
                async for partitions in reduced:
                    for partition in partitions:
                        yield partition
            done = True
        except ObjectNotFound as error:
            if durable.name is None or self._exchange.prefix not in str(error):
                raise
            raise durable.gone(error, "map", "reduce") from error
        finally:
            # A job that has not come to its end is run again, and goes on from there.
            if done or durable.name is None:
                await self._scratch.clean()

    async def _tasks(self, layout: Layout) -> Iterator[Packed]:
        durable = self._durable
        # For a job they must be the same when it is run again, with more or fewer workers.
        least = TASKS_A_PLACE * places(self._fabric) if durable.name is None else layout.partitions
        spans = list(layout.spans(most=self._exchange.memory // 4, least=least))
        if len(layout.objects) * len(spans) < TWO_LEVELS_READS:
            return (layout.task(*span).packed() for span in spans)
        regrouping = Regrouping(layout, spans)
        regrouper = Regrouper(self._exchange.prefix, self._exchange.memory)
        regrouped = self._fabric.map(
            regrouper, regrouping.packed(), chunksize=1, job=durable.stage("regroup")
        )
        names = await self._scratch.watch(regrouped)
        return (task.packed() for task in regrouping.tasks(names))


@overload
def shuffle(
    fabric: Fabric,
    map_fn: Callable[[A], Iterable[tuple[K, V]] | Mapping[K, V]],
    items: Iterable[A] | AsyncIterable[A],
    reduce_fn: Callable[[K, Iterator[V]], Iterator[R]],
    *,
    partitions: int,
    combine: Callable[[V, V], V] | None = None,
    partition: Callable[[K], int] | None = None,
    memory: int | str = "256MiB",
    output: None = None,
    job: str | None = None,
    version: str | None = None,
) -> Shuffle[list[R]]: ...
@overload
def shuffle(
    fabric: Fabric,
    map_fn: Callable[[A], Iterable[tuple[K, V]] | Mapping[K, V]],
    items: Iterable[A] | AsyncIterable[A],
    reduce_fn: Callable[[K, Iterator[V]], Iterator[R]],
    *,
    partitions: int,
    combine: Callable[[V, V], V] | None = None,
    partition: Callable[[K], int] | None = None,
    memory: int | str = "256MiB",
    output: str,
    job: str | None = None,
    version: str | None = None,
) -> Shuffle[Ref[list[R]]]: ...
@overload
def shuffle(
    fabric: Fabric,
    map_fn: Callable[[A], Iterable[tuple[K, V]] | Mapping[K, V]],
    items: Iterable[A] | AsyncIterable[A],
    reduce_fn: Callable[[K, Iterator[V]], R],
    *,
    partitions: int,
    combine: Callable[[V, V], V] | None = None,
    partition: Callable[[K], int] | None = None,
    memory: int | str = "256MiB",
    output: None = None,
    job: str | None = None,
    version: str | None = None,
) -> Shuffle[list[R]]: ...
@overload
def shuffle(
    fabric: Fabric,
    map_fn: Callable[[A], Iterable[tuple[K, V]] | Mapping[K, V]],
    items: Iterable[A] | AsyncIterable[A],
    reduce_fn: Callable[[K, Iterator[V]], R],
    *,
    partitions: int,
    combine: Callable[[V, V], V] | None = None,
    partition: Callable[[K], int] | None = None,
    memory: int | str = "256MiB",
    output: str,
    job: str | None = None,
    version: str | None = None,
) -> Shuffle[Ref[list[R]]]: ...
def shuffle(
    fabric: Fabric,
    map_fn: Callable[[Any], Pairs],
    items: Iterable[Any] | AsyncIterable[Any],
    reduce_fn: Callable[[Any, Iterator[Any]], Any],
    *,
    partitions: int,
    combine: Callable[[Any, Any], Any] | None = None,
    partition: Callable[[Any], int] | None = None,
    memory: int | str = "256MiB",
    output: str | None = None,
    job: str | None = None,
    version: str | None = None,
) -> Shuffle[Any]:
    """Bring together all values of each key: map items to pairs, then reduce key by key.

        def words(chunk):
            return Counter(chunk.read().split())

        def total(word, counts):
            return word, sum(counts)

        parts = await af.bsp.shuffle(
            fabric, words, af.bsp.chunks(url), total, partitions=64, combine=operator.add
        )

    Mappers and reducers are the calls of two maps, with all that holds for these: they are
    repeated and copied as the Fabric's options say. The data goes from one to the other through
    the Fabric's store, one object for each mapper, and never through the driver.

    Args:
        fabric: where it runs.
        map_fn: given an item, returns its `(key, value)` pairs (a list, or as a generator), or a
            mapping. Keys are str, bytes, numbers, None, and tuples of these; 1, 1.0 and True are
            one key.
        items: as for `Fabric.map`; each is one mapper, so cut large data into `chunks`.
        reduce_fn: given a key and an iterator of its values, returns one result; an iterator, as
            a generator function returns it, stands for any number of them. Values come in the order
            of the items.
        partitions: lists of results there are to be; the keys are spread over them.
        combine: makes one value of two, in the mapper already, and must be associative. `reduce_fn`
            gets one value for each key then.
        partition: chooses a key's partition by a number, of which the remainder by `partitions`
            counts. By default it is a hash that is the same everywhere.
        memory: of the data, that a worker keeps at a time; more is put in temporary files.
        output: the URL of a store for the results. Each partition is a `Ref` then, which stays
            good, and is never held by the driver.
        job: the name of a durable job: kill this program at any moment and run it again, and it
            goes on. The stages are jobs of their own, "NAME.map" and "NAME.reduce" (and
            "NAME.regroup" where there are very many of both). What mappers wrote is kept until the
            last partition was delivered.
        version: says which version of the code this is; see `Fabric.map`.

    Returns:
        What can be awaited, for a list of partitions, or iterated over, as a stream of them in
        order. The order of keys in a partition is not promised.

    Raises:
        ConfigurationError, TypeError: an argument makes no sense.
    """
    check_fabric(fabric)
    check_plain("map_fn", map_fn)
    check_plain("reduce_fn", reduce_fn)
    if combine is not None:
        check_plain("combine", combine)
    if partition is not None:
        check_plain("partition", partition)
    if isinstance(items, str):
        msg = f"items are what map_fn gets one by one; for data, give af.bsp.chunks({items!r})"
        raise TypeError(msg)
    check_items(items)
    check_partitions(partitions)
    durable = durable_of(job, version, fabric.store)
    exchange = exchange_for(partitions, combine, memory, durable)
    mapper = Mapper(map_fn, exchange, partition)
    reducer = Reducer(reduce_fn, exchange, check_output(output))
    return Shuffle(fabric, mapper, reducer, items, exchange, durable)


def exchange_for(
    partitions: int,
    combine: Callable[[Any, Any], Any] | None,
    memory: int | str,
    durable: Durable = ONCE,
) -> Exchange:
    """Return a new exchange. Raises `ConfigurationError`."""
    limit = parse_size("memory", memory)
    if limit < LEAST_MEMORY:
        msg = f"memory={memory!r} is too little to work with; give at least '1MiB'"
        raise ConfigurationError(msg)
    return Exchange(
        prefix=durable.prefix("shuffle"),
        partitions=partitions,
        combine=combine,
        memory=limit,
    )


def check_output(output: str | None) -> str | None:
    """Return a store's URL, or None. Raises `ConfigurationError`."""
    given: Any = output
    if given is not None and not (isinstance(given, str) and "://" in given):
        msg = f"output={output!r:.80} is no URL; give for example 's3://bucket/prefix'"
        raise ConfigurationError(msg)
    return output
