"""`map` and `starmap`: the methods of a Fabric that fan out."""

from __future__ import annotations

from collections.abc import AsyncIterable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, TypeVarTuple, overload

from ._checks import (
    check_callable,
    check_choice,
    check_count,
    check_items,
    check_job,
    check_shared,
)
from ._deliveries import Buffered
from ._function import options_of
from ._launch import Launch
from ._map import Map
from ._sources import AsyncIterated, Iterated

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from asyncfabric_runtime import Convention, Ref

    from ._core import Core
    from ._options import Settings
    from ._run import Run
    from ._signatures import (
        AnyCoFunction,
        AnyFunction,
        CoFunction,
        CoSharing,
        Errors,
        Function,
        Items,
        RefErrors,
        Refs,
        SharedErrors,
        SharedRefErrors,
        SharedRefs,
        SharedValues,
        Sharing,
        Values,
    )
    from ._sources import Source

A = TypeVar("A")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class MapMethods:
    """The part of `Fabric` that fans out over an iterable."""

    _core: Core
    _settings: Settings
    _closed: bool

    def _check_open(self) -> None:
        if self._closed or self._core.closed:
            msg = "this Fabric is closed; make a new one"
            raise RuntimeError(msg)

    @overload
    def map(
        self, fn: CoFunction[A, R], items: Items[A], /, **options: Unpack[Values]
    ) -> Map[R]: ...
    @overload
    def map(self, fn: Function[A, R], items: Items[A], /, **options: Unpack[Values]) -> Map[R]: ...
    @overload
    def map(
        self, fn: CoSharing[A, R], items: Items[A], /, **options: Unpack[SharedValues]
    ) -> Map[R]: ...
    @overload
    def map(
        self, fn: Sharing[A, R], items: Items[A], /, **options: Unpack[SharedValues]
    ) -> Map[R]: ...
    @overload
    def map(
        self, fn: CoFunction[A, R], items: Items[A], /, **options: Unpack[Refs]
    ) -> Map[Ref[R]]: ...
    @overload
    def map(
        self, fn: Function[A, R], items: Items[A], /, **options: Unpack[Refs]
    ) -> Map[Ref[R]]: ...
    @overload
    def map(
        self, fn: CoSharing[A, R], items: Items[A], /, **options: Unpack[SharedRefs]
    ) -> Map[Ref[R]]: ...
    @overload
    def map(
        self, fn: Sharing[A, R], items: Items[A], /, **options: Unpack[SharedRefs]
    ) -> Map[Ref[R]]: ...
    @overload
    def map(
        self, fn: CoFunction[A, R], items: Items[A], /, **options: Unpack[Errors]
    ) -> Map[R | Exception]: ...
    @overload
    def map(
        self, fn: Function[A, R], items: Items[A], /, **options: Unpack[Errors]
    ) -> Map[R | Exception]: ...
    @overload
    def map(
        self, fn: CoSharing[A, R], items: Items[A], /, **options: Unpack[SharedErrors]
    ) -> Map[R | Exception]: ...
    @overload
    def map(
        self, fn: Sharing[A, R], items: Items[A], /, **options: Unpack[SharedErrors]
    ) -> Map[R | Exception]: ...
    @overload
    def map(
        self, fn: CoFunction[A, R], items: Items[A], /, **options: Unpack[RefErrors]
    ) -> Map[Ref[R] | Exception]: ...
    @overload
    def map(
        self, fn: Function[A, R], items: Items[A], /, **options: Unpack[RefErrors]
    ) -> Map[Ref[R] | Exception]: ...
    @overload
    def map(
        self, fn: CoSharing[A, R], items: Items[A], /, **options: Unpack[SharedRefErrors]
    ) -> Map[Ref[R] | Exception]: ...
    @overload
    def map(
        self, fn: Sharing[A, R], items: Items[A], /, **options: Unpack[SharedRefErrors]
    ) -> Map[Ref[R] | Exception]: ...
    def map(
        self,
        fn: Callable[..., Any],
        items: Iterable[Any] | AsyncIterable[Any],
        /,
        *,
        ordered: bool = True,
        return_exceptions: bool = False,
        results: Literal["value", "ref"] = "value",
        shared: Mapping[str, object] | None = None,
        seed: int | None = None,
        buffersize: int | None = None,
        chunksize: int | Literal["auto"] = "auto",
        job: str | None = None,
        version: str | None = None,
    ) -> Map[Any]:
        """Run a function on every item. Await the Map for a list, or iterate over it for a stream.

            prices = await fabric.map(price, seeds)
            async for price in fabric.map(price, endless(), ordered=False): ...

        Items are read as there is room for them, from endless and asynchronous iterables too. The
        first call that fails for good cancels the others and raises; an ordered stream raises when
        it comes to that call's place.

        Args:
            fn: called as `fn(item)`; coroutine functions run concurrently in a worker.
            items: any iterable or async iterable; what it raises is raised here.
            ordered: stream in input order; False streams as completed. A list is always in order.
            return_exceptions: deliver exceptions in the results' places instead of raising.
            results: "ref" leaves results in the store and delivers a `Ref` to each.
            shared: values passed to every call by keyword; each is stored once and decoded once
                per worker process. Arrays come out read-only.
            seed: what `current().rng()` derives from; by default drawn at random.
            buffersize: items of a stream that may be read but not yet delivered; by default
                adapted to the pace, at most 65,536 and about 64 MiB. Awaiting has no bound.
            chunksize: calls in one invocation; "auto" packs about 2 ms of work together.
            job: the name of a durable job: kill this program at any moment and run it again, and it
                goes on; what is finished is not run again. Needs a lasting `storage=`. Failures
                that `return_exceptions` delivers are final. See `asyncfabric.jobs`.
            version: says which version of the code this is, for a job; by default the code itself,
                and the user's own modules it imports, are compared with what the job began with.

        Raises:
            ConfigurationError: an argument makes no sense; as it runs, a job was begun with other
                code or inputs: the message names the difference.
            TypeError: `fn` can't run on a worker, or `items` can't be iterated over.
        """
        return self._map(
            "one",
            fn,
            items,
            ordered,
            return_exceptions,
            results,
            shared,
            seed,
            buffersize,
            chunksize,
            job,
            version,
        )

    @overload
    def starmap(
        self,
        fn: Callable[[*Ts], Coroutine[Any, Any, R]],
        items: Items[tuple[*Ts]],
        /,
        **options: Unpack[Values],
    ) -> Map[R]: ...
    @overload
    def starmap(
        self, fn: Callable[[*Ts], R], items: Items[tuple[*Ts]], /, **options: Unpack[Values]
    ) -> Map[R]: ...
    @overload
    def starmap(
        self,
        fn: AnyCoFunction[R],
        items: Items[tuple[Any, ...]],
        /,
        **options: Unpack[SharedValues],
    ) -> Map[R]: ...
    @overload
    def starmap(
        self, fn: AnyFunction[R], items: Items[tuple[Any, ...]], /, **options: Unpack[SharedValues]
    ) -> Map[R]: ...
    @overload
    def starmap(
        self,
        fn: Callable[[*Ts], Coroutine[Any, Any, R]],
        items: Items[tuple[*Ts]],
        /,
        **options: Unpack[Refs],
    ) -> Map[Ref[R]]: ...
    @overload
    def starmap(
        self, fn: Callable[[*Ts], R], items: Items[tuple[*Ts]], /, **options: Unpack[Refs]
    ) -> Map[Ref[R]]: ...
    @overload
    def starmap(
        self, fn: AnyCoFunction[R], items: Items[tuple[Any, ...]], /, **options: Unpack[SharedRefs]
    ) -> Map[Ref[R]]: ...
    @overload
    def starmap(
        self, fn: AnyFunction[R], items: Items[tuple[Any, ...]], /, **options: Unpack[SharedRefs]
    ) -> Map[Ref[R]]: ...
    @overload
    def starmap(
        self,
        fn: Callable[[*Ts], Coroutine[Any, Any, R]],
        items: Items[tuple[*Ts]],
        /,
        **options: Unpack[Errors],
    ) -> Map[R | Exception]: ...
    @overload
    def starmap(
        self, fn: Callable[[*Ts], R], items: Items[tuple[*Ts]], /, **options: Unpack[Errors]
    ) -> Map[R | Exception]: ...
    @overload
    def starmap(
        self,
        fn: AnyCoFunction[R],
        items: Items[tuple[Any, ...]],
        /,
        **options: Unpack[SharedErrors],
    ) -> Map[R | Exception]: ...
    @overload
    def starmap(
        self, fn: AnyFunction[R], items: Items[tuple[Any, ...]], /, **options: Unpack[SharedErrors]
    ) -> Map[R | Exception]: ...
    @overload
    def starmap(
        self,
        fn: Callable[[*Ts], Coroutine[Any, Any, R]],
        items: Items[tuple[*Ts]],
        /,
        **options: Unpack[RefErrors],
    ) -> Map[Ref[R] | Exception]: ...
    @overload
    def starmap(
        self, fn: Callable[[*Ts], R], items: Items[tuple[*Ts]], /, **options: Unpack[RefErrors]
    ) -> Map[Ref[R] | Exception]: ...
    @overload
    def starmap(
        self,
        fn: AnyCoFunction[R],
        items: Items[tuple[Any, ...]],
        /,
        **options: Unpack[SharedRefErrors],
    ) -> Map[Ref[R] | Exception]: ...
    @overload
    def starmap(
        self,
        fn: AnyFunction[R],
        items: Items[tuple[Any, ...]],
        /,
        **options: Unpack[SharedRefErrors],
    ) -> Map[Ref[R] | Exception]: ...
    def starmap(
        self,
        fn: Callable[..., Any],
        items: Iterable[tuple[Any, ...]] | AsyncIterable[tuple[Any, ...]],
        /,
        *,
        ordered: bool = True,
        return_exceptions: bool = False,
        results: Literal["value", "ref"] = "value",
        shared: Mapping[str, object] | None = None,
        seed: int | None = None,
        buffersize: int | None = None,
        chunksize: int | Literal["auto"] = "auto",
        job: str | None = None,
        version: str | None = None,
    ) -> Map[Any]:
        """Run a function on every tuple of arguments: `fn(*item)`. Otherwise as `map`.

        areas = await fabric.starmap(area, [(2, 3), (4, 5)])
        """
        return self._map(
            "star",
            fn,
            items,
            ordered,
            return_exceptions,
            results,
            shared,
            seed,
            buffersize,
            chunksize,
            job,
            version,
        )

    def _map(
        self,
        convention: Convention,
        fn: Callable[..., Any],
        items: Iterable[Any] | AsyncIterable[Any],
        ordered: bool,  # noqa: FBT001
        return_exceptions: bool,  # noqa: FBT001
        results: str,
        shared: Mapping[str, object] | None,
        seed: int | None,
        buffersize: int | None,
        chunksize: int | str,
        job: str | None,
        version: str | None,
    ) -> Map[Any]:
        self._check_open()
        check_callable(fn)
        check_items(items)
        check_choice("results", results, ("value", "ref"))
        if shared is not None:
            check_shared(shared)
        if seed is not None:
            check_count("seed", seed, least=0)
        if buffersize is not None:
            check_count("buffersize", buffersize)
        if chunksize != "auto":
            check_count("chunksize", chunksize)
        check_job(job, version, self._core.store)
        settings = self._settings.with_options(options_of(fn))

        def begin() -> tuple[Run, Buffered]:
            self._check_open()
            launch = Launch(
                self._core,
                settings,
                fn,
                convention=convention,
                shared=shared,
                seed=seed,
                by_reference=results == "ref",
                chunksize=chunksize if isinstance(chunksize, int) else None,
                ordered=ordered,
                fail_fast=not return_exceptions,
                job=job,
                version=version,
            )
            fan_out = launch.fan_out
            fan_out.bound, fan_out.adaptive = buffersize, buffersize is None
            buffer = Buffered(fan_out, return_exceptions=return_exceptions)
            source: Source
            if isinstance(items, AsyncIterable):
                arrived = AsyncIterated(aiter(items))
                run = launch.begin(buffer, arrived)
                arrived.on_arrival(run.wake)
            else:
                source = Iterated(iter(items))
                run = launch.begin(buffer, source)
            return run, buffer

        return Map(begin, return_exceptions=return_exceptions)
