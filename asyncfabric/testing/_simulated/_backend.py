"""The door between the driver and the simulated service: a Backend like the Lambda one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asyncfabric.backends._protocol import Traits
from asyncfabric.backends.aws_lambda._faults import is_worth_another, may_have_run

from ._replies import fault_of
from ._work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from asyncfabric.backends._protocol import Receiver
    from asyncfabric_runtime import Envelope, Outcome, Plan
    from asyncfabric_storage import ObjectStore
    from asyncfabric_storage._buffers import Buffer

    from ._function import SimulatedFunction
    from ._meter import Mark
    from ._service import Service

LANES = 100
"""Invocations at once, unless `max_concurrency` says otherwise: as on Lambda."""
WORTH_SECONDS = 0.5
TIMEOUT_SECONDS = 300.0
INLINE_BYTES = 256 * 1024


class SimulatedBackend:
    """Runs invocations in a simulated account.

    Args:
        service: the account.
        function: which of its functions it invokes.
        number: gives fan-outs their numbers.
        seed: of the driver's own random numbers.
        limit: invocations at once at most; None for 100.
    """

    def __init__(
        self,
        service: Service,
        function: SimulatedFunction,
        number: Callable[[str], int],
        seed: int,
        limit: int | None = None,
    ) -> None:
        self.lanes = LANES if limit is None else limit
        self.traits = Traits(
            remote=True,
            streams=False,
            bounded=True,
            worth=WORTH_SECONDS,
            timeout=TIMEOUT_SECONDS,
            inline=INLINE_BYTES,
            copies=True,
            adaptive=True,
        )
        self._service = service
        self._function = function
        self._number = number
        self._seed = seed
        self._held: dict[int, Work] = {}
        self._receiver: Receiver | None = None
        self._requests = 0

    # -- life -----------------------------------------------------------------------------------

    def open(self, receiver: Receiver, store: ObjectStore) -> None:
        """Begin; there is room at once."""
        self._receiver, self._store = receiver, store
        receiver.random.seed(self._seed)
        asyncio.get_running_loop().call_soon(receiver.on_room)

    async def prepare(self, functions: Mapping[str, Callable[..., Any]]) -> str | None:  # noqa: ARG002
        """Do nothing: what is importable here is importable in a simulated worker."""
        return None

    async def warm(self, workers: int) -> None:
        """Do nothing yet."""

    def kill(self) -> None:
        """Do nothing: there is no process to be stopped."""

    async def aclose(self) -> None:
        """Listen no longer. What runs goes on to its end, for nobody, and is billed."""
        self._receiver = None
        self._held.clear()

    # -- out ------------------------------------------------------------------------------------

    def room(self, plan: Plan) -> int:  # noqa: ARG002 - every invocation has an environment alone
        """Return how many invocations may be launched now."""
        return self.lanes - len(self._held)

    def launch(self, envelope: Envelope, code: dict[str, bytes], seconds: float | None) -> None:  # noqa: ARG002
        """Invoke the function."""
        envelope.attachments = dict(code)
        if envelope.segments:
            # Copied, as on their way to a worker: the caller's arrays aren't the function's.
            envelope.segments = _copies(envelope.segments)
        work = Work(envelope, self._function, self, self._number(envelope.plan.job))
        self._held[envelope.flight] = work
        self._service.invoke(work)

    def recall(self, flight: int, positions: Collection[int] | None) -> None:
        """Take back what has not left yet. What runs on Lambda can't be stopped."""

    # -- back -----------------------------------------------------------------------------------

    def on_answer(self, work: Work, outcome: Outcome) -> None:
        """Pass the answer on."""
        flight = work.envelope.flight
        receiver = self._receiver
        self._held.pop(flight, None)
        if receiver is None:
            return
        calls = len(work.envelope.indices)
        if len(outcome.positions) + len(outcome.failures) < calls:
            answered = {*outcome.positions, *outcome.failures}
            unrun = [place for place in range(calls) if place not in answered]
            receiver.on_returned(flight, unrun)
        size = 64 * calls
        if outcome.segments:
            outcome.segments = _copies(outcome.segments)
            size += _size(outcome.segments)
        receiver.on_outcome(outcome, "", size)

    def on_trouble(self, work: Work, trouble: str) -> None:
        """Tell the driver what its own diagnosis of the reply is."""
        flight = work.envelope.flight
        receiver = self._receiver
        self._held.pop(flight, None)
        if receiver is None:
            return
        self._requests += 1
        request = f"simulated-{self._requests}"
        retry_after = self._service.profile.retry_after
        fault = fault_of(trouble, self._function.name, request, retry_after=retry_after)
        if fault.kind == "throttle":
            receiver.on_throttled(
                flight,
                scarce="rate" if "Rate" in fault.reason else "concurrency",
                retry_after=fault.retry_after,
                error=fault.error,
            )
        elif fault.kind == "function" and len(work.envelope.indices) > 1:
            receiver.on_returned(flight, None, alone=True)
        else:
            receiver.on_lost(
                flight,
                None,
                fault.error,
                f"request {request}",
                retryable=is_worth_another(fault),
                ran=may_have_run(fault),
            )

    def on_mark(self, work: Work, mark: Mark) -> None:
        """Pass a call's progress on."""
        if self._receiver is not None:
            self._receiver.on_progress(work.envelope.flight, mark.position, mark.fraction)


def _copies(segments: list[Buffer]) -> list[Buffer]:
    return [memoryview(bytearray(segment)) for segment in segments]


def _size(segments: list[Buffer]) -> int:
    return sum(memoryview(segment).nbytes for segment in segments)
