"""One invocation at work: load the code, run the calls, answer them.

Plain functions run one after another in the thread that calls `run`; coroutine functions run all
their calls concurrently in `run_async`. Calls not yet begun can be taken back at any time from
another thread (`recall`): taking a position out of the deque is atomic, so a call is either begun
or taken back, never both.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from ._context import Context
from ._data_reading import decode_data
from ._envelope import PYTHON
from ._failure import (
    LOAD,
    MISMATCH,
    Failure,
    describe,
    said,
)
from ._named import NotServedError
from ._plain import run_plain
from ._record import Record
from ._ref import refs_of, with_values
from ._steps import WAITING
from ._values import PLAIN, decode_value

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from ._envelope import Envelope
    from ._limit import Limit
    from ._outcome import Outcome
    from ._process import Process
    from ._progress import Progress
    from ._tasks import Tasks

    Emit = Callable[[Outcome], None]

LOADING = 0xFFFFFFFF
"""Announced in place of a position while code and values are loaded for the calls."""


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
        self.in_loop = False
        """It runs in an event loop, where it can't wait for the store between two plain calls."""
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
        self._repeated: list[int] = []
        if envelope.seals is not None:
            from ._commits import Commits

            self.record.commits = Commits(envelope, envelope.seals)
            self._repeated = self.record.commits.repeated
        self.function: Callable[..., Any] = _not_loaded
        self.keywords: dict[str, Any] = {}
        self._held: dict[str, Any] = {}
        self._tasks: Tasks | None = None
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
        if self._process.served is not None:
            try:
                self._process.served.check(plan)
            except NotServedError as error:
                return self._fail_all(describe(error, LOAD, message=str(error), as_text=True))
        lacks = self._process.lacks(self.envelope)
        if lacks:
            self.pending.clear()
            outcome = self.record.outcome(final=True)
            outcome.lacks = lacks
            return outcome
        return None

    def needs_fetching(self) -> bool:
        """Tell whether stored values, secrets or earlier results have to be looked up first."""
        process = self._process
        held = process.holds(self._stored()) and process.secrets.hold(self.plan.secrets)
        return bool(self._repeated) or not held

    async def fetch(self) -> None:
        """Bring the values and secrets that the calls use into memory; leave out what is done."""
        started = perf_counter()
        if self._repeated and self.record.commits is not None:
            # An attempt whose answer got lost may have done its work: it isn't done twice.
            for position in await self.record.commits.done(self._repeated):
                with suppress(ValueError):  # it was taken back meanwhile
                    self.pending.remove(position)
                    self.record.elsewhere.append(position)
        await self._process.secrets.fetch(self.plan.secrets, self._process.variable)
        self._held = await self._process.values(self.plan, self._stored())
        self.record.fetch += perf_counter() - started

    def _stored(self) -> list[str]:
        return [*self.plan.shared.values(), *self.envelope.refs]

    def load(self) -> None:
        """Load the function, run the initializer, put the environment in force."""
        started = perf_counter()
        process, plan = self._process, self.plan
        process.enter_environment(self._environment())
        self.function = process.function(plan.function)
        process.initialize(plan.initializer)
        self._held = self._held or process.held(self._stored())
        self.keywords = {name: self._held[stored] for name, stored in plan.shared.items()}
        self.record.load += perf_counter() - started
        process.loaded = (plan, self.function, self.keywords)
        if process.on_loaded is not None:
            process.on_loaded(self)

    def _environment(self) -> Mapping[str, str] | None:
        plan = self.plan
        if not plan.secrets:
            return plan.env
        return {**(plan.env or {}), **self._process.secrets.values(plan.secrets)}

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
        as_text = self.plan.data_results
        return self._fail_all(describe(error, LOAD, message=message, as_text=as_text))

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
        return self._tasks is not None and self._tasks.runs(position)

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
            # A list of anybody's making, that claims to be of plain values.
            body = bodies[position]
            return decode_data(PLAIN, body, ()) if self.plan.data_inputs else body
        started = perf_counter()
        segments: Any = self.envelope.segments
        if self.plan.data_inputs:
            make_ref = refs_of(self.plan.store_url)
            value = decode_data(kinds[position], bodies[position], segments, make_ref)
        else:
            value = decode_value(kinds[position], bodies[position], segments)
        if self.envelope.refs:
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
        if self.plan.keeps:
            self.keep()
        return self.record.outcome(final=final)

    def keep(self) -> None:
        """Write to the store what the calls of a plain function have come to, outside a loop."""
        self._process.wait_for(self.record.keep_values())

    def _begin(self) -> Outcome | None:
        loaded = self._process.loaded
        plan = self.plan
        # Secrets are looked at each time: they may have been renewed.
        ready = not (plan.secrets or self.envelope.refs or self._repeated)
        if ready and loaded is not None and loaded[0] is plan:
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
        self.in_loop = True
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
            from ._tasks import Tasks

            self._tasks = Tasks(self, emit if stream else None)
            await self._tasks.run()
        else:
            run_plain(self, None)
            if self.plan.keeps:
                await self.keep_here()
        emit(self.record.outcome(final=True))

    async def keep_here(self) -> None:
        """Write to the store what the calls of a plain function have come to, in a loop."""
        await self.record.keep_values()

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
        if self.plan.keeps:
            record.clear()  # they are not in the store yet: those calls run again, uncharged
        record.failures[position] = failure
        return record.outcome(final=False)

    def cancel_tasks(self, positions: Collection[int] | None) -> None:
        """Cancel running coroutine calls (None: all of them); to be called in their loop."""
        if self._tasks is not None:
            self._tasks.cancel(positions)


def _not_loaded(*_: object, **__: object) -> Any:  # noqa: ANN401
    msg = "an invocation runs its calls after load()"
    raise RuntimeError(msg)
