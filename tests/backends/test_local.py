"""The local backend by itself: outcomes, recalls, deaths."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from asyncfabric import WorkerCrashed
from asyncfabric.backends import Backend
from asyncfabric.backends.local import LocalBackend
from tests.backends.helpers import Bench, children, happens, mark, marks, wait_until


def test_it_is_a_backend() -> None:
    backend = LocalBackend(3)
    assert isinstance(backend, Backend)
    assert (backend.lanes, backend.traits.separate) == (3, True)


def _pid(_: int) -> int:
    return os.getpid()


async def test_calls(bench: Bench) -> None:
    assert await bench.call(abs, -1, -2, -3) == [1, 2, 3]
    (pid,) = await bench.call(_pid, 0)
    assert [pid] == children()


async def test_a_function_is_sent_once(bench: Bench) -> None:
    await bench.call(abs, -1)
    worker = bench.worker
    known = set(worker.known)
    assert len(known) == 1
    assert await bench.call(abs, -4) == [4]
    assert worker.known == known


async def test_a_function_that_the_worker_forgot_is_asked_for(bench: Bench) -> None:
    envelope = bench.envelope(abs, [-1])
    envelope.attachments = {}
    worker = bench.worker
    worker.known.add(envelope.plan.function)
    bench.backend.launch(envelope, {envelope.plan.function: b"it has it"}, None)
    await bench.heard.until(lambda: bench.heard.outcomes)
    assert bench.heard.outcomes[0].lacks == [envelope.plan.function]
    assert worker.known == set()
    assert await bench.call(abs, -1) == [1]


async def test_calls_behind_a_slow_one_come_back_by_themselves(
    bench: Bench, tmp_path: Path
) -> None:
    go = str(tmp_path / "go")

    def slow(x: int) -> int:
        if x == 0:
            wait_until(lambda: marks(go))
        return x

    await bench.load(slow)
    flight = bench.launch(slow, range(5))
    behind = bench.launch(abs, [-1], seconds=0.001)
    await bench.heard.until(lambda: len(bench.heard.returned) >= 2)
    returned = dict(bench.heard.returned)
    assert sorted(returned[flight] or ()) == [1, 2, 3, 4]
    assert behind in returned or bench.heard.values(behind) == {}
    plan = bench.envelope(abs, [1]).plan
    assert bench.backend.room(plan) == 0  # nothing more is put behind a call that takes long
    mark(go)
    await bench.heard.until(lambda: bench.heard.ended(flight))
    assert bench.heard.values(flight) == {0: 0}


@pytest.mark.parametrize("flights", [(5, 9), (9, 5)])
async def test_a_recall_may_overtake_its_envelope(
    bench: Bench, tmp_path: Path, flights: tuple[int, int]
) -> None:
    """Whatever the order of the flights' numbers: large inputs are encoded aside, and late."""
    begun, go, ran = (str(tmp_path / name) for name in ("begun", "go", "ran"))

    def slow(_: int) -> None:
        mark(begun)
        wait_until(lambda: marks(go))

    def late(_: int) -> None:
        mark(ran)

    first, second = flights
    await bench.load(slow)
    bench.launch(slow, [0], flight=first, seconds=0.001)
    bench.launch(late, [0, 1], flight=second, seconds=0.001)
    assert bench.heard.returned == []  # both are on the worker
    await happens(lambda: marks(begun))
    bench.backend.recall(second, ())
    await bench.heard.until(lambda: (second, None) in bench.heard.returned)
    mark(go)
    await bench.heard.until(lambda: bench.heard.ended(first))
    assert await bench.call(abs, -7, flight=11) == [7]
    assert marks(ran) == ""


async def test_a_cancelled_call_is_stopped_with_its_worker(bench: Bench, tmp_path: Path) -> None:
    begun = str(tmp_path / "begun")

    def hang(x: int) -> None:
        mark(begun)
        time.sleep(1000)

    await bench.load(hang)
    pids = children()
    flight = bench.launch(hang, range(3))
    await happens(lambda: marks(begun))
    bench.backend.recall(flight, None)
    await bench.heard.until(lambda: bench.heard.lost)
    (number, running, _) = bench.heard.lost[0]
    assert (number, running) == (flight, [0])
    assert marks(begun) == "x"
    await bench.heard.until(lambda: bench.backend.room(bench.envelope(abs, [1]).plan))
    assert await bench.call(abs, -1) == [1]
    assert children() != pids


async def test_cancelled_coroutines_leave_their_neighbours_alone(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cancelled ones answer, so that what is left of the invocation are the others."""
    begun, go = (str(tmp_path / name) for name in ("begun", "go"))
    stops: list[int] = []
    stop = LocalBackend._stop

    def noted(self: LocalBackend, worker: Any, flight: int, positions: Any) -> None:
        stop(self, worker, flight, positions)
        stops.append(flight)

    async def wait(x: int) -> int:
        mark(begun)
        while not marks(go):  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.001)
        return x

    monkeypatch.setattr(LocalBackend, "_stop", noted)
    flight = bench.launch(wait, range(5), is_async=True)
    await happens(lambda: marks(begun) == "xxxxx")
    bench.backend.recall(flight, [0, 1, 2])
    await bench.heard.until(lambda: sum(len(each.failures) for each in bench.heard.outcomes) == 3)
    await happens(lambda: stops)
    mark(go)
    await bench.heard.until(lambda: bench.heard.ended(flight) or bench.heard.lost)
    assert bench.heard.values(flight) == {3: 3, 4: 4}


async def test_plain_after_coroutines_and_the_reverse(bench: Bench) -> None:
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return -x

    for turn in range(3):
        assert await bench.call(later, *range(50), is_async=True) == [-x for x in range(50)]
        assert await bench.call(abs, -turn) == [turn]
    one = bench.launch(later, [1], is_async=True)
    other = bench.launch(later, [2], is_async=True)  # joins the first
    await bench.heard.until(lambda: bench.heard.ended(one) and bench.heard.ended(other))
    assert bench.heard.values(other) == {0: -2}


async def test_coroutines_with_other_environments_wait_their_turn(
    bench: Bench, tmp_path: Path
) -> None:
    begun, go = str(tmp_path / "begun"), str(tmp_path / "go")

    async def look(_: int) -> Any:
        mark(begun)
        await happens(lambda: marks(go))
        return os.environ.get("AF_COLOUR")

    flights = [
        bench.launch(look, [0], is_async=True, env={"AF_COLOUR": colour})
        for colour in ("red", "red", "blue")
    ]
    await happens(lambda: len(marks(begun)) == 2)
    mark(go)
    await bench.heard.until(lambda: all(map(bench.heard.ended, flights)))
    assert [bench.heard.values(flight)[0] for flight in flights] == ["red", "red", "blue"]


async def test_a_death_names_the_call_that_ran(bench: Bench, tmp_path: Path) -> None:
    def die(x: int) -> int:
        if x == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    await bench.load(die)
    flight = bench.launch(die, range(5), prompt=True)
    await bench.heard.until(lambda: bench.heard.lost)
    ((number, running, error),) = bench.heard.lost
    assert (number, running) == (flight, [2])
    assert isinstance(error, WorkerCrashed)
    assert "SIGKILL" in str(error)
    assert bench.heard.values(flight) == {0: 0, 1: 1}  # sent before the death, and not lost
    await bench.heard.until(lambda: bench.backend.room(bench.envelope(abs, [1]).plan))
    assert await bench.call(abs, -1) == [1]


async def test_the_coroutine_that_was_at_a_step_is_named(bench: Bench) -> None:
    async def die(x: int) -> None:
        await asyncio.sleep(0 if x == 2 else 1000)
        os._exit(3)

    first = bench.launch(die, [0, 1], is_async=True)
    flight = bench.launch(die, range(5), is_async=True)
    await bench.heard.until(lambda: len(bench.heard.lost) == 2)
    found = {number: running for number, running, _ in bench.heard.lost}
    assert found == {first: [], flight: [2]}
    assert "status 3" in str(bench.heard.lost[0][2])


async def test_all_coroutines_are_named_when_none_was_at_a_step(
    bench: Bench, tmp_path: Path
) -> None:
    begun = str(tmp_path / "begun")

    async def wait(_: int) -> None:
        mark(begun)
        await asyncio.sleep(1000)

    flight = bench.launch(wait, range(3), is_async=True)
    await happens(lambda: len(marks(begun)) == 3)
    worker = bench.worker
    await happens(lambda: worker.running() is None)
    os.kill(children()[0], signal.SIGKILL)
    await bench.heard.until(lambda: bench.heard.lost)
    assert [(number, running) for number, running, _ in bench.heard.lost] == [(flight, None)]


async def test_a_death_is_noticed_though_a_child_keeps_the_sockets(
    bench: Bench, tmp_path: Path
) -> None:
    child = str(tmp_path / "child")

    def fork_and_die(_: int) -> None:
        pid = os.fork()
        if pid == 0:
            time.sleep(1000)
        mark(child, str(pid))
        os._exit(3)

    bench.launch(fork_and_die, [0])
    try:
        await bench.heard.until(lambda: bench.heard.lost)
        assert bench.heard.lost[0][1] == [0]
    finally:
        os.kill(int(marks(child)), signal.SIGKILL)


async def test_sigint_is_ignored(bench: Bench) -> None:
    def interrupt(_: int) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "still here"

    pids = children()
    assert await bench.call(interrupt, 0) == ["still here"]
    os.kill(pids[0], signal.SIGINT)  # while it waits
    assert await bench.call(abs, -1) == [1]
    assert children() == pids
    assert os.getpgid(pids[0]) != os.getpgid(0)  # the terminal's doesn't even get there


async def test_a_driver_that_vanishes_takes_its_workers_along(tmp_path: Path) -> None:
    program = f"""
import asyncio, os, sys, time
sys.path[:0] = {[str(Path(path).resolve()) for path in (".", "runtime", "storage")]!r}
import asyncfabric
def hang(x):
    open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
    time.sleep(1000)
async def main():
    storage = {f"file://{tmp_path}"!r}  # a private directory would be left behind
    async with asyncfabric.Fabric("local://?processes=1", storage=storage) as fabric:
        await fabric.map(hang, [1])
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    await happens(lambda: marks(tmp_path / "pid"))
    pid = int(marks(tmp_path / "pid"))
    process.kill()
    await process.wait()
    await happens(lambda: not psutil.pid_exists(pid))
