"""Waiting, in a plain function, for what runs in another thread's loop."""

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator, Iterator
from types import FrameType
from typing import Any

import pytest

from asyncfabric_runtime._bsp import _blocking
from asyncfabric_runtime._bsp._blocking import close, iterate, wait_for


class AlarmedError(Exception):
    """What the signal raises, as the alarm of a timeout does."""


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise AlarmedError

    before = signal.signal(signal.SIGUSR1, ring)
    yield
    signal.signal(signal.SIGUSR1, before)
    close()


async def ring_and_wait(seen: list[str]) -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGUSR1)
    try:
        await asyncio.Event().wait()
    finally:
        for _ in range(3):  # what is cleaned up takes its time
            await asyncio.sleep(0)
        seen.append("ended")


def test_what_interrupts_the_waiting_ends_the_work() -> None:
    seen: list[str] = []
    with pytest.raises(AlarmedError):
        wait_for(ring_and_wait(seen))
    assert seen == ["ended"]


def test_a_generator_that_is_interrupted_is_closed() -> None:
    seen: list[str] = []

    async def numbers() -> AsyncGenerator[int]:
        try:
            yield 1
            await ring_and_wait(seen)
            yield 2
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    with pytest.raises(AlarmedError):
        list(iterate(numbers()))
    assert seen == ["ended", "closed"]


async def half(number: int) -> int:
    await asyncio.sleep(0)
    if number % 2:
        raise ValueError(number)
    return number // 2


def test_results_and_errors() -> None:
    assert wait_for(half(4)) == 2
    with pytest.raises(ValueError, match="3"):
        wait_for(half(3))


def test_an_interruption_before_the_work_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal may come at any time, as between calling the loop and waiting for it."""

    def interrupted(_self: object, _: object) -> None:
        monkeypatch.undo()
        raise AlarmedError

    async def nothing() -> None: ...

    loop_type = type(_blocking._blocking.loop())
    monkeypatch.setattr(loop_type, "call_soon_threadsafe", interrupted)
    work: Any = nothing()
    with pytest.raises(AlarmedError):
        wait_for(work)
    assert work.cr_frame is None, "it was closed"
    assert wait_for(half(4)) == 2
