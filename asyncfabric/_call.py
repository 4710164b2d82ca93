"""`Call`: one input of a fan-out as an asyncio future, and the attempts that were made at it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    from asyncfabric_runtime import Phases


R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One execution of one call. All times are seconds.

    `fetch`, `load`, `deserialize`, `serialize` and `store` were spent on all the calls that were
    answered together with this one, of which there are `shared_by`; `run` is this call's own.

    Attributes:
        number: 1 for the first attempt.
        worker: which worker ran it, such as its process id.
        run: in the user's function.
        queue: from the launch of the invocation to its answer, less what the worker was busy.
        fetch: reading shared values and refs from the store.
        load: unpickling the function, imports, the initializer.
        deserialize: unpickling inputs.
        serialize: pickling results.
        store: writing results to the store.
        cold: it was the worker process's first invocation.
        peak_memory: peak resident memory of the worker process, bytes.
        shared_by: calls answered together with this one, itself included.
        error: what the attempt failed with, or None.
    """

    number: int
    worker: str = ""
    run: float = 0.0
    queue: float = 0.0
    fetch: float = 0.0
    load: float = 0.0
    deserialize: float = 0.0
    serialize: float = 0.0
    store: float = 0.0
    cold: bool = False
    peak_memory: int = 0
    shared_by: int = 1
    error: BaseException | None = None


@dataclass(slots=True)
class Answered:
    """What is known of attempts that were answered together; `Attempt`s are made of it."""

    worker: str
    run: array[float]
    queue: float
    phases: Phases
    cold: bool
    peak_memory: int
    logs: dict[int, str]
    shared_by: int

    def attempt(self, offset: int, number: int, error: BaseException | None = None) -> Attempt:
        """Return the attempt at a place among those answered together."""
        phases = self.phases
        return Attempt(
            number=number,
            worker=self.worker,
            run=self.run[offset] if offset < len(self.run) else 0.0,
            queue=self.queue,
            fetch=phases.fetch,
            load=phases.load,
            deserialize=phases.deserialize,
            serialize=phases.serialize,
            store=phases.store,
            cold=self.cold,
            peak_memory=self.peak_memory,
            shared_by=self.shared_by,
            error=error,
        )


class Owner(Protocol):
    """The fan-out that a call belongs to."""

    history: dict[int, list[Attempt]]

    def cancel_call(self, index: int) -> None:
        """Stop the call's work."""
        ...


class Call(asyncio.Future[R]):
    """One call of a fan-out: a real `asyncio.Future`, for `await`, `wait`, `gather`, `timeout`.

    Cancelling it stops the call's work, for everyone who awaits it; share it by
    `asyncio.shield(call)`.

    Attributes:
        index: the call's index in its fan-out, from 0.
        input: the map's input; for `submit` its positional arguments, or a pair of those and the
            keyword arguments where there are any.
    """

    __slots__ = ("_earlier", "_offset", "_owner", "_record", "index", "input")

    def __init__(
        self, owner: Owner, index: int, value: object, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(loop=loop)
        self.index: int = index
        self.input: object = value
        self._owner = owner
        self._earlier: Sequence[Attempt] | None = None
        self._record: Answered | None = None
        self._offset = 0

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts that ended, in order; the last one decided the call.

        Where copies of the call ran at the same time (see `Hedge`), it is the one that came first;
        the others are not among them.
        """
        earlier = self._earlier
        attempts = list(self._owner.history.get(self.index, ()) if earlier is None else earlier)
        if self._record is not None:
            error = None
            if self.done() and not self.cancelled():
                # Future.exception() marks the error as seen; looking at attempts must not.
                error = getattr(self, "_exception", None)
            attempts.append(self._record.attempt(self._offset, len(attempts) + 1, error))
        return attempts

    @property
    def logs(self) -> str:
        """What the deciding attempt printed and logged, at most 64 KiB of it."""
        return "" if self._record is None else self._record.logs.get(self.index, "")

    def settle(self, record: Answered | None, offset: int) -> None:
        """Know the attempt that decided the call; its result or error follows."""
        self._record = record
        self._offset = offset

    def keep_history(self) -> None:
        """Take along what its fan-out knows of the call, which may go on for long without it."""
        self._earlier = self._owner.history.pop(self.index, ())

    def drop(self, reason: str) -> None:
        """Cancel the call, whose work has been stopped already."""
        super().cancel(reason)

    def cancel(self, msg: Any = None) -> bool:  # noqa: ANN401 - asyncio's signature
        """Cancel the call and stop its work; return False if it has ended already."""
        cancelled = super().cancel(msg)
        if cancelled:
            self._owner.cancel_call(self.index)
            self.keep_history()
        return cancelled
