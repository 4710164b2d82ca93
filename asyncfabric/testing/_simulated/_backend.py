"""The door between the driver and the simulated service: a Backend like the Lambda one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from asyncfabric.backends._heard import Heard
from asyncfabric.backends._protocol import Traits
from asyncfabric.backends.aws_lambda._faults import is_worth_another, may_have_run, scarce
from asyncfabric_storage import StorageError

from ._replies import fault_of
from ._work import INLINE_BYTES, Work, weight

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping

    from asyncfabric.backends._protocol import Receiver
    from asyncfabric_runtime import Envelope, Outcome, Plan
    from asyncfabric_runtime._progress import Report
    from asyncfabric_storage import ObjectStore
    from asyncfabric_storage._buffers import Buffer

    from ._function import SimulatedFunction
    from ._service import Service

LANES = 100
"""Invocations at once, unless `max_concurrency` says otherwise: as on Lambda."""
WORTH_SECONDS = 0.5
TIMEOUT_SECONDS = 300.0


class SimulatedBackend:
    """Runs invocations in a simulated account.

    Args:
        service: the account.
        function: which of its functions it invokes.
        number: gives fan-outs their numbers.
        seed: of the driver's own random numbers.
        limit: invocations at once at most; None for 100.
        heartbeats: workers tell of the progress of their calls.
    """

    def __init__(
        self,
        service: Service,
        function: SimulatedFunction,
        number: Callable[[str], int],
        seed: int,
        limit: int | None = None,
        *,
        heartbeats: bool = False,
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
        self._heartbeats = heartbeats
        self._held: dict[int, Work] = {}
        self._receiver: Receiver | None = None
        self._requests = 0
        # In order: that of a set would go by their addresses, which differ among processes.
        self._tasks: dict[asyncio.Task[None], None] = {}

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
        """Have so many environments started."""
        await self._service.warm(self._function, workers)

    def kill(self) -> None:
        """Do nothing: there is no process to be stopped."""

    async def aclose(self) -> None:
        """Listen no longer. What runs goes on to its end, for nobody, and is billed."""
        self._receiver = None
        self._held.clear()
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

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
        if self._heartbeats:
            now = asyncio.get_running_loop().time()
            work.heard = Heard(together=envelope.plan.is_async, launched=now)
        size = weight(envelope.inputs, envelope.segments)
        if size > INLINE_BYTES:
            self._later(self._launch_aside(work, size))
        else:
            self._service.invoke(work)

    async def _launch_aside(self, work: Work, size: int) -> None:
        """Store an envelope that is too large, then invoke."""
        work.key = f"spill/{work.job}/{work.envelope.flight}"
        try:
            await self._store.put(work.key, bytes(size))
        except Exception as error:  # noqa: BLE001 - a store's failure is the fan-out's
            self._refuse(work, error)
            return
        if self._receiver is None:
            return
        if work.recalled:
            self._drop(work)
            self._receiver.on_returned(work.envelope.flight, None)
            return
        self._service.invoke(work)

    def recall(self, flight: int, positions: Collection[int] | None) -> None:
        """Take back what has not left yet. What runs on Lambda can't be stopped."""
        work = self._held.get(flight)
        if work is not None and (positions is None or len(positions) == len(work.envelope.indices)):
            work.recalled = True

    # -- back -----------------------------------------------------------------------------------

    def on_answer(self, work: Work, outcome: Outcome) -> None:
        """Pass the answer on, or fetch it from the store first."""
        if self._receiver is None:
            return
        if work.result is not None:
            self._later(self._fetch(work, outcome, work.result))
        else:
            self._take(work, outcome)

    async def _fetch(self, work: Work, outcome: Outcome, key: str) -> None:
        try:
            await self._store.get(key)
            self._take(work, outcome)
            await self._store.delete(key)
        except Exception as error:  # noqa: BLE001 - a store's failure is the fan-out's
            self._refuse(work, error)

    def _drop(self, work: Work) -> None:
        """Let go of an invocation that is over."""
        self._held.pop(work.envelope.flight, None)
        if work.key is not None:
            self._later(self._delete(work.key))

    async def _delete(self, key: str) -> None:
        with contextlib.suppress(StorageError):  # it stays behind, as on a real bad day
            await self._store.delete(key)

    def _refuse(self, work: Work, error: Exception) -> None:
        self._drop(work)
        if self._receiver is not None:
            self._receiver.on_refused(work.envelope.flight, error)

    def _take(self, work: Work, outcome: Outcome) -> None:
        flight, receiver = work.envelope.flight, self._receiver
        self._drop(work)
        if receiver is None:
            return
        calls = len(work.envelope.indices)
        if outcome.answered < calls:
            answered = {*outcome.positions, *outcome.failures, *outcome.elsewhere}
            unrun = [place for place in range(calls) if place not in answered]
            receiver.on_returned(flight, unrun)
        if outcome.segments:
            outcome.segments = _copies(outcome.segments)
        receiver.on_outcome(outcome, work.worker, weight(outcome.values, outcome.segments))

    def on_duplicate(self, work: Work, outcome: Outcome) -> None:
        """Pass this answer on, too."""
        self._take(work, outcome)

    def on_trouble(self, work: Work, trouble: str) -> None:
        """Tell the driver what its own diagnosis of the reply is."""
        envelope, receiver = work.envelope, self._receiver
        if receiver is None:
            return
        flight = envelope.flight
        self._drop(work)
        self._requests += 1
        request = f"simulated-{self._requests}"
        retry_after = self._service.profile.retry_after
        fault = fault_of(trouble, self._function.name, request, retry_after=retry_after)
        if fault.kind == "throttle":
            receiver.on_throttled(
                flight,
                scarce=scarce(fault),
                retry_after=fault.retry_after,
                error=fault.error,
            )
        elif fault.kind == "function" and len(envelope.indices) > 1 and not envelope.plan.prompt:
            receiver.on_returned(flight, None, alone=True)
        else:
            receiver.on_lost(
                flight,
                None,
                fault.error,
                work.worker or f"request {request}",
                retryable=is_worth_another(fault),
                ran=may_have_run(fault),
            )

    def on_report(self, work: Work, report: Report) -> None:
        """Pass on what is new in it."""
        if self._receiver is not None and work.heard is not None:
            now = asyncio.get_running_loop().time()
            work.heard.tell(self._receiver, work.envelope.flight, report, now)


def _copies(segments: list[Buffer]) -> list[Buffer]:
    return [memoryview(bytearray(segment)) for segment in segments]
