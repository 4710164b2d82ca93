"""Signals whose handlers raise, a timeout's say, at every place in this package where they can."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np

import asyncfabric as af
from asyncfabric.params import ParameterError, ParameterServer

# The others keep nothing between operations.
_STATEFUL = {
    f"{each}.py"
    for each in ("_attempts", "_blocking_link", "_home", "_push", "_replica", "_stream", "_window")
}


class _Rung(BaseException):
    """What the handler raises."""


def _interrupted(run: Callable[[], None], at: int, then: Callable[[], None]) -> bool:
    """Run and raise at this of the points where a handler may, then do something else.

    Python looks for signals where a function begins and where one that is written in C has ended:
    both are events of a profiler's. Returns whether it came so far.
    """
    left = at
    leaving = False

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal left, leaving
        code = frame.f_code
        if event in ("call", "c_return") and Path(code.co_filename).name in _STATEFUL:
            left -= 1
            if left == -1:
                sys.setprofile(None)
                # Before its first word a stream can't know that its block was left.
                leaving = event == "call" and code.co_name == "__exit__"
                raise _Rung

    sys.setprofile(count)
    try:
        run()
    except _Rung:
        if not leaving:
            then()  # with what was raised, and all frames that it came from, still there
    finally:
        sys.setprofile(None)
    then()
    return left < 0


def _everywhere(every: int, ps: ParameterServer) -> list[str]:
    """Interrupt some updates everywhere; return what was wrong afterwards."""
    at = 0
    wrong: list[str] = []
    blocking = ps.blocking

    def run() -> None:
        with blocking.stream("w", every=every) as w:
            w.pull(indices=[0])
            for _ in range(2):
                w.push([1.0, 1.0], indices=[0, 40_000])
        blocking.push("w", [1.0, 1.0], indices=[0, 40_000])

    def look() -> None:
        """Push, which is neither refused nor taken for one that was applied already."""
        former = blocking.pull("w", indices=[1]).values
        try:
            blocking.push("w", [1.0], indices=[1])
        except ParameterError as error:
            wrong.append(f"{at}: {error}")
        found = blocking.pull("w", indices=[0, 1, 40_000]).values
        if (found[0], found[1]) != (found[2], former[0] + 1):
            wrong.append(f"{at}: {found} after {former}")

    while _interrupted(run, at, look):
        at += 1
    assert at > 100
    return wrong


async def test_interruptions(ps: ParameterServer, redis_url: str) -> None:
    """No turn stays taken, no number is used twice, no copy is wrong."""
    await ps.put("w", np.zeros(50_000))
    async with af.Fabric("local://?processes=1", retry=None) as fabric:
        assert await fabric.map(_everywhere, [1, 2], shared={"ps": ps}) == [[], []]
    async with ParameterServer(redis_url + "?", name=ps.name) as other:
        values = (await other.pull("w")).values
        assert values[0] == values[40_000] > 0
