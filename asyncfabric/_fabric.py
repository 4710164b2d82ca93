"""`Fabric`: runs functions on the workers of a backend."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from asyncfabric_runtime._values import TooLargeError

from ._call import Call
from ._checks import check_callable, check_count, check_limit
from ._codec import HEAVY_BYTES
from ._core import Core
from ._deliveries import HandedOut
from ._exceptions import ConfigurationError, Saturated, SerializationError
from ._function import options_of
from ._launch import Launch, put
from ._options import Settings
from ._reduce_methods import ReduceMethods

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType
    from typing import Literal, Self, Unpack

    from asyncfabric_runtime import Convention, Ref
    from asyncfabric_storage import ObjectStore

    from ._options import Options
    from ._run import Run
    from .backends import Backend
    from .reporting import Report
    from .scheduling import Limit

R = TypeVar("R")
T = TypeVar("T")
P = ParamSpec("P")

_SUBMISSIONS_KEPT = 256


class Fabric(ReduceMethods):
    """Runs plain functions, by the thousand, on stateless workers, and awaits the results.

        async with asyncfabric.Fabric() as fabric:          # this machine's cores
            prices = await fabric.map(price, seeds)

    The constructor does no IO and starts nothing; the first use does, and ties the Fabric to its
    event loop and process. Without `async with`, close it by `await fabric.aclose()`; one that is
    dropped, or left open at exit, leaves no process or file behind either.

    Args:
        backend: `"local://"` (worker processes, one per core), `"local://?processes=8"`,
            `"lambda://NAME"` (AWS Lambda functions of the family NAME, with options `region`,
            `endpoint_url`, `profile`, `memory`, `arch`, `transport`, `inline` and `heartbeats`, see
            `asyncfabric.backends`), `"inline://"` (this process, for debugging), or a Backend
            object. Default: the environment variable ASYNCFABRIC_BACKEND, else `"local://"`.
        storage: `"file:///dir"`, `"s3://bucket/prefix"` (with options `region`, `endpoint_url` and
            `owner`), `"memory://"` (inline backend only), or an ObjectStore. Default:
            ASYNCFABRIC_STORAGE, else a private temporary directory.
        max_concurrency: attempts in flight at most, over all maps together; by default as many as
            keep the workers busy. On AWS Lambda it counts invocations, and is 100 by default.
        max_pending: calls that `submit` lets wait; one more raises `Saturated`. Default: no bound.
        limit: how to find out what a service takes that throttles, up to `max_concurrency`, and how
            long to be patient with it. Default: `Limit()`. Backends on this machine don't throttle.
        trust: what may come back. `"pickle"`: any object; who controls a worker can run code in
            this process. `"data"`: None, numbers, text, bytes, lists, tuples, dicts, sets, dates
            and numpy arrays; nothing is unpickled here, and what a function raises comes as
            `RemoteError`. See `docs/security.md`.
        code: what the workers run. `"shipped"`: any function, which travels. `"deployed"`:
            functions that the workers can import by their names; neither code nor pickles are sent,
            so inputs are data, too.
        **options: see `Options`.

    Raises:
        ConfigurationError: an argument makes no sense, or backend and store don't fit together.
    """

    def __init__(
        self,
        backend: Backend | str | None = None,
        *,
        storage: ObjectStore | str | None = None,
        max_concurrency: int | None = None,
        max_pending: int | None = None,
        limit: Limit | None = None,
        trust: Literal["pickle", "data"] = "pickle",
        code: Literal["shipped", "deployed"] = "shipped",
        **options: Unpack[Options],
    ) -> None:
        if max_concurrency is not None:
            check_count("max_concurrency", max_concurrency)
        if max_pending is not None:
            check_count("max_pending", max_pending)
        check_limit(limit)
        self._settings = Settings().with_options(options)
        self._core = Core(backend, storage, max_concurrency, max_pending, limit, trust, code)
        self._owner = True
        self._closed = False
        self._submissions: dict[tuple[str, bool], tuple[Run, HandedOut]] = {}

    # -- one call -------------------------------------------------------------------------------

    @overload
    def submit(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Call[R]: ...
    @overload
    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Call[R]: ...
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Call[Any]:
        """Run one call of a function; return it as a future.

        Arguments are pickled when the call leaves for a worker, which may be later: don't change
        them in between. A `Ref` among the positional arguments is
        replaced by its value.

            call = fabric.submit(price, 7, vol=0.3)
            value = await call

        Raises:
            Saturated: `max_pending` calls are waiting.
            SerializationError: the function can't be sent.
            TypeError: `fn` is not a function that can run on a worker.
            RuntimeError: the Fabric is closed, or belongs to another loop or process.
        """
        run, handed_out = self._submission(fn, keywords=bool(kwargs))
        value = (args, kwargs) if kwargs else args
        fan_out = run.fan_out
        call: Call[Any] = Call(run, fan_out.read, value, run.loop)
        if not handed_out.calls:
            run.keep = self._core
        handed_out.calls[fan_out.read] = call
        fan_out.offer_one(value)
        run.serve()
        return call

    def _submission(self, fn: Callable[..., Any], *, keywords: bool) -> tuple[Run, HandedOut]:
        """Return the open-ended fan-out that all submits of one function share."""
        self._check_open()
        self._core.bind()
        limit = self._core.max_pending
        if limit is not None and self._core.waiting() >= limit:
            msg = (
                f"{limit} submitted calls are waiting already (max_pending); await some of them "
                "first, or use fabric.map, which reads its input only as fast as calls end"
            )
            raise Saturated(msg)
        try:
            key = (self._core.ship(fn, HEAVY_BYTES).digest, keywords)
        except TooLargeError:
            key = None
        except SerializationError:
            check_callable(fn)
            raise
        found = None if key is None else self._submissions.get(key)
        if found is not None and not found[0].over:
            return found
        check_callable(fn)
        settings = self._settings.with_options(options_of(fn))
        convention: Convention = "full" if keywords else "star"
        launch = Launch(self._core, settings, fn, convention=convention)
        handed_out = HandedOut(launch.fan_out)
        run = launch.begin(handed_out, None)
        handed_out.on_idle = run.release
        self._core.handed_out.add(handed_out)
        if key is None:
            _end_when_idle(run, handed_out)  # nobody finds it again
        else:
            self._submissions[key] = run, handed_out
        if len(self._submissions) > _SUBMISSIONS_KEPT:
            self._forget_idle()
        return run, handed_out

    def _forget_idle(self) -> None:
        for key, (run, handed_out) in list(self._submissions.items())[: _SUBMISSIONS_KEPT // 2]:
            if not handed_out.calls:
                del self._submissions[key]
                run.finish(None)

    # -- the rest -------------------------------------------------------------------------------

    async def put(self, value: T) -> Ref[T]:
        """Store a value once, by the digest of its bytes, and return a `Ref` to pass to calls.

        Raises `SerializationError` if it can't be pickled (with `code="deployed"`: carried as
        data), `StorageError` if it can't be stored.
        """
        self._check_open()
        self._core.bind()
        return await put(self._core, value)

    def with_options(self, **options: Unpack[Options]) -> Self:
        """Return a Fabric with other options that shares backend, store and limits with this one.

        Closing it leaves this one open. Raises `ConfigurationError`.

            patient = fabric.with_options(timeout=600)
        """
        self._check_open()
        settings = self._settings.with_options(options)
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__, _settings=settings, _owner=False, _submissions={})
        # Its fan-outs of submitted calls would otherwise stay until the Fabric is closed.
        weakref.finalize(other, _let_go, other._submissions).atexit = False  # noqa: SLF001 - its own
        return other

    async def warm(self, n: int) -> None:
        """Have `n` workers started and ready, so that the next calls find no cold start.

        On AWS Lambda: `n` execution environments, each of which a short invocation keeps busy for a
        quarter of a second; Lambda keeps them for some minutes. On this machine: worker processes.

        Raises `ConfigurationError` if `n` is below 1 or above `max_concurrency`, and what a first
        call would raise.
        """
        self._check_open()
        check_count("n", n)
        backend = self._core.bind().backend
        limit = self._core.limit
        if limit is not None and n > limit:
            msg = f"warm({n}) exceeds max_concurrency={limit}; give the Fabric a larger one"
            raise ConfigurationError(msg)
        await backend.warm(n)

    def report(self) -> Report:
        """Return what the calls came to since the Fabric was first used, and the present limits.

        It is the same for all that `with_options` made of one Fabric, costs next to nothing, and
        can still be asked for when the Fabric is closed.

            print(fabric.report())
        """
        return self._core.report()

    @property
    def store(self) -> ObjectStore:
        """The object store: `get`, `put`, `put_if_absent`, `list`, `get_many`, `put_many`, ..."""
        return self._core.store

    async def aclose(self, *, drain: float = 0) -> None:
        """Refuse new calls, wait up to `drain` seconds for those under way, cancel the rest.

        When it returns, no worker process, descriptor or temporary file is left. Repeated calls do
        nothing.
        """
        if self._owner and not self._core.closed:
            await self._core.aclose(drain)
        self._closed = True

    async def __aenter__(self) -> Self:
        self._check_open()
        self._core.bind()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        closing = asyncio.ensure_future(self.aclose())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait([closing])  # a cancelled program leaves no process behind either
            raise

    def __repr__(self) -> str:
        state = "closed" if self._closed or self._core.closed else "open"
        backend = self._core.backend
        return f"<Fabric {type(backend).__name__}, {backend.lanes} lanes, {state}>"


def _let_go(submissions: dict[Any, tuple[Run, HandedOut]]) -> None:
    """Let fan-outs end that nobody submits to any more. In any thread: a Fabric was dropped."""
    for run, handed_out in submissions.values():
        with contextlib.suppress(RuntimeError):  # the loop is closed
            run.loop.call_soon_threadsafe(_end, run, handed_out)


def _end(run: Run, handed_out: HandedOut) -> None:
    if handed_out.calls:
        _end_when_idle(run, handed_out)
    else:
        run.finish(None)


def _end_when_idle(run: Run, handed_out: HandedOut) -> None:
    """End a fan-out after its last call, and not within: the run is settling that one then."""

    def later() -> None:
        run.loop.call_soon(_end, run, handed_out)

    handed_out.on_idle = later
