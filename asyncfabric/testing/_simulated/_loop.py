"""An event loop on virtual time: when nothing is left to do now, it is the next timer's time.

Real input and output is refused, since its order is nobody's to repeat. Work for threads is done in
a real thread while the loop stands still, so it takes no virtual time and comes in order.
"""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from math import inf
from selectors import SelectSelector
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from selectors import SelectorKey

    from ._agenda import Agenda

T = TypeVar("T")

_OWN_PIPE = 1
"""Descriptors that asyncio itself registers: the pipe that other threads wake it by."""


class NothingLeftError(RuntimeError):
    """The program waits for what can't come any more: no timer is set, and nothing is ready."""


class SpinningError(RuntimeError):
    """The program keeps itself busy without any time passing."""


MOST_PASSES = 1_000_000
"""Passes of the loop in one instant: a program that needs more goes round in circles."""


def check_program(main: object) -> None:
    """Refuse what can't be run on a loop of its own. Raises `RuntimeError`, `TypeError`."""
    if inspect.iscoroutine(main):
        main.close()  # it will never be awaited; the error says enough
        raise TypeError(f"{main!r} has been called already; pass the function: cloud.run(main)")
    if not callable(main):
        raise TypeError(f"{main!r} is no program; pass a coroutine function without arguments")
    if asyncio._get_running_loop() is not None:  # noqa: SLF001 - public, but raises instead
        raise RuntimeError(
            "a simulation has an event loop of its own and can't run inside another one; call "
            "cloud.run(main) from plain code, in a notebook by await asyncio.to_thread(cloud.run, "
            "main)"
        )


class _Selector(SelectSelector):
    """Waits for nothing; moves the clock instead."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.now = now
        self.loop: VirtualLoop | None = None
        self._passes = 0

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:  # noqa: ANN401
        if len(self.get_map()) >= _OWN_PIPE:
            raise RuntimeError(
                "a simulation does no real input or output: its order could not be repeated; use "
                "the cloud's own store, or asyncio.to_thread for a file"
            )
        return super().register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._passes = 0
            self._pass(inf if timeout is None else self.now + timeout)
            return []
        self._passes += 1
        if self._passes > MOST_PASSES:
            self._passes = 0  # what is cancelled now has to end, too
            raise SpinningError(
                f"the simulated program has been through {MOST_PASSES:,} passes of its loop at "
                f"{self.now!r} s without any time passing; look for a timer that is set again for "
                "a time that has come, or for asyncio.sleep(0) in a loop that waits for something"
            )
        return []

    def _pass(self, until: float) -> None:
        """Let time pass until something is ready, or that time comes."""
        loop = self.loop
        if loop is not None and loop.agenda is not None:
            agenda, ready = loop.agenda, loop.ready
            while (due := agenda.due) <= until and due < inf:
                self.now = due
                agenda.run(due)
                if ready:
                    return
                if timers := loop.timers:
                    until = min(until, timers[0].when())
        if until == inf:
            raise NothingLeftError(
                "the simulated program waits for something that never comes: nothing is ready and "
                "no timer is set; look for a future that nobody sets, or a thread of its own that "
                "was to wake it (asyncio.to_thread works, other threads don't)"
            )
        self.now = max(self.now, until)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time moves only when there is nothing to do.

    Args:
        now: what its clock begins at, in seconds.

    Attributes:
        agenda: what happens beside its own timers, in the simulated world.
        ready: asyncio's own callbacks that are to be run now.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._virtual = _Selector(now)
        self._threads: ThreadPoolExecutor | None = None
        self.agenda: Agenda | None = None
        super().__init__(self._virtual)
        self.ready: deque[asyncio.Handle] = vars(self)["_ready"]
        self._virtual.loop = self

    @property
    def timers(self) -> list[asyncio.TimerHandle]:
        """Asyncio's own heap of timers, which is another one from time to time."""
        timers: list[asyncio.TimerHandle] = vars(self)["_scheduled"]
        return timers

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._virtual.now

    def run_in_executor(  # type: ignore[override]  # as typeshed has it, with the future it is
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Do the work at once, in a thread, while the loop waits: it takes no virtual time."""
        if executor is None:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(1, thread_name_prefix="asyncfabric-simulation")
            executor = self._threads
        done: Future[T] = executor.submit(func, *args)
        answer: asyncio.Future[T] = self.create_future()
        error = done.exception()
        if error is None:
            answer.set_result(done.result())
        else:
            answer.set_exception(error)
        return answer

    async def subprocess_exec(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse."""
        raise RuntimeError("a simulation starts no processes; run the program without it")

    async def subprocess_shell(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse."""
        raise RuntimeError("a simulation starts no processes; run the program without it")

    def close(self) -> None:
        """Close the loop and end its thread."""
        super().close()
        self._virtual.loop = self.agenda = None
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
