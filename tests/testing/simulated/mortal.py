"""A simulated driver that can die: from then on it does nothing, whatever its code still tries."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import asyncfabric as af
from asyncfabric.testing._simulated._backend import SimulatedBackend
from asyncfabric_storage import ObjectInfo, ObjectStore, StorageError

if TYPE_CHECKING:
    from asyncfabric_runtime import Envelope
    from asyncfabric_storage import Data

T = TypeVar("T")


class MortalStore(ObjectStore):
    """One driver's own way to the account's store.

    Requests that are under way when it dies arrive, or don't, by chance; nobody hears of them.

    Args:
        inner: the account's store.
        chance: what is drawn from.
        last: before or after which request it dies, by itself; odd ones: before, even ones: after.
        on_death: called then.

    Attributes:
        dead: nothing comes of what is asked of it.
        leased: when it knew that it drives the job, in simulated seconds.
        adrift: requests that it left behind.
    """

    def __init__(
        self, inner: ObjectStore, chance: Random, last: int | None, on_death: Callable[[], None]
    ) -> None:
        self.inner = inner
        self.dead = False
        self.leased: float | None = None
        self.adrift: list[asyncio.Task[Any]] = []
        self._chance = chance
        self._last = last
        self._on_death = on_death
        self._count = 0
        self._under_way: dict[asyncio.Task[Any], None] = {}

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def shared(self) -> bool:
        return self.inner.shared

    @property
    def remote(self) -> bool:
        return self.inner.remote

    @property
    def ephemeral(self) -> bool:
        return self.inner.ephemeral

    def die(self) -> None:
        """Do and hear nothing any more."""
        self.dead = True
        for task in self._under_way:
            if self._chance.random() < 0.5:
                task.cancel()
            self.adrift.append(task)

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        return await self._send(self.inner.get(key, start=start, end=end))

    async def put(self, key: str, data: "Data") -> None:
        await self._send(self.inner.put(key, data))

    async def put_if_absent(self, key: str, data: "Data") -> bool:
        created = await self._send(self.inner.put_if_absent(key, data))
        if created and "/lease/" in key:
            self.leased = asyncio.get_running_loop().time()
        return created

    async def head(self, key: str) -> ObjectInfo:
        return await self._send(self.inner.head(key))

    async def delete(self, key: str) -> None:
        await self._send(self.inner.delete(key))

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        for info in await self._send(_listed(self.inner, prefix)):
            yield info

    async def aclose(self) -> None:
        """Leave the account's store open."""

    async def _send(self, work: Coroutine[Any, Any, T]) -> T:
        self._pass()
        if self.dead:
            work.close()
            raise StorageError("the driver is dead")
        task = asyncio.get_running_loop().create_task(work)
        self._under_way[task] = None
        try:
            result = await asyncio.shield(task)
        except asyncio.CancelledError:
            if not self.dead:
                task.cancel()
                self.adrift.append(task)
            raise
        finally:
            self._under_way.pop(task)
        self._pass()
        if self.dead:
            raise StorageError("the driver is dead")
        return result

    def _pass(self) -> None:
        self._count += 1
        if self._count == self._last and not self.dead:
            self._on_death()


async def _listed(store: ObjectStore, prefix: str) -> list[ObjectInfo]:
    return [info async for info in store.list(prefix)]


class Mortal:
    """A driver: a Fabric and a program, which die together.

    Attributes:
        died: when, in simulated seconds; None while it lives.
        launched: the calls that it has had run, and when.
    """

    def __init__(
        self, fabric: af.Fabric, store: ObjectStore, chance: Random, last: int | None
    ) -> None:
        self.fabric = fabric
        self.died: float | None = None
        self.launched: list[tuple[float, int]] = []
        self.store = MortalStore(store, chance, last, self.die)
        fabric._core.store = self.store  # the workers have the account's own
        self.program: asyncio.Task[Any] | None = None
        backend: Any = fabric._core.backend
        assert isinstance(backend, SimulatedBackend)
        self._launch = backend.launch
        self._replace_launch(self._note)

    def _replace_launch(self, launch: Callable[..., None]) -> None:
        setattr(self.fabric._core.backend, "launch", launch)  # noqa: B010 - a method, to mypy

    def _note(self, envelope: "Envelope", code: dict[str, bytes], seconds: float | None) -> None:
        now = asyncio.get_running_loop().time()
        self.launched += [(now, index) for index in envelope.indices]
        self._launch(envelope, code, seconds)

    def die(self) -> None:
        """Kill it: it says nothing more to its workers or its store, and hears nothing."""
        if self.died is not None:
            return
        self.died = asyncio.get_running_loop().time()
        self.store.die()
        backend: Any = self.fabric._core.backend
        backend._receiver = None
        self._replace_launch(_nothing)
        if self.program is not None:
            self.program.cancel()

    async def bury(self) -> None:
        """Clear away what is left of it in this process."""
        await self.fabric.aclose()
        await asyncio.gather(*self.store.adrift, return_exceptions=True)


def _nothing(*_: object) -> None:
    """Launch nothing."""
