"""What the dispatcher needs of a backend, and a backend of the dispatcher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection

    from asyncfabric_runtime import Envelope, Outcome, Plan


class Receiver(Protocol):
    """Told by a backend, in the event loop, what became of invocations."""

    def on_outcome(self, outcome: Outcome, worker: str, size: int) -> None:
        """Take the answers to some calls; `size` is the outcome's bytes on the wire."""
        ...

    def on_returned(self, flight: int, positions: list[int] | None) -> None:
        """Take back calls that did not run (None: all that are unanswered), uncharged."""
        ...

    def on_lost(
        self, flight: int, running: list[int] | None, error: Exception, worker: str
    ) -> None:
        """Know that an invocation's worker died.

        `running` are the places of the calls it was at; None for all that are unanswered.
        """
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
    def separate(self) -> bool:
        """Whether the workers are other processes: they can't see the driver's memory."""
        ...

    def open(self, receiver: Receiver) -> None:
        """Begin, in the running loop. Returns at once; `on_room` follows when there is room."""
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
