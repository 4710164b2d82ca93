"""What the dispatcher needs of a backend, and a backend of the dispatcher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from random import Random

    from asyncfabric_runtime import Envelope, Outcome, Plan
    from asyncfabric_storage import ObjectStore


class Traits(NamedTuple):
    """What the driver has to know of a backend.

    Attributes:
        separate: the workers are other processes: they can't see the driver's memory.
        remote: they are on other machines: they can't see its directories either.
        streams: calls are answered as they end; otherwise all of an invocation together, so that
            the answers are lost with the worker.
        bounded: the backend itself keeps to `max_concurrency`, by invocations: its workers run one
            at a time each.
        prepares: `prepare` has something to do before a function's first invocation.
        worth: seconds of work worth one invocation.
        timeout: seconds an attempt may run, unless an option says so; None for no limit.
        riding: bytes of a packed function that goes along with every invocation, because nobody
            knows what the worker has.
        inline: bytes an answer may carry; a larger one goes through the store. None for any.
        copies: a call may be at several workers at once: the backend answers for each invocation
            apart, so the first answer can win.
        adaptive: the service behind it throttles, so the limit has to adapt.
        heartbeats: how workers that answer only once tell what they are at; see `Plan`.
    """

    separate: bool = True
    remote: bool = False
    streams: bool = True
    bounded: bool = False
    prepares: bool = False
    worth: float = 0.002
    timeout: float | None = None
    riding: int = 0
    inline: int | None = None
    copies: bool = False
    adaptive: bool = False
    heartbeats: tuple[str, float] | None = None


class Receiver(Protocol):
    """Told by a backend, in the event loop, what became of invocations.

    Attributes:
        random: the driver's one source of random numbers. A backend that has to be replayed seeds
            it in its `open`.
    """

    random: Random

    def on_outcome(self, outcome: Outcome, worker: str, size: int) -> None:
        """Take the answers to some calls; `size` is the outcome's bytes on the wire."""
        ...

    def on_returned(
        self,
        flight: int,
        positions: list[int] | None,
        *,
        after: float = 0.0,
        alone: bool = False,
    ) -> None:
        """Take back calls (None: all that are unanswered), uncharged.

        They are launched again, after so many seconds, and `alone` if one of them may be what the
        invocation ended by.
        """
        ...

    def on_lost(
        self,
        flight: int,
        running: list[int] | None,
        error: Exception,
        worker: str,
        *,
        retryable: bool = True,
        ran: bool = True,
    ) -> None:
        """Know that an invocation failed, mostly by its worker's death.

        `running` are the places of the calls it was at; None for all that are unanswered. They are
        worth another attempt if `retryable`; with `ran` False no user code was run.
        """
        ...

    def on_throttled(
        self,
        flight: int,
        *,
        scarce: Literal["concurrency", "rate", "reach"],
        retry_after: float | None,
        error: Exception,
    ) -> None:
        """Know that the service had no room for an invocation, or no way led there: nothing ran.

        Its calls are launched again, uncharged, after `retry_after` seconds if the service said so,
        and the limit of what is `scarce` adapts; for want of a way there are only pauses. `error`
        is what the calls fail with if that lasts for too long.
        """
        ...

    def on_began(self, flight: int, at: float) -> None:
        """Know that the calls of an invocation run, since a time of the loop's clock.

        Told where it is news: what came before, such as the start of a worker, took long.
        """
        ...

    def on_progress(
        self, flight: int, position: int, fraction: float, at: float | None = None
    ) -> None:
        """Know how far a call was, from 0 to 1, by its own word, at a time of the loop's clock.

        None for now: where that takes a while to become known, calls have gone on since.
        """
        ...

    def on_refused(self, flight: int, error: Exception) -> None:
        """Know that the fan-out of an invocation can't go on: all its invocations would fail so."""
        ...

    def on_room(self) -> None:
        """Know that the backend may have room for more invocations."""
        ...

    def on_broken(self, error: Exception) -> None:
        """Know that the backend can't run anything any more."""
        ...


@runtime_checkable
class Backend(Protocol):
    """Runs invocations. All methods are called in one event loop."""

    @property
    def lanes(self) -> int:
        """How many invocations run side by side."""
        ...

    @property
    def traits(self) -> Traits:
        """What kind of backend it is."""
        ...

    def open(self, receiver: Receiver, store: ObjectStore) -> None:
        """Begin, in the running loop. Returns at once; `on_room` follows when there is room.

        `store` is the Fabric's, which the workers can open by its URL.
        """
        ...

    async def prepare(self, functions: Mapping[str, Callable[..., Any]]) -> str | None:
        """Make ready for functions, by digest, that a fan-out will run, if the traits say so.

        Returns the digest of the archive of their modules, if they need one. Raises what the user
        should know before anything is launched.
        """
        ...

    async def warm(self, workers: int) -> None:
        """Have so many workers started, ready to run calls."""
        ...

    def room(self, plan: Plan) -> int:
        """Return how many invocations of a fan-out can be launched now."""
        ...

    def launch(self, envelope: Envelope, code: dict[str, bytes], seconds: float | None) -> None:
        """Run an invocation. `code` is what it needs, by digest; `seconds` how long it may take."""
        ...

    def recall(self, flight: int, positions: Collection[int] | None) -> None:
        """Take back an invocation's calls that have not begun.

        Those at `positions` (None: all of them) are stopped if they have begun: nobody waits for
        them any more.
        """
        ...

    def kill(self) -> None:
        """Stop everything at once, without a loop: at garbage collection or interpreter exit."""
        ...

    async def aclose(self) -> None:
        """Stop the workers and wait until they are gone."""
        ...


@runtime_checkable
class Leaves(Protocol):
    """A backend that calls can be left to: it runs them, whether anybody waits or not."""

    async def equip(self, plan: Plan, code: dict[str, bytes]) -> None:
        """See that workers will find the code of invocations that are left: nobody will be asked.

        Raises `StorageError`.
        """
        ...

    async def leave(self, envelope: Envelope, *, again: bool) -> None:
        """Return when it has taken an invocation of a durable job, which commits its results.

        Where that is uncertain, it is given once more if its calls may run `again`.

        Raises what an invocation may end with.
        """
        ...
