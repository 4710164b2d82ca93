"""One invocation at work: load the code, run the calls, answer them.

Plain functions run one after another in the thread that calls `run`; coroutine functions run all
their calls concurrently in `run_async`. Calls not yet begun can be taken back at any time from
another thread (`recall`): taking a position out of the deque is atomic, so a call is either begun
or taken back, never both.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from ._context import Context, Slot, enter, leave
from ._envelope import PYTHON
from ._failure import ARGUMENT, LOAD, MISMATCH, TIMEOUT, USER, Failure, describe, said
from ._record import Record
from ._steps import Announced
from ._values import decode_value

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection

    from ._envelope import Envelope
    from ._outcome import Outcome
    from ._process import Process

    Emit = Callable[[Outcome], None]

FLUSH_SECONDS = 0.001
"""Results wait at most about this long for company before they are sent."""

LOADING = 0xFFFFFFFF
"""Announced in place of a position while code and values are loaded for the calls."""
WAITING = 0xFFFFFFFE
"""Announced while coroutine calls run and none of them is at a step."""


class Invocation:
    """The execution of one envelope in a process."""

    def __init__(self, envelope: Envelope, process: Process) -> None:
        self.envelope = envelope
        self.plan = envelope.plan
        self.pending = deque(range(len(envelope.indices)))
        self.page: Any = [0]
        """Where the call that is running is announced, as flight << 32 | position: a page of
        memory shared with the driver, which reads there what a dead worker was doing."""
        self.claims: deque[tuple[int, float]] | None = None
        """With a watchdog: holds one token (position, start) while a call runs. Whoever takes it
        out answers the call."""
        self.since = 0.0
        self._process = process
        self._record = Record(envelope.flight, envelope.plan, cold=process.invocations == 0)
        self._function: Callable[..., Any] = _not_loaded
        self._shared: dict[str, Any] = {}
        self._held: dict[str, Any] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._streams = self._flushing = False
        process.invocations += 1

    @property
    def _announced(self) -> int:
        return self.envelope.flight << 32

    # -- before the first call ------------------------------------------------------------------

    def refuse(self) -> Outcome | None:
        """Return the answer to an invocation that can't begin here, or None."""
        plan = self.plan
        if plan.python != PYTHON:
            message = (
                f"the driver runs Python {plan.python} and this worker Python {PYTHON}: functions "
                "travel as bytecode, so both must run the same minor version"
            )
            return self._fail_all(Failure(MISMATCH, "VersionMismatch", message, message))
        lacks = self._process.lacks(self.envelope)
        if lacks:
            self.pending.clear()
            outcome = self._record.outcome(final=True)
            outcome.lacks = lacks
            return outcome
        return None

    def needs_fetching(self) -> bool:
        """Tell whether stored values have to be fetched first."""
        return not self._process.holds(self._stored())

    async def fetch(self) -> None:
        """Bring the stored values that the calls use into memory."""
        started = perf_counter()
        self._held = await self._process.values(self.plan, self._stored())
        self._record.fetch += perf_counter() - started

    def _stored(self) -> list[str]:
        return [*self.plan.shared.values(), *self.envelope.refs]

    def load(self) -> None:
        """Load the function, run the initializer, put the environment in force."""
        started = perf_counter()
        process, plan = self._process, self.plan
        process.enter_environment(plan.env)
        self._function = process.function(plan.function)
        process.initialize(plan.initializer)
        self._held = self._held or process.held(self._stored())
        self._shared = {name: self._held[stored] for name, stored in plan.shared.items()}
        self._record.load += perf_counter() - started
        process.loaded = (plan, self._function, self._shared)

    def _announce(self, position: int) -> None:
        self.page[0] = self._announced + position

    def _fail_all(self, failure: Failure) -> Outcome:
        while True:
            try:
                self._record.failures[self.pending.popleft()] = failure
            except IndexError:
                return self._record.outcome(final=True)

    def _load_failure(self, error: BaseException) -> Outcome:
        name = getattr(error, "name", None)
        message = f"the worker can't load the function or its values: {said(error)}"
        if isinstance(error, ImportError):
            message += (
                f"; module {name!r} is importable in the driver but not in the worker: workers get "
                "the driver's sys.path, so import it from a path entry or an installed package"
            )
        return self._fail_all(describe(error, LOAD, message=message))

    # -- the calls ------------------------------------------------------------------------------

    def context(self, position: int) -> Context:
        """Return what `current()` gives to the call at a position."""
        plan, envelope = self.plan, self.envelope
        deadline = (
            None if plan.timeout is None else time() - perf_counter() + self.since + plan.timeout
        )
        return Context(
            job=plan.job,
            index=envelope.indices[position],
            attempt=envelope.attempt(position),
            deadline=deadline,
            seed=plan.seed,
            store_url=plan.store_url,
        )

    def _argument(self, position: int) -> Any:  # noqa: ANN401 - the user's value
        kinds, bodies = self.envelope.inputs
        if kinds is None:
            return bodies[position]
        started = perf_counter()
        segments: Any = self.envelope.segments
        value = decode_value(kinds[position], bodies[position], segments)
        if self.envelope.refs:
            from ._ref import with_values

            value = with_values(value, self._held)
        self._record.deserialize += perf_counter() - started
        return value

    def _invoke(self, argument: Any) -> Any:  # noqa: ANN401 - the user's values
        if self.plan.convention == "star":
            return self._function(*argument, **self._shared)
        if self.plan.convention == "full":
            args, kwargs = argument
            return self._function(*args, **kwargs, **self._shared)
        return self._function(argument, **self._shared)

    def run(self, emit: Emit | None = None) -> Outcome:
        """Run all calls of a plain function. Emits outcomes on the way; returns the final one."""
        refused = self._begin()
        if refused is not None:
            return refused
        self._run_plain(emit)
        if self.plan.by_reference:
            self._process.wait_for(self._record.store_values())
        return self._record.outcome(final=True)

    def _begin(self) -> Outcome | None:
        loaded = self._process.loaded
        if loaded is not None and loaded[0] is self.plan and not self.envelope.refs:
            _, self._function, self._shared = loaded  # as for the last invocation
            self._announce(LOADING)
            self._record.announce = self._announce
            return None
        refused = self.refuse()
        if refused is not None:
            return refused
        self._announce(LOADING)
        self._record.announce = self._announce
        try:
            if self.needs_fetching():
                self._process.wait_for(self.fetch())
            self.load()
        except BaseException as error:  # noqa: BLE001 - user code was imported and run
            return self._load_failure(error)
        return None

    def _run_plain(self, emit: Emit | None) -> None:
        record, page, announced, claims = self._record, self.page, self._announced, self.claims
        take = self.pending.popleft
        one = self.plan.convention == "one" and not self._shared
        function = self._function if one else self._invoke
        bodies = self.envelope.inputs.bodies if self.envelope.inputs.kinds is None else None
        slot = Slot(self, 0, record.transcripts)
        entered = enter(slot)
        interval = 0.0 if self.plan.prompt else FLUSH_SECONDS
        due = perf_counter() + interval
        try:
            while True:
                try:
                    position = take()
                except IndexError:
                    return
                slot.position = position
                page[0] = announced + position
                self.since = started = perf_counter()
                if claims is not None:
                    claims.append((position, started))
                kind = ARGUMENT
                try:
                    if bodies is not None:
                        argument = bodies[position]
                    else:
                        argument = self._argument(position)
                        started = perf_counter()
                    kind = USER
                    value = function(argument)
                except BaseException as error:  # noqa: BLE001 - whatever user code raises
                    now = perf_counter()
                    _claim(claims)
                    record.failures[position] = _failure(error, kind)
                else:
                    now = perf_counter()
                    _claim(claims)
                    record.add(position, value, now - started)
                if now >= due and emit is not None:
                    if self.plan.by_reference:
                        self._process.wait_for(record.store_values())
                    emit(record.outcome(final=False))
                    due = perf_counter() + interval
        finally:
            leave(entered)

    # -- in a loop ------------------------------------------------------------------------------

    async def run_here(self, emit: Emit, *, stream: bool = True) -> None:
        """Run in the current event loop, coroutine functions concurrently, and emit the outcomes.

        Without `stream` there is just one outcome, at the end.
        """
        self._streams = stream and not self.plan.by_reference
        refused = self.refuse()
        if refused is None:
            self._announce(LOADING)
            try:
                if self.needs_fetching():
                    await self.fetch()
                self.load()
            except BaseException as error:  # noqa: BLE001 - user code was imported and run
                refused = self._load_failure(error)
        if refused is not None:
            emit(refused)
            return
        if self.plan.is_async:
            self._announce(WAITING)
            await self._run_tasks(emit)
        else:
            self._run_plain(None)
        if self.plan.by_reference:
            await self._record.store_values()
        emit(self._record.outcome(final=True))

    async def _run_tasks(self, emit: Emit) -> None:
        import asyncio

        self.since = perf_counter()
        while True:
            try:
                position = self.pending.popleft()
            except IndexError:
                break
            self._tasks[position] = asyncio.ensure_future(self._run_task(position, emit))
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _run_task(self, position: int, emit: Emit) -> None:
        import asyncio

        enter(Slot(self, position, self._record.transcripts))
        started = perf_counter()
        limit = asyncio.timeout(self.plan.timeout)
        kind = ARGUMENT
        try:
            argument = self._argument(position)
            started = perf_counter()
            kind = USER
            async with limit:
                value = await Announced(
                    self._invoke(argument),
                    self.page,
                    self._announced + position,
                    self._announced + WAITING,
                )
        except BaseException as error:  # noqa: BLE001 - whatever user code raises
            if limit.expired():
                failure = timed_out(self.plan.timeout, describe(error).traceback)
            else:
                failure = _failure(error, kind)
            self._record.failures[position] = failure
        else:
            self._record.add(position, value, perf_counter() - started)
        if self._streams and not self._flushing:
            # One outcome for all calls that end in this pass of the loop.
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush, emit)

    def _flush(self, emit: Emit) -> None:
        self._flushing = False
        if len(self._record):
            emit(self._record.outcome(final=False))

    # -- from outside ---------------------------------------------------------------------------

    def recall(self) -> list[int]:
        """Take back every call that has not begun. Safe from any thread."""
        taken: list[int] = []
        while True:
            try:
                taken.append(self.pending.pop())
            except IndexError:
                return taken

    def answer_for(self, position: int, failure: Failure) -> Outcome:
        """Answer a call in its stead, with what ended before it; for who won its claim."""
        record = self._record
        if self.plan.by_reference:
            record.clear()  # they are not in the store yet: those calls run again, uncharged
        record.failures[position] = failure
        return record.outcome(final=False)

    def cancel_tasks(self, positions: Collection[int] | None) -> None:
        """Cancel running coroutine calls (None: all of them); to be called in their loop."""
        for position, task in self._tasks.items():
            if positions is None or position in positions:
                task.cancel()


def _not_loaded(*_: object, **__: object) -> Any:  # noqa: ANN401
    msg = "an invocation runs its calls after load()"
    raise RuntimeError(msg)


def _claim(claims: deque[tuple[int, float]] | None) -> None:
    """Win the right to answer the call that just ended, or wait for the end of the process."""
    if claims is None:
        return
    try:
        claims.pop()
    except IndexError:
        # The watchdog has answered "timed out" and is about to end this process.
        from time import sleep

        while True:
            sleep(60)


def _failure(error: BaseException, kind: str) -> Failure:
    if kind == ARGUMENT:
        message = (
            f"the worker can't read the call's input: {said(error)}; what the input is made of "
            "must be importable in the worker"
        )
        return describe(error, ARGUMENT, message=message)
    return describe(error)


def timed_out(timeout: float | None, traceback: str) -> Failure:
    """Tell that an attempt outlived its timeout, and where it was."""
    message = f"the attempt did not finish within timeout={timeout:g} s" if timeout else "timed out"
    return Failure(TIMEOUT, "AttemptTimeout", message, traceback)
