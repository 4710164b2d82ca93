"""What a worker process keeps from one invocation to the next: code, values, environment, loop."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from time import perf_counter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncfabric_storage import IntegrityError, digest

from ._named import import_named, unpack_name
from ._packing import unpack_object
from ._ref import refs_of
from ._secrets import Secrets
from ._stores import open_shared_store, read_object

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Mapping

    from ._envelope import Envelope, Plan
    from ._invocation import Invocation
    from ._named import Served

T = TypeVar("T")

CODE_KEPT = 256
"""Functions kept by a process; the least recently used one goes first."""
VALUES_KEPT = 64
"""Shared values and refs kept by a process."""


class _Recent(Generic[T]):
    """A dictionary that forgets what was least recently used."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: OrderedDict[str, T] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def get(self, name: str) -> T:
        self._items.move_to_end(name)
        return self._items[name]

    def put(self, name: str, item: T) -> None:
        self._items[name] = item
        self._items.move_to_end(name)
        if len(self._items) > self._size:
            self._items.popitem(last=False)


class Process:
    """One worker process (or the driver itself, for the inline backend)."""

    def __init__(self) -> None:
        self.invocations = 0
        self.missing_module_advice = (
            "workers get the driver's sys.path, so import it from a path entry or an installed "
            "package"
        )
        self.loaded: tuple[Plan, Callable[..., Any], dict[str, Any]] | None = None
        """The last invocation's plan, function and shared values: the next one is mostly alike."""
        self.on_loaded: Callable[[Invocation], None] | None = None
        """Told when code and values are loaded and the calls of an invocation begin."""
        self.served: Served | None = None
        """The only functions that this process runs, where it is told."""
        self.secrets = Secrets()
        self._code: _Recent[bytes] = _Recent(CODE_KEPT)
        self._functions: _Recent[Callable[..., Any]] = _Recent(CODE_KEPT)
        self._values: _Recent[Any] = _Recent(VALUES_KEPT)
        self._fetching: dict[str, asyncio.Future[Any]] = {}
        self._initialized: dict[str, BaseException | None] = {}
        self._environment: Mapping[str, str] | None = None
        self._replaced: dict[str, str | None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def lacks(self, envelope: Envelope) -> list[str]:
        """Keep the code that came along; return the digests of what is still missing.

        Raises `IntegrityError` for code that is not what its digest says.
        """
        for name, data in envelope.attachments.items():
            # Copied: a view would keep the whole frame, with the inputs that came along.
            self._take(name, bytes(data))
        plan = envelope.plan
        needed = [plan.function] if plan.initializer is None else [plan.function, plan.initializer]
        lacking: list[str] = []
        for name in needed:
            if name in self._functions or name in self._code:
                continue
            if name in plan.code:
                self._take(name, plan.code[name])
            else:
                lacking.append(name)
        return lacking

    def _take(self, name: str, data: bytes) -> None:
        """Keep code that came along, which other callers will ask for by its digest, too."""
        if digest(data) != name:
            msg = f"code came along that is not {name[:12]}..., by whose digest it was sent"
            raise IntegrityError(msg)
        self._code.put(name, data)

    def keep(self, name: str, data: bytes) -> None:
        """Keep code that was fetched from the store."""
        self._code.put(name, data)

    def forget_modules(self) -> None:
        """Drop what was made with modules that have been replaced since."""
        self.loaded = None
        self._functions = _Recent(CODE_KEPT)
        self._values = _Recent(VALUES_KEPT)
        self._initialized.clear()

    def holds(self, names: list[str]) -> bool:
        """Tell whether all these values are in memory, so that nothing has to be fetched."""
        return all(name in self._values for name in names)

    def function(self, name: str) -> Callable[..., Any]:
        """Return a function by digest; loaded once. Raises whatever importing it raises."""
        if name not in self._functions:
            data = self._code.get(name)
            if self.served is not None:
                function = self.served.find(data)
            elif (by_name := unpack_name(data)) is not None:
                function = import_named(*by_name)
            else:
                function = unpack_object(data)
            self._functions.put(name, function)
        return self._functions.get(name)

    async def values(self, plan: Plan, names: list[str]) -> dict[str, Any]:
        """Return stored values by digest; each is fetched and decoded once per process."""
        import asyncio

        found: dict[str, Any] = {}
        for name in names:
            if name in self._values:
                found[name] = self._values.get(name)
                continue
            fetching = self._fetching.get(name)
            if fetching is None:
                fetching = asyncio.ensure_future(self._fetch(plan, name))
                self._fetching[name] = fetching
            # Other invocations may wait for it, too.
            found[name] = await asyncio.shield(fetching)
        return found

    async def _fetch(self, plan: Plan, name: str) -> Any:  # noqa: ANN401 - the user's value
        try:
            store = open_shared_store(plan.store_url)
            make_ref = refs_of(plan.store_url)
            value = await read_object(store, name, as_data=plan.data_inputs, make_ref=make_ref)
            self._values.put(name, value)
            return value
        finally:
            del self._fetching[name]

    def held(self, names: list[str]) -> dict[str, Any]:
        """Return values that `holds` has promised."""
        return {name: self._values.get(name) for name in names}

    def initialize(self, name: str | None) -> None:
        """Run an initializer once per process; where it failed, every later call fails alike."""
        if name is None:
            return
        if name not in self._initialized:
            try:
                self.function(name)()
            except BaseException as error:
                self._initialized[name] = error
                raise
            self._initialized[name] = None
        failed = self._initialized[name]
        if failed is not None:
            raise failed

    def enter_environment(self, wanted: Mapping[str, str] | None) -> None:
        """Put environment variables in force, and the former plan's out of it."""
        if wanted == self._environment:
            return
        self.loaded = None
        for name, old in self._replaced.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old
        self._replaced = {name: os.environ.get(name) for name in wanted or ()}
        os.environ.update(wanted or {})
        self._environment = wanted

    def variable(self, name: str) -> str | None:
        """Return an environment variable as it is without any plan's environment."""
        return self._replaced[name] if name in self._replaced else os.environ.get(name)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The process's event loop, made when a coroutine function or the store first needs it."""
        if self._loop is None:
            import asyncio

            self._loop = asyncio.new_event_loop()
        return self._loop

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end from code that is not in a loop."""
        return self.loop.run_until_complete(work)


PEAK_SECONDS = 0.05
"""The peak is asked for no more often than this: it costs as much as a short call."""

_peak = (float("-inf"), 0)


def peak_memory() -> int:
    """Return the process's peak resident memory in bytes; 0 where the platform doesn't tell."""
    global _peak  # noqa: PLW0603 - it is a fact of the process
    asked, peak = _peak
    now = perf_counter()
    if now - asked > PEAK_SECONDS:
        peak = _ask_peak()
        _peak = now, peak
    return peak


def _ask_peak() -> int:
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
