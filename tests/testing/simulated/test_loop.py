"""Virtual time."""

import asyncio
import contextvars
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from asyncfabric.testing._simulated._agenda import Agenda
from asyncfabric.testing._simulated._loop import NothingLeftError, SpinningError, VirtualLoop

T = TypeVar("T")


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def test_sleeping_moves_the_clock_by_just_that() -> None:
    async def main() -> list[float]:
        now = asyncio.get_running_loop().time
        times = [now()]
        for seconds in (0.1, 3600.0, 1e7, 0.25):
            await asyncio.sleep(seconds)
            times.append(now())
        return times

    assert run(main) == [0.0, 0.1, 3600.1, 10003600.1, 10003600.35]


def test_timers_come_in_order() -> None:
    async def main() -> list[float]:
        seen: list[float] = []
        loop = asyncio.get_running_loop()
        for when in (5.0, 1.0, 3.0, 2.0):
            loop.call_at(when, seen.append, when)
        await asyncio.sleep(10)
        return seen

    assert run(main) == [1.0, 2.0, 3.0, 5.0]


def test_a_timeout_is_virtual_too() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1000):
                await asyncio.get_running_loop().create_future()
        return asyncio.get_running_loop().time()

    assert run(main) == 1000


def test_work_in_threads_takes_no_time_and_comes_in_order() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        variable = contextvars.ContextVar("variable", default=0)
        variable.set(7)
        seen: list[int] = []
        threads = {await asyncio.to_thread(threading.get_ident) for _ in range(3)}
        assert threading.get_ident() not in threads
        assert await asyncio.to_thread(variable.get) == 7
        await asyncio.gather(*(asyncio.to_thread(seen.append, each) for each in range(20)))
        assert seen == list(range(20))
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        with ThreadPoolExecutor(1) as pool:
            assert await loop.run_in_executor(pool, len, "four") == 4
        assert loop.time() == 0

    run(main)


def test_a_thread_may_use_a_loop_of_its_own() -> None:
    async def main() -> int:
        return await asyncio.to_thread(asyncio.run, asyncio.sleep(0, 5))

    assert run(main) == 5


def test_the_simulated_world_and_timers_take_turns() -> None:
    """Also after asyncio has cleared its heap of many cancelled timers, which makes a new one."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        agenda = Agenda(loop, lambda: None)
        seen: list[float] = []

        def both(when: float) -> None:
            agenda.after(when - loop.time(), seen.append, when)
            loop.call_at(when + 0.5, seen.append, when + 0.5)

        for number in range(300):
            loop.call_at(1e6 + number, print).cancel()
        for when in (1.0, 2.0, 3.0, 3.2):
            both(when)
        agenda.after(2.1, both, 2.2)  # sets a timer that comes before what else is planned
        await asyncio.sleep(10)
        assert loop.time() == 10
        return seen

    assert run(main) == [1.0, 1.5, 2.0, 2.2, 2.5, 2.7, 3.0, 3.2, 3.5, 3.7]


def test_an_event_that_fails_is_told_and_harms_no_other() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        told: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: told.append(context))
        empty = asyncio.Event()
        agenda = Agenda(loop, empty.set)
        agenda.after(1.0, divmod, 1, 0)
        await empty.wait()
        assert [type(each["exception"]) for each in told] == [ZeroDivisionError]

    run(main)


def test_what_never_comes_is_said_at_once() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(NothingLeftError, match="waits for something that never comes"):
        run(main)


def test_going_round_in_circles_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncfabric.testing._simulated._loop.MOST_PASSES", 1000)

    async def main() -> None:
        await asyncio.sleep(1.0)
        for _ in range(900):
            await asyncio.sleep(0)
        await asyncio.sleep(1.0)
        while True:  # noqa: ASYNC110 - this is what is to be found
            await asyncio.sleep(0)

    with pytest.raises(SpinningError, match=r"at 2\.0 s without any time passing"):
        run(main)


def test_real_input_and_output_is_refused() -> None:
    async def main() -> None:
        with socket.socket() as listening:
            listening.setblocking(False)
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            with pytest.raises(RuntimeError, match="no real input or output"):
                await asyncio.get_running_loop().sock_accept(listening)
        with pytest.raises(RuntimeError, match="starts no processes"):
            await asyncio.create_subprocess_exec(sys.executable)
        with pytest.raises(RuntimeError, match="starts no processes"):
            await asyncio.create_subprocess_shell("true")

    run(main)
