# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
"""What a backend tells, at the wrong time or twice: room is freed once, and no call is lost."""

import asyncio
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric._codec import decode_outcome
from tests.api.until import passes, until
from tests.backends.scripted import Scripted

ERROR = af.WorkerCrashed("it died")


@pytest.fixture(params=[True, False], ids=["bounded", "counted"])
def backend(request: pytest.FixtureRequest) -> Scripted:
    """A backend that bounds invocations, and one whose calls are counted."""
    return Scripted(bounded=request.param, streams=False, adaptive=True, copies=True)


def begin(backend: Scripted, calls: int = 4) -> tuple[Any, Any, Any]:
    """Begin a map of invocations of two calls each; return the dispatcher, too."""
    fabric: Any = af.Fabric(backend, retry=af.Retry(base=0))
    done = asyncio.ensure_future(_all(fabric.map(abs, range(calls), chunksize=2)))
    return fabric, fabric._core.bind(), done


async def _all(running: Any) -> Any:
    return await running


async def _finish(backend: Scripted, done: "asyncio.Future[Any]") -> Any:
    """Answer whatever is launched until the map is done."""
    for _ in range(1000):
        for flight in list(backend.launched):
            backend.answer(flight)
        await passes(2)
        if done.done():
            return done.result()
    raise AssertionError("it never ended")


@pytest.mark.parametrize("first", ["lost", "returned", "throttled", "refused", "answered"])
@pytest.mark.parametrize("then", ["lost", "returned", "throttled", "refused", "answered"])
async def test_an_invocation_lands_once(backend: Scripted, first: str, then: str) -> None:
    fabric, dispatcher, done = begin(backend)
    async with fabric:
        one, _ = await backend.flights(2)
        taken = dispatcher.in_flight
        for what in (first, then, then):
            tell(backend, one, what)
            assert dispatcher.in_flight == taken // 2
        if first == "refused":
            with pytest.raises(af.WorkerCrashed):
                await done
            backend.answer(2)
        else:
            assert await _finish(backend, done) == [0, 1, 2, 3]
        assert dispatcher.in_flight == 0
        assert dispatcher._flights == {}


def tell(backend: Scripted, flight: int, what: str) -> None:
    """Let a backend tell one thing or the other of an invocation."""
    heard = backend.receiver
    if what == "lost":
        heard.on_lost(flight, None, ERROR, "w")
    elif what == "returned":
        heard.on_returned(flight, None)
    elif what == "throttled":
        heard.on_throttled(flight, scarce="concurrency", retry_after=None, error=ERROR)
    elif what == "refused":
        heard.on_refused(flight, ERROR)
    else:
        backend.answer(flight)


async def test_what_is_told_after_the_end_frees_no_room_twice(backend: Scripted) -> None:
    fabric, dispatcher, done = begin(backend)
    async with fabric:
        await backend.flights(2)
        done.cancel()
        await until(lambda: backend.recalled == [1, 2])
        for what in ("returned", "lost", "answered"):
            for flight in (1, 2):
                tell(backend, flight, what)
        assert dispatcher.in_flight == 0
        again = asyncio.ensure_future(_all(fabric.map(abs, range(2), chunksize=2)))
        await backend.flights(3)
        assert await _finish(backend, again) == [0, 1]
        assert dispatcher.in_flight == 0


async def test_a_part_that_comes_back_frees_its_part(backend: Scripted) -> None:
    fabric, dispatcher, done = begin(backend, 2)
    async with fabric:
        await backend.flights(1)
        backend.receiver.on_returned(1, [1])
        assert dispatcher.in_flight == 1
        backend.receiver.on_lost(1, [0], ERROR, "w")
        assert dispatcher.in_flight == 0
        assert await _finish(backend, done) == [0, 1]


async def test_reading_an_answer_that_fails_is_no_silence(
    backend: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large answers are read in a thread, where memory may run out."""
    from asyncfabric import _receiving

    def decode(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(_receiving, "is_heavy", lambda _: True)
    monkeypatch.setattr(_receiving, "decode_outcome", decode)
    fabric, dispatcher, done = begin(backend, 2)
    async with fabric:
        await backend.flights(1)
        heavy(backend, 1)
        with pytest.raises(MemoryError):
            await done
        assert dispatcher.in_flight == 0


def heavy(backend: Scripted, flight: int) -> None:
    """Answer with values that have to be unpickled."""
    from array import array

    from asyncfabric_runtime import Outcome, Plan
    from asyncfabric_runtime._values import Encoded, encode_value

    kinds, bodies = zip(*(encode_value(value, [], None) for value in ({1}, {2})), strict=True)
    outcome = Outcome(flight, range(2), Encoded(bytes(kinds), list(bodies)), array("d", [0.0] * 2))
    assert decode_outcome(outcome, Plan(job="j", function="f"))[0] == [{1}, {2}]
    backend.receiver.on_outcome(outcome, "w", 10)


async def test_sending_an_input_that_fails_is_no_silence(
    backend: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large inputs are pickled in a thread."""
    from asyncfabric import _dispatch

    def encode(*_: Any, unlimited: bool = False) -> None:
        if unlimited:
            raise MemoryError

    monkeypatch.setattr(_dispatch, "encode_inputs", encode)
    fabric, dispatcher, done = begin(backend, 2)
    async with fabric:
        with pytest.raises(MemoryError):
            await done
        assert dispatcher.in_flight == 0
        assert dispatcher._encoding == 0


async def test_a_backend_that_raises_ends_the_map(
    backend: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launch(*_: Any) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(backend, "launch", launch)
    fabric, dispatcher, done = begin(backend, 2)
    async with fabric:
        with pytest.raises(LookupError, match="a bug"):
            await done
        assert dispatcher.in_flight == 0
