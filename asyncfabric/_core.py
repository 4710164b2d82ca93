"""What a Fabric and its `with_options` views have in common: backend, store, limits, loop."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from asyncfabric_runtime._context import in_worker
from asyncfabric_runtime._stores import lend, take_back
from asyncfabric_storage import LocalStore, ObjectStore, open_store

from ._checks import check_choice
from ._dispatch import Dispatcher
from ._exceptions import ConfigurationError
from .backends import Backend, open_backend
from .reporting import Report
from .scheduling import Limit, Pace
from .shipping import named, ship

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from ._deliveries import HandedOut
    from .reporting import Observer
    from .shipping import Shipped

    Trust = Literal["pickle", "data"]
    Code = Literal["shipped", "deployed"]

_PACES_KEPT = 1024


class Core:
    """Made by a Fabric's constructor: no IO, no threads, no loop yet.

    Attributes:
        backend: where attempts run.
        store: the object store.
        limit: attempts in flight at most, or None.
        adapt: how to find out what a service takes that throttles.
        max_pending: submitted calls that may wait, or None.
        observers: told what happens.
        takes_data_only: results come as data; nothing of a worker's is unpickled here.
        sends_no_code: functions go by name, and inputs as data.
    """

    def __init__(
        self,
        backend: Backend | str | None,
        storage: ObjectStore | str | None,
        limit: int | None,
        max_pending: int | None,
        adapt: Limit | None = None,
        trust: Trust = "pickle",
        code: Code = "shipped",
    ) -> None:
        check_choice("trust", trust, ("pickle", "data"))
        check_choice("code", code, ("shipped", "deployed"))
        self.takes_data_only = trust == "data"
        self.sends_no_code = code == "deployed"
        self.backend = _backend(backend, limit)
        self._owns_store = not isinstance(storage, ObjectStore)
        self.store = _store(storage, self.backend)
        self.limit = limit
        self.adapt = Limit() if adapt is None else adapt
        self.max_pending = max_pending
        self.observers: list[Observer] = []
        self.closed = False
        self.handed_out: weakref.WeakSet[HandedOut] = weakref.WeakSet()
        self._dispatcher: Dispatcher | None = None
        self._abandonment: weakref.finalize[..., Core] | None = None
        self._pid = os.getpid()
        self._paces: OrderedDict[str, Pace] = OrderedDict()
        check_match(self.backend, self.store)
        lend(self.store)

    def ship(self, function: Callable[..., Any], limit: int | None = None) -> Shipped:
        """Pack a function in the way that this Fabric sends code.

        Raises `SerializationError`, and `TooLargeError` past `limit` bytes.
        """
        return named(function) if self.sends_no_code else ship(function, limit)

    def bind(self) -> Dispatcher:
        """Return the dispatcher; the first use starts it and ties the Fabric to this loop.

        Raises `RuntimeError` outside a loop, in another loop or process, and after `aclose`.
        """
        dispatcher = self._dispatcher
        if dispatcher is not None and asyncio._get_running_loop() is dispatcher.loop:  # noqa: SLF001
            if self.closed:
                raise RuntimeError(_CLOSED)
            if os.getpid() == self._pid:
                return dispatcher
        return self._bind_first()

    def _bind_first(self) -> Dispatcher:
        if os.getpid() != self._pid:
            raise RuntimeError(_FORKED)
        if self.closed:
            raise RuntimeError(_CLOSED)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            msg = "a Fabric works inside a running event loop; start one: asyncfabric.run(main())"
            raise RuntimeError(msg) from None
        if self._dispatcher is not None:
            raise RuntimeError(_ELSEWHERE)
        dispatcher = Dispatcher(self.backend, self.limit, loop, self.adapt)
        dispatcher.observers = self.observers
        self.backend.open(dispatcher, self.store)
        self._dispatcher = dispatcher
        # A Fabric that is never closed (a notebook's) leaves no process behind either.
        self._abandonment = weakref.finalize(self, _abandon, self.backend, loop, self._pid)
        return dispatcher

    def waiting(self) -> int:
        """Return how many submitted calls have not ended."""
        return sum(len(handed_out.calls) for handed_out in self.handed_out)

    def report(self) -> Report:
        """Return what came of everything so far."""
        return Report() if self._dispatcher is None else self._dispatcher.report()

    def pace(self, digest: str) -> Pace:
        """Return what is known of a function's speed, from earlier fan-outs too."""
        pace = self._paces.get(digest)
        if pace is None:
            traits = self.backend.traits
            pace = self._paces[digest] = Pace(traits.worth, traits.inline)
            if len(self._paces) > _PACES_KEPT:
                self._paces.popitem(last=False)
        return pace

    async def aclose(self, drain: float) -> None:
        """Refuse new calls, wait, cancel the rest, stop the workers, drop a temporary store.

        Raises `RuntimeError` in another process, and in another loop unless its own is closed.
        """
        if os.getpid() != self._pid:
            raise RuntimeError(_FORKED)
        dispatcher = self._dispatcher
        if dispatcher is not None and dispatcher.loop is not asyncio.get_running_loop():
            if not dispatcher.loop.is_closed():
                raise RuntimeError(_ELSEWHERE)
            dispatcher = None  # nothing there can be waited for any more
        self.closed = True
        try:
            if dispatcher is not None:
                if drain:
                    await dispatcher.drain(drain)
                await dispatcher.aclose()
        finally:
            self.backend.kill()
            if self._abandonment is not None:
                # It would keep the loop, and through it perhaps this, until the process ends.
                self._abandonment.detach()
            take_back(self.store)
            if self._owns_store:
                await self.store.aclose()


_CLOSED = "this Fabric is closed; make a new one"
_FORKED = (
    "this Fabric was made in another process and does not survive a fork; make a new Fabric in the "
    "child"
)
_ELSEWHERE = (
    "this Fabric belongs to the event loop it was first used in, and this is another one; make one "
    "Fabric for each loop"
)


def _abandon(backend: Backend, loop: asyncio.AbstractEventLoop, pid: int) -> None:
    if os.getpid() != pid:
        return  # a forked child: they are its parent's workers
    if loop.is_running():
        loop.call_soon_threadsafe(backend.kill)
    else:
        backend.kill()


def check_match(backend: Backend, store: ObjectStore) -> None:
    """Refuse a store that the backend's workers can't open."""
    if backend.traits.remote and not store.remote:
        msg = (
            f"the workers of this backend are on other machines and can't see {store.url}; give "
            "the Fabric storage='s3://bucket/prefix', or set ASYNCFABRIC_STORAGE to that"
        )
        raise ConfigurationError(msg)
    if backend.traits.separate and not store.shared:
        msg = (
            f"the workers of this backend are other processes and can't see {store.url}; "
            "use storage='file:///a/directory', or leave it out for a private temporary one"
        )
        raise ConfigurationError(msg)


def _backend(backend: Any, limit: int | None) -> Backend:  # noqa: ANN401 - the caller's
    if backend is not None and not isinstance(backend, str):
        if not isinstance(backend, Backend):
            msg = (
                f"backend={backend!r:.80} is no backend; give a URL such as 'local://?processes=4' "
                "or an object with the methods of asyncfabric.backends.Backend"
            )
            raise ConfigurationError(msg)
        return backend
    if in_worker():
        # The cores are taken: a fan-out inside a worker runs there, one call after another.
        return open_backend("inline://")
    return open_backend(backend or os.environ.get("ASYNCFABRIC_BACKEND") or "local://", limit)


def _store(storage: ObjectStore | str | None, backend: Backend) -> ObjectStore:
    if storage is None:
        storage = os.environ.get("ASYNCFABRIC_STORAGE") or None
    if storage is None:
        return LocalStore.temporary()
    if isinstance(storage, str) and storage.lower().startswith("s3://") and not in_worker():
        # With the driver's credentials, whatever they are; a worker has those of its environment.
        from .aws._s3 import open_s3_store
        from .backends.aws_lambda import LambdaBackend

        if not isinstance(backend, LambdaBackend):
            return open_s3_store(storage)
        settings = backend.settings
        return open_s3_store(storage, region=settings.region, profile=settings.profile)
    return open_store(storage)
