"""`map_reduce`: the method of a Fabric that fans out and brings together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from ._checks import check_items
from ._map_methods import MapMethods

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping

    from ._fabric import Fabric
    from ._signatures import CoFunction, CoSharing, Function, Items, Sharing

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")


class ReduceMethods(MapMethods):
    """The part of `Fabric` that brings results together on one worker."""

    # Each twice: what `sum` and `max` make of an iterator, which mypy can't work out from their
    # own overloads, is what is in it.

    @overload
    async def map_reduce(
        self,
        fn: CoFunction[A, R],
        items: Items[A],
        reduce: Callable[[Iterator[R]], T],
        /,
        *,
        ordered: bool = True,
        associative: bool = False,
        memory: int | str = "256MiB",
        shared: None = None,
        seed: int | None = None,
        job: str | None = None,
        version: str | None = None,
    ) -> T: ...
    @overload
    async def map_reduce(
        self,
        fn: Function[A, R],
        items: Items[A],
        reduce: Callable[[Iterator[R]], T],
        /,
        *,
        ordered: bool = True,
        associative: bool = False,
        memory: int | str = "256MiB",
        shared: None = None,
        seed: int | None = None,
        job: str | None = None,
        version: str | None = None,
    ) -> T: ...
    @overload
    async def map_reduce(
        self,
        fn: CoFunction[A, R],
        items: Items[A],
        reduce: Callable[[Iterator[Any]], R],
        /,
        *,
        ordered: bool = True,
        associative: bool = False,
        memory: int | str = "256MiB",
        shared: None = None,
        seed: int | None = None,
        job: str | None = None,
        version: str | None = None,
    ) -> R: ...
    @overload
    async def map_reduce(
        self,
        fn: Function[A, R],
        items: Items[A],
        reduce: Callable[[Iterator[Any]], R],
        /,
        *,
        ordered: bool = True,
        associative: bool = False,
        memory: int | str = "256MiB",
        shared: None = None,
        seed: int | None = None,
        job: str | None = None,
        version: str | None = None,
    ) -> R: ...
    @overload
    async def map_reduce(
        self,
        fn: CoSharing[A, R],
        items: Items[A],
        reduce: Callable[[Iterator[R]], T],
        /,
        *,
        ordered: bool = True,
        associative: bool = False,
        memory: int | str = "256MiB",
        shared: Mapping[str, object] | None,
        seed: int | None = None,
        job: str | None = None,
        version: str | None = None,
    ) -> T: ...
    @overload
    async def map_reduce(
        self,
        fn: Sharing[A, R],
        items: Items[A],
        reduce: Callable[[Iterator[R]], T],
        /,
        *,
        ordered: bool = True,
        associative: bool = False,
        memory: int | str = "256MiB",
        shared: Mapping[str, object] | None,
        seed: int | None = None,
        job: str | None = None,
        version: str | None = None,
    ) -> T: ...
    @overload
    async def map_reduce(
        self,
        fn: CoSharing[A, R],
        items: Items[A],
        reduce: Callable[[Iterator[Any]], R],
        /,
        *,
        ordered: bool = True,
        associative: bool = False,
        memory: int | str = "256MiB",
        shared: Mapping[str, object] | None,
        seed: int | None = None,
        job: str | None = None,
        version: str | None = None,
    ) -> R: ...
    @overload
    async def map_reduce(
        self,
        fn: Sharing[A, R],
        items: Items[A],
        reduce: Callable[[Iterator[Any]], R],
        /,
        *,
        ordered: bool = True,
        associative: bool = False,
        memory: int | str = "256MiB",
        shared: Mapping[str, object] | None,
        seed: int | None = None,
        job: str | None = None,
        version: str | None = None,
    ) -> R: ...
    async def map_reduce(
        self,
        fn: Callable[..., Any],
        items: Iterable[Any] | AsyncIterable[Any],
        reduce: Callable[[Iterator[Any]], Any],
        /,
        *,
        ordered: bool = True,
        associative: bool = False,
        memory: int | str = "256MiB",
        shared: Mapping[str, object] | None = None,
        seed: int | None = None,
        job: str | None = None,
        version: str | None = None,
    ) -> Any:
        """Run a function on every item, and another one, on one worker, on all the results.

            total = await fabric.map_reduce(price, seeds, sum)

        The results go from worker to worker through the store, and never through the driver; they
        are deleted at the end, also after an error or a cancellation. The reduce function begins
        when the last one is there, and is given an iterator that reads ahead, so they may be more
        than fit in memory.

        Args:
            fn: as for `map`.
            items: as for `map`.
            reduce: given an iterator of the results, returns one value; a plain function.
            ordered: results come in the order of the items; otherwise in that of completion.
            associative: `reduce` may be given some of the results, and then what it returned for
                these, as `sum` and `max` may: it is run as a tree, on all workers.
            memory: bytes of results that are read ahead.
            shared: as for `map`.
            seed: as for `map`.
            job: the name of a durable job, of which the stages are jobs of their own: "NAME.map"
                and "NAME.reduce" ("NAME.reduce1" and so on for the levels of a tree). What is to be
                reduced is kept until that is done. Results then come in the order of the items.
            version: as for `map`.

        Raises:
            ConfigurationError, TypeError: an argument makes no sense.
        """
        from .bsp._host import durable_of  # what few programs need
        from .bsp._map_reduce import map_reduce
        from .bsp._sizes import parse_size

        check_items(items)
        durable = durable_of(job, version, self._core.store)
        return await map_reduce(
            cast("Fabric", self),
            fn,
            items,
            reduce,
            ordered=ordered,
            associative=associative,
            memory=parse_size("memory", memory),
            shared=shared,
            seed=seed,
            durable=durable,
        )
