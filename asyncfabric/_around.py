"""What a run needs of what is around it: the dispatcher, the Fabric, and where its results go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from random import Random

    from ._run import Run
    from .scheduling import Block, Budget


class Delivery(Protocol):
    """Where settled calls go."""

    def deliver(self, blocks: list[Block]) -> None:
        """Take calls that settled."""
        ...

    def forget(self, index: int) -> None:
        """Know that a call was cancelled, so that it will not settle."""
        ...

    def end(self, error: BaseException | None) -> None:
        """Know that no more calls settle: because of an error, or because all have."""
        ...


class Pump(Protocol):
    """What a run needs of the dispatcher that serves it; see `Dispatcher`."""

    loop: asyncio.AbstractEventLoop
    random: Random
    budget: Budget
    now: Callable[[], float]

    def expect(self, run: Run) -> None: ...
    def join(self, run: Run) -> None: ...
    def leave(self, run: Run) -> None: ...
    def wake(self, run: Run) -> None: ...
    def serve(self, run: Run) -> None: ...
    def recall(self, run: Run, flights: list[int]) -> None: ...
    def cancel(self, flight: int, position: int | None) -> None: ...
    def copy(self, run: Run) -> None: ...
    def later(self, work: Coroutine[Any, Any, None]) -> None: ...
    def task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...


class Home(Protocol):
    """What a run needs of the Fabric that it belongs to; see `Core`."""

    def bind(self) -> Pump:
        """Return the dispatcher, or raise `RuntimeError` if the Fabric can't be used."""
        ...
