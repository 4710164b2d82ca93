"""One invocation at work: load the code, run the calls, answer them.

Plain functions run one after another in the thread that calls `run`; coroutine functions run all
their calls concurrently in `run_async`. Calls not yet begun can be taken back at any time from
another thread (`recall`): taking a position out of the deque is atomic, so a call is either begun
or taken back, never both.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from ._context import Context, Slot, enter
from ._envelope import PYTHON
from ._failure import (
    ARGUMENT,
    LOAD,
    MISMATCH,
    USER,
    Failure,
    describe,
    failure_of,
    said,
    timed_out,
)
from ._plain import run_plain
from ._record import Record
from ._steps import Announced
from ._values import decode_value

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection

    from ._envelope import Envelope
    from ._limit import Limit
    from ._outcome import Outcome
    from ._process import Process
    from ._progress import Progress

    Emit = Callable[[Outcome], None]

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
        self.limit: Limit | None = None
        """What keeps the timeout of plain functions."""
        self.on_begin: Callable[[float], None] | None = None
        """Told, at a time of `perf_counter`, that all calls of a coroutine function begin."""
        self.until: float | None = None
        """By when, in `perf_counter`'s seconds, the whole invocation must have been answered."""
        self.since = 0.0
        self.over = False
        """All calls of a plain function have ended."""
        self.on_progress: Callable[[int, float], None] | None = None
        """Told of a call's position and of how much of it is done, by its own word."""
        self.carrier: Callable[[Invocation], Callable[[int, float], None]] | None = None
        """Makes `on_progress` when a call tells of its progress for the first time."""
        self.progress: Progress | None = None
        """What the calls have told; None if they have told nothing."""
        self._process = process
        self.record = Record(envelope.flight, envelope.plan, cold=process.invocations == 0)
        self.function: Callable[..., Any] = _not_loaded
        self.keywords: dict[str, Any] = {}
        self._held: dict[str, Any] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._streams = self._flushing = False
        process.invocations += 1

    @property
    def announced(self) -> int:
        """What is announced for the call at position 0."""
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
            outcome = self.record.outcome(final=True)
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
        self.record.fetch += perf_counter() - started

    def _stored(self) -> list[str]:
        return [*self.plan.shared.values(), *self.envelope.refs]

    def load(self) -> None:
        """Load the function, run the initializer, put the environment in force."""
        started = perf_counter()
        process, plan = self._process, self.plan
        process.enter_environment(plan.env)
        self.function = process.function(plan.function)
        process.initialize(plan.initializer)
        self._held = self._held or process.held(self._stored())
        self.keywords = {name: self._held[stored] for name, stored in plan.shared.items()}
        self.record.load += perf_counter() - started
        process.loaded = (plan, self.function, self.keywords)
        if process.on_loaded is not None:
            process.on_loaded(self)

    def _announce(self, position: int) -> None:
        self.page[0] = self.announced + position

    def _fail_all(self, failure: Failure) -> Outcome:
        while True:
            try:
                self.record.failures[self.pending.popleft()] = failure
            except IndexError:
                return self.record.outcome(final=True)

    def _load_failure(self, error: BaseException) -> Outcome:
        name = getattr(error, "name", None)
        message = f"the worker can't load the function or its values: {said(error)}"
        if isinstance(error, ImportError):
            message += (
                f"; module {name!r} is importable in the driver but not in the worker: "
                f"{self._process.missing_module_advice}"
            )
        return self._fail_all(describe(error, LOAD, message=message))

    # -- the calls ------------------------------------------------------------------------------

    def context(self, position: int) -> Context:
        """Return what `current()` gives to the call at a position."""
        plan, envelope = self.plan, self.envelope
        ends = [] if plan.timeout is None else [self.since + plan.timeout]
        if self.until is not None:
            ends.append(self.until)
        deadline = time() - perf_counter() + min(ends) if ends else None
        return Context(
            job=plan.job,
            index=envelope.indices[position],
            attempt=envelope.attempt(position),
            deadline=deadline,
            seed=plan.seed,
            store_url=plan.store_url,
            on_progress=partial(self.tell, position),
        )

    def runs(self, position: int) -> bool:
        """Tell whether the call at a position is running."""
        if not self.plan.is_async:
            return not self.over and bool(self.page[0] == self.announced + position)
        task = self._tasks.get(position)
        return task is not None and not task.done()

    def tell(self, position: int, fraction: float) -> None:
        """Take a call's word for how much of it is done; too late is no error.

        Raises `ValueError` if that goes back.
        """
        if not self.runs(position):
            return
        if self.progress is None:
            from ._progress import Progress

            self.progress = Progress(self)
            if self.carrier is not None:
                self.on_progress = self.carrier(self)
        self.progress.note(position, fraction)
        if self.on_progress is not None:
            self.on_progress(position, fraction)

    def argument(self, position: int) -> Any:  # noqa: ANN401 - the user's value
        """Decode the input of the call at a position."""
        kinds, bodies = self.envelope.inputs
        if kinds is None:
            return bodies[position]
        started = perf_counter()
        segments: Any = self.envelope.segments
        value = decode_value(kinds[position], bodies[position], segments)
        if self.envelope.refs:
            from ._ref import with_values

            value = with_values(value, self._held)
        self.record.deserialize += perf_counter() - started
        return value

    def invoke(self, argument: Any) -> Any:  # noqa: ANN401 - the user's values
        """Call the function, by the plan's convention."""
        if self.plan.convention == "star":
            return self.function(*argument, **self.keywords)
        if self.plan.convention == "full":
            args, kwargs = argument
            return self.function(*args, **kwargs, **self.keywords)
        return self.function(argument, **self.keywords)

    def run(self, emit: Emit | None = None) -> Outcome:
        """Run all calls of a plain function. Emits outcomes on the way; returns the final one."""
        refused = self._begin()
        if refused is not None:
            return refused
        run_plain(self, emit)
        return self.gathered(final=True)

    def gathered(self, *, final: bool) -> Outcome:
        """Return what the calls of a plain function have come to since the last outcome."""
        if self.plan.by_reference:
            self._process.wait_for(self.record.store_values())
        return self.record.outcome(final=final)

    def _begin(self) -> Outcome | None:
        loaded = self._process.loaded
        if loaded is not None and loaded[0] is self.plan and not self.envelope.refs:
            _, self.function, self.keywords = loaded  # as for the last invocation
            self._announce(LOADING)
            self.record.announce = self._announce
            return None
        refused = self.refuse()
        if refused is not None:
            return refused
        self._announce(LOADING)
        self.record.announce = self._announce
        try:
            if self.needs_fetching():
                self._process.wait_for(self.fetch())
            self.load()
        except BaseException as error:  # noqa: BLE001 - user code was imported and run
            return self._load_failure(error)
        return None

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
            run_plain(self, None)
        if self.plan.by_reference:
            await self.record.store_values()
        emit(self.record.outcome(final=True))

    async def _run_tasks(self, emit: Emit) -> None:
        import asyncio

        self.since = perf_counter()
        if self.on_begin is not None:
            self.on_begin(self.since)
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

        enter(Slot(self, position, self.record.transcripts))
        started = perf_counter()
        seconds = self._seconds()
        limit = asyncio.timeout(seconds)
        kind = ARGUMENT
        try:
            argument = self.argument(position)
            started = perf_counter()
            kind = USER
            async with limit:
                value = await Announced(
                    self.invoke(argument),
                    self.page,
                    self.announced + position,
                    self.announced + WAITING,
                )
        except BaseException as error:  # noqa: BLE001 - whatever user code raises
            if limit.expired():
                failure = timed_out(seconds, describe(error).traceback)
            else:
                failure = failure_of(error, kind)
            self.record.failures[position] = failure
        else:
            self.record.add(position, value, perf_counter() - started)
        if self._streams and not self._flushing:
            # One outcome for all calls that end in this pass of the loop.
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush, emit)

    def _seconds(self) -> float | None:
        """Return how long a coroutine call that begins now may take."""
        if self.until is None:
            return self.plan.timeout
        left = max(0.0, self.until - perf_counter())
        return left if self.plan.timeout is None else min(left, self.plan.timeout)

    def _flush(self, emit: Emit) -> None:
        self._flushing = False
        if len(self.record):
            emit(self.record.outcome(final=False))

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
        record = self.record
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
