"""The Lambda backend: one held invocation per envelope, no task per invocation.

An invocation is a request to Lambda and its answer, nothing else: small inputs and results are in
the payloads, and the answer is the completion notice. What doesn't fit goes through the store, by a
task of its own.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import (
    ConfigurationError,
    DeploymentError,
    FabricError,
)
from asyncfabric.backends._protocol import Traits
from asyncfabric_runtime import Outcome, WireError
from asyncfabric_runtime._wire import OUTCOME, SPILLED

from ._cargo import Cargo
from ._connection import Connection
from ._events import EVENT_BYTES, Events
from ._faults import is_worth_another, may_have_run, scarce, told_as_timeout
from ._heartbeats import Heartbeats
from ._held import Held
from ._modules import Modules
from ._payload import from_body, to_payload, unreadable
from ._questions import Questions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence

    from asyncfabric.aws._fault import Fault
    from asyncfabric.aws.transport import Reply, Unanswered
    from asyncfabric.backends._protocol import Receiver
    from asyncfabric_runtime import Envelope, Plan
    from asyncfabric_storage import ObjectStore
    from asyncfabric_storage._buffers import Buffer

    from ._url import LambdaSettings

LANES = 100
"""Invocations at once, unless `max_concurrency` says otherwise."""
WORTH_SECONDS = 0.5
"""Work worth one invocation: a warm one costs some 20 ms apart from the work."""
RIDING_BYTES = 8 * 1024
"""A function of so many bytes rides in every envelope: that costs less than asking whether the
worker that Lambda chooses has it."""
TIMEOUT_SECONDS = 300.0
"""An attempt's timeout, unless an option says otherwise."""
CLEANUP_SECONDS = 5.0
"""So long the end waits for stored frames to be deleted; what is left expires in the bucket."""


class LambdaBackend:
    """Runs invocations on AWS Lambda.

    Args:
        settings: which functions, where, and how they are reached.
        limit: invocations at once at most; None for 100.
    """

    def __init__(self, settings: LambdaSettings, limit: int | None = None) -> None:
        self.lanes: int = LANES if limit is None else limit
        self.traits: Traits = Traits(
            remote=settings.remote,
            streams=False,
            bounded=True,
            prepares=True,
            worth=WORTH_SECONDS,
            timeout=TIMEOUT_SECONDS,
            riding=RIDING_BYTES,
            inline=settings.inline,
            copies=True,
            adaptive=True,
        )
        self._settings = settings
        self._connection = Connection(settings, self.lanes)
        self._held: dict[int, Held] = {}
        self._heartbeats: Heartbeats | None = None
        if settings.heartbeats is not None:
            self._heartbeats = heartbeats = Heartbeats(self._held, self.lanes)
            self.traits = self.traits._replace(heartbeats=(heartbeats.prefix, heartbeats.seconds))
        self._work: set[asyncio.Task[None]] = set()
        self._deleting: set[asyncio.Task[None]] = set()
        self._receiver: Receiver | None = None
        self._ready: asyncio.Task[None] | None = None

    @property
    def settings(self) -> LambdaSettings:
        """What its URL says."""
        return self._settings

    # -- life -----------------------------------------------------------------------------------

    def open(self, receiver: Receiver, store: ObjectStore) -> None:
        """Begin to find credentials, region and address."""
        self._receiver, self._store = receiver, store
        if self._heartbeats is not None:
            self._heartbeats.open(receiver, store)
        self._loop = asyncio.get_running_loop()
        self._cargo = Cargo(store)
        self._questions = Questions(self._connection, receiver.random)
        self._events = Events(self._connection, receiver.random)
        self._modules = Modules(self._cargo, self._questions, self._settings.member)
        self._ready = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        try:
            await self._connection.open()
        except Exception as error:  # noqa: BLE001 - whatever is wrong is the user's to know
            if self._receiver is not None:
                self._receiver.on_broken(error)
            return
        if self._receiver is not None:
            self._receiver.on_room()

    def kill(self) -> None:
        """Do nothing: there is no process to be stopped, and connections end with this one."""

    async def aclose(self) -> None:
        """Close all connections. What runs on Lambda goes on to its end, for nobody."""
        self._receiver = None
        pending = {*self._work}
        if self._ready is not None:
            pending.add(self._ready)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
        await self._cargo.aclose()
        await self._connection.aclose()
        if self._heartbeats is not None:
            await self._heartbeats.aclose()
        for held in self._held.values():
            self._delete(held.key)
        if self._deleting:
            _, late = await asyncio.wait(self._deleting, timeout=CLEANUP_SECONDS)
            for task in late:
                task.cancel()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _delete(self, key: str | None) -> None:
        """Delete a stored frame that nobody reads any more; this is waited for at the end."""
        if key is not None:
            task = asyncio.ensure_future(self._cargo.delete(key))
            self._deleting.add(task)
            task.add_done_callback(self._deleting.discard)

    # -- before the first invocation ------------------------------------------------------------

    async def prepare(self, functions: Mapping[str, Callable[..., Any]]) -> str | None:
        """Store the archive of the user's own modules; check that the others are there.

        Raises `DeploymentError`, in one error, for all modules that the function lacks, and
        whatever asking it raises.
        """
        await self._opened()
        await self._store.open()  # its URL, which goes to the workers, is final then
        return await self._modules.prepare(functions)

    async def warm(self, workers: int) -> None:
        """Have so many environments started: by short invocations that overlap."""
        if workers > self.lanes:
            limit = f"max_concurrency={self.lanes}"
            msg = f"warm({workers}) exceeds {limit}; give the Fabric a larger one"
            raise ConfigurationError(msg)
        await self._opened()
        await self._questions.warm(workers)

    async def _opened(self) -> None:
        if self._ready is not None:
            await asyncio.shield(self._ready)
        await self._connection.open()  # raises again what was wrong

    # -- out ------------------------------------------------------------------------------------

    def room(self, plan: Plan) -> int:  # noqa: ARG002 - every invocation has an environment alone
        """Return how many invocations may be launched now."""
        return self.lanes - len(self._held) if self._connection.is_open else 0

    def launch(self, envelope: Envelope, code: dict[str, bytes], seconds: float | None) -> None:  # noqa: ARG002
        """Invoke the function; through the store where the envelope is large or code is new."""
        held = self._held[envelope.flight] = Held(envelope, self._loop.time())
        if self._heartbeats is not None:
            self._heartbeats.launched()
        missing = self._cargo.missing(code, envelope.plan.archive, envelope.flight)
        frame = envelope.to_frame()
        size = _size(frame)
        if missing or size > self._settings.inline:
            self._later(self._launch_aside(held, envelope, missing, frame, size))
        else:
            self._invoke(held, frame)

    def _invoke(self, held: Held, frame: Sequence[Buffer]) -> None:
        held.keys = self._connection.keys
        self._connection.invoke(to_payload(frame), held.seconds, partial(self._answered, held))

    async def _launch_aside(
        self,
        held: Held,
        envelope: Envelope,
        missing: dict[str, bytes],
        frame: Sequence[Buffer],
        size: int,
    ) -> None:
        try:
            for name, data in missing.items():
                await self._cargo.store_code(name, data)
            if size > self._settings.inline:
                held.key = self._cargo.new_key(envelope.plan.job)
                frame = await self._cargo.store_envelope(held.key, envelope)
        except Exception as error:  # noqa: BLE001 - a store's failure is the fan-out's
            self._refused(held, error)
            return
        if held.recalled:
            self._give_back(held)
            return
        self._invoke(held, frame)

    async def equip(self, plan: Plan, code: dict[str, bytes]) -> None:
        """Store the code of events; see `Leaves`."""
        await self._opened()
        self._cargo.doubt()
        for name, data in self._cargo.missing(code, plan.archive, 0).items():
            await self._cargo.store_code(name, data)

    async def leave(self, envelope: Envelope, *, again: bool) -> None:
        """Leave an invocation to Lambda, as an event; see `Leaves`."""
        frame: Sequence[Buffer] = envelope.to_frame()
        if _size(frame) > min(self._settings.inline, EVENT_BYTES):
            key = self._cargo.new_key(envelope.plan.job)
            frame = await self._cargo.store_envelope(key, envelope)
        await self._events.send(to_payload(frame), again=again)

    def recall(self, flight: int, positions: Collection[int] | None) -> None:
        """Take back what has not left yet. What runs on Lambda can't be stopped."""
        held = self._held.get(flight)
        if held is not None and (positions is None or len(positions) == held.calls):
            held.recalled = True

    # -- back -----------------------------------------------------------------------------------

    def _drop(self, held: Held) -> None:
        """Let go of an invocation that is over."""
        if self._held.pop(held.flight, None) is not None and self._heartbeats is not None:
            self._heartbeats.landed(held)
        self._delete(held.key)

    def _give_back(self, held: Held) -> None:
        """Let the calls of an invocation be launched once more, if anybody waits for them."""
        self._drop(held)
        if self._receiver is not None:
            self._receiver.on_returned(held.flight, None)

    def _answered(self, held: Held, reply: Reply | Unanswered) -> None:
        if self._receiver is None:
            return
        connection = self._connection
        fault = connection.diagnose(reply)
        if fault is not None or isinstance(reply, Exception):
            assert fault is not None  # noqa: S101 - what is no reply is a fault
            self._failed(held, fault)
            return
        try:
            kind, segments = from_body(reply.body, connection.function, connection.redeploy)
            if kind == SPILLED:
                place = self._cargo.place_of(segments)
                self._later(self._fetch(held, place, connection.request_id(reply)))
                return
            self._take(held, kind, segments, connection.request_id(reply))
        except (FabricError, WireError) as error:
            self._refused(held, error)

    def _take(self, held: Held, kind: int, segments: Sequence[memoryview], worker: str) -> None:
        receiver = self._receiver
        if receiver is None:
            return  # closed while the frame was read
        if kind != OUTCOME:
            msg = f"it is a frame of kind {kind}"
            raise WireError(msg)
        outcome = Outcome.from_segments(segments)
        if outcome.flight != held.flight:
            msg = "it is the answer to another invocation"
            raise WireError(msg)
        if outcome.lacks:
            if not self._cargo.forget(outcome.lacks, held.flight):
                raise DeploymentError(self._unseen())
        else:
            self._cargo.found()
        self._connection.served = True
        self._drop(held)
        if not outcome.lacks and (unrun := held.unanswered(outcome)):
            # No time was left for these within the function's own timeout.
            receiver.on_returned(held.flight, unrun)
        receiver.on_outcome(outcome, worker, _size(segments))

    async def _fetch(self, held: Held, place: tuple[str, str, int], worker: str) -> None:
        if self._receiver is None:
            return
        try:
            if held.recalled:
                self._give_back(held)
                return
            kind, whole = await self._cargo.fetch_frame(*place)
            self._take(held, kind, whole, worker)
        except Exception as error:  # noqa: BLE001 - a store's failure is the fan-out's
            self._refused(held, error)
        finally:
            self._delete(place[0])

    def _refused(self, held: Held, error: Exception) -> None:
        """End the fan-out of an invocation."""
        self._drop(held)
        if self._receiver is None:
            return
        if isinstance(error, WireError):
            connection = self._connection
            error = unreadable(connection.function, error, connection.redeploy)
            if connection.served:
                # The function is the right one, so that it was an accident on the way.
                self._receiver.on_lost(held.flight, None, error, "")
                return
        self._receiver.on_refused(held.flight, error)

    def _unseen(self) -> str:
        return (
            f"function {self._connection.function} does not find what this driver stores in "
            f"{self._store.url}; see that it may read there, and that nothing is deleted there "
            "while it is used: asyncfabric doctor"
        )

    # -- failures -------------------------------------------------------------------------------

    def _failed(self, held: Held, fault: Fault) -> None:
        assert self._receiver is not None  # noqa: S101 - for the type checker
        receiver, flight = self._receiver, held.flight
        if fault.kind == "terminal":
            self._later(self._refuse(held, fault))
            return
        if fault.kind == "throttle" and self._connection.may_be_forbidden(fault):
            self._later(self._forbid(held, fault))
            return
        if fault.kind == "function":
            fault = told_as_timeout(fault, held.timeout)
        self._drop(held)
        if fault.kind == "throttle":
            self._throttled(held, fault)
        elif fault.kind == "function" and held.calls > 1 and not held.once:
            # Which of them it was is not known: taken apart, the culprit is found by itself.
            receiver.on_returned(flight, None, alone=True)
        else:
            receiver.on_lost(
                flight,
                None,
                fault.error,
                f"request {fault.request_id}" if fault.request_id else "",
                retryable=is_worth_another(fault),
                ran=may_have_run(fault),
            )

    def _throttled(self, held: Held, fault: Fault) -> None:
        assert self._receiver is not None  # noqa: S101 - for the type checker
        self._receiver.on_throttled(
            held.flight, scarce=scarce(fault), retry_after=fault.retry_after, error=fault.error
        )

    async def _forbid(self, held: Held, fault: Fault) -> None:
        error = await self._connection.forbidden(fault)
        if error is not None:
            self._refused(held, error)
        elif self._receiver is not None:
            self._drop(held)
            self._throttled(held, fault)

    async def _refuse(self, held: Held, fault: Fault) -> None:
        connection = self._connection
        if connection.may_have_other_keys(fault) and await connection.has_other_keys(held.keys):
            self._give_back(held)
        else:
            self._refused(held, await connection.explain(fault))


def _size(pieces: Sequence[Buffer]) -> int:
    if len(pieces) == 1:
        return memoryview(pieces[0]).nbytes
    return sum(memoryview(piece).nbytes for piece in pieces)
