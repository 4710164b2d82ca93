"""A backend that runs nothing: the test says what becomes of invocations."""

from array import array
from collections.abc import Callable, Collection, Mapping
from typing import Any

from asyncfabric.backends import Receiver, Traits
from asyncfabric_runtime import Envelope, Outcome, Plan
from asyncfabric_runtime._values import Encoded
from asyncfabric_storage import ObjectStore
from tests.api.until import passes


class Scripted:
    """Notes what the dispatcher asks of it.

    Attributes:
        launched: the invocations, by number.
        recalled: the invocations of which all was recalled.
    """

    def __init__(self, lanes: int = 4, **traits: Any) -> None:
        self.lanes = lanes
        self.traits = Traits(separate=False, bounded=True)._replace(**traits)
        self.launched: dict[int, Envelope] = {}
        self.recalled: list[int] = []
        self.receiver: Any = None

    def open(self, receiver: Receiver, store: ObjectStore) -> None:
        self.receiver = receiver
        receiver.on_room()

    async def prepare(self, functions: Mapping[str, Callable[..., Any]]) -> str | None:
        return None

    async def warm(self, workers: int) -> None:
        return None

    def room(self, plan: Plan) -> int:
        return self.lanes

    def launch(self, envelope: Envelope, code: dict[str, bytes], seconds: float | None) -> None:
        self.launched[envelope.flight] = envelope

    def recall(self, flight: int, positions: Collection[int] | None) -> None:
        if positions is None:
            self.recalled.append(flight)

    def kill(self) -> None:
        return None

    async def aclose(self) -> None:
        self.receiver = None

    # -- what the test says ---------------------------------------------------------------------

    async def flights(self, count: int) -> list[int]:
        """Wait until so many were launched in all; return their numbers."""
        for _ in range(1000):
            if len(self.launched) >= count:
                return list(self.launched)
            await passes(1)
        raise AssertionError(f"{len(self.launched)} invocations, not {count}")

    def answer(self, flight: int) -> None:
        """Answer all calls of an invocation with their indices."""
        values = list(self.launched[flight].indices)
        run = array("d", [0.001] * len(values))
        answers = Encoded(None, values)
        self.receiver.on_outcome(Outcome(flight, range(len(values)), answers, run), "w", 10)
