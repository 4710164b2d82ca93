"""Programs that are run by hand, one operation on the store at a time, with whatever goes wrong.

A `SteppedStore` pauses before each operation and after it. Whoever drives the coroutine decides at
the pause how the operation ends, and may leave the program there for good: it has crashed.
"""

from collections.abc import AsyncIterator, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Literal

from asyncfabric_storage import MemoryStore, ObjectInfo, ObjectStore, StorageError

if TYPE_CHECKING:
    from asyncfabric_storage import Data

Order = Literal["go", "refuse", "lose", "exists"]
ORDERS: tuple[Order, ...] = ("go", "refuse", "lose", "exists")
"""How an operation ends: as it should; refused (500, 503, 409) without effect; done, and the answer
lost; done, and answered as if it had been done before (412 for one's own write)."""


class Pause:
    """Where a program waits to be told how its operation on the store ends."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __await__(self) -> Generator["Pause", Order, Order]:
        return (yield self)


class SteppedStore(ObjectStore):
    """A memory store that pauses around each operation."""

    def __init__(self, store: MemoryStore) -> None:
        self.inner = store

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def shared(self) -> bool:
        return False

    @property
    def ephemeral(self) -> bool:
        return True

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        await self._pause("get", key)
        data = await self.inner.get(key, start=start, end=end)
        await Pause("got")
        return data

    async def put(self, key: str, data: "Data") -> None:
        order = await self._pause("put", key)
        await self.inner.put(key, data)
        await self._after(order, key)

    async def put_if_absent(self, key: str, data: "Data") -> bool:
        order = await self._pause("create", key)
        created = await self.inner.put_if_absent(key, data)
        await self._after(order, key)
        return created and order != "exists"

    async def head(self, key: str) -> ObjectInfo:
        await self._pause("head", key)
        return await self.inner.head(key)

    async def delete(self, key: str) -> None:
        order = await self._pause("delete", key)
        await self.inner.delete(key)
        await self._after(order, key)

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        await self._pause("list", prefix)
        found = [info async for info in self.inner.list(prefix)]
        await Pause("listed")
        for info in found:
            yield info

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def _pause(self, what: str, key: str) -> Order:
        order = await Pause(f"{what} {key}")
        if order == "refuse":
            raise StorageError(f"{what} {key}: 503")
        return order

    async def _after(self, order: Order, key: str) -> None:
        await Pause("done")
        if order == "lose":
            raise StorageError(f"{key}: 500, after it was done")


class Program:
    """A coroutine that is run by hand.

    Attributes:
        over: it has ended or crashed.
        result: what it returned, once it has ended.
        error: what it raised.
        at: what it is about to do.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        self.name = name
        self.over = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.at = "the beginning"
        self._work = work
        self._begun = False

    def step(self, order: Order = "go") -> None:
        """Run to the next pause; `order` says how what it is about to do ends."""
        try:
            pause = self._work.send(order if self._begun else None)
        except StopIteration as end:
            self.over, self.result = True, end.value
        except Exception as error:  # noqa: BLE001 - whatever it raised is looked at
            self.over, self.error = True, error
        else:
            self.at = pause.what
        self._begun = True

    def crash(self) -> None:
        """Leave it where it is, for ever; no `except` or `finally` of it does anything more."""
        self.over = True
        _graves.append(self._work)

    def run(self) -> Any:
        """Run to the end, all going well; return the result or raise the error."""
        while not self.over:
            self.step()
        if self.error is not None:
            raise self.error
        return self.result

    def __repr__(self) -> str:
        return f"<{self.name} at {self.at}{', over' if self.over else ''}>"


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Run what never has to wait, without a loop."""
    return Program(work, "at once").run()


_graves: list[Coroutine[Any, Any, Any]] = []


def bury() -> None:
    """Let go of crashed programs, after what they left behind has been looked at."""
    while _graves:
        _graves.pop().close()
