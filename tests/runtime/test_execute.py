"""`execute`: calls in, answers out, whatever the calls do."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from asyncfabric_runtime import PYTHON, WIRE_VERSION, execute
from asyncfabric_runtime._wire import PREFIX, WireError, parse_prefix
from tests.runtime.helpers import Worker, answers, envelope_for, frame_bytes, resent


def double(x: Any) -> Any:
    return x * 2


def test_the_conventions(worker: Worker) -> None:
    def show(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    assert answers(worker.run(show, [1, (2, 3)])) == {0: ((1,), {}), 1: (((2, 3),), {})}
    assert answers(worker.run(show, [(1, 2)], convention="star")) == {0: ((1, 2), {})}
    full = [((1,), {"a": 2})]
    assert answers(worker.run(show, full, convention="full")) == {0: ((1,), {"a": 2})}


def test_execute_is_a_door() -> None:
    outcome = execute(envelope_for(double, [1, "a", [2]]))
    assert outcome.final
    assert answers(outcome) == {0: 2, 1: "aa", 2: [2, 2]}


@pytest.mark.leaky("the process's own loop stays")
def test_execute_runs_coroutine_functions() -> None:
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    assert answers(execute(envelope_for(later, [1, 2], is_async=True))) == {0: 2, 1: 3}


def test_no_calls(worker: Worker) -> None:
    outcome = worker.run(double, [])
    assert outcome.final
    assert answers(outcome) == {}


def test_another_python_fails_every_call(worker: Worker) -> None:
    outcome = worker.run(double, [1, 2, 3], python="2.7")
    assert set(outcome.failures) == {0, 1, 2}
    failure = outcome.failures[1]
    assert failure.kind == "mismatch"
    assert "2.7" in failure.message
    assert PYTHON in failure.message


def test_another_wire_version_is_refused() -> None:
    data = frame_bytes(envelope_for(double, [1]).to_frame())
    data[2] = WIRE_VERSION + 1
    with pytest.raises(WireError, match="same asyncfabric release on both sides"):
        parse_prefix(data[: PREFIX.size])


def test_missing_code_is_asked_for(worker: Worker) -> None:
    envelope = envelope_for(double, [1, 2], initializer=dict)
    (function, code), (initializer, other) = envelope.attachments.items()
    envelope.attachments = {}
    (outcome,) = worker.outcomes(resent(envelope))
    assert outcome.final
    assert outcome.lacks == [function, initializer]
    assert answers(outcome) == {}
    assert outcome.failures == {}
    envelope.attachments = {function: code, initializer: other}
    assert answers(worker.outcomes(resent(envelope))[-1]) == {0: 2, 1: 4}
    envelope.attachments = {}
    assert answers(worker.outcomes(resent(envelope))[-1]) == {0: 2, 1: 4}


def test_code_is_copied_out_of_its_frame(worker: Worker) -> None:
    """A view would keep the inputs of the first frame as long as the process lives."""
    envelope = envelope_for(double, [b"x" * 1_000_000])
    worker.outcomes(envelope)
    assert type(worker.process._code.get(envelope.plan.function)) is bytes


def test_256_functions_are_kept(worker: Worker) -> None:
    def make(n: int) -> Any:
        def add(x: int) -> int:
            return x + n

        return add

    envelopes = [envelope_for(make(n), [0]) for n in range(257)]
    for n, envelope in enumerate(envelopes):
        assert answers(worker.outcomes(envelope)[-1]) == {0: n}
        envelope.attachments = {}
    assert worker.outcomes(envelopes[0])[-1].lacks == [envelopes[0].plan.function]
    for n in (1, 256):
        assert answers(worker.outcomes(envelopes[n])[-1]) == {0: n}


def test_functions_are_loaded_once(worker: Worker) -> None:
    envelope = envelope_for(double, [1])
    worker.outcomes(envelope)
    loaded = worker.process.function(envelope.plan.function)
    worker.outcomes(envelope)
    assert worker.process.function(envelope.plan.function) is loaded


def test_arrays_arrive_writable_and_each_call_has_its_own(worker: Worker) -> None:
    def write(array: Any) -> Any:
        array += 1
        return array

    array = np.zeros(100_000)
    found = answers(worker.run(write, [array, array]))
    assert found[0].sum() == found[1].sum() == 100_000
    assert array.sum() == 0


def test_coroutines_of_an_invocation_run_together(worker: Worker) -> None:
    async def meet(_: int) -> int:
        current: list[int] = meet.__dict__.setdefault("arrived", [])
        current.append(1)
        while len(current) < 50:  # noqa: ASYNC110 - an Event belongs to a loop, not to a function
            await asyncio.sleep(0)
        return len(current)

    assert set(answers(worker.run(meet, list(range(50)), is_async=True)).values()) == {50}


def test_timeouts_of_coroutines_are_each_ones_own(worker: Worker) -> None:
    async def maybe(hang: bool) -> str:
        if hang:
            await asyncio.get_running_loop().create_future()
        return "done"

    outcome = worker.run(maybe, [False, True, False], is_async=True, timeout=0.05)
    assert answers(outcome) == {0: "done", 2: "done"}
    assert outcome.failures[1].kind == "timeout"
    assert "timeout=0.05 s" in outcome.failures[1].message
    assert "create_future" in outcome.failures[1].traceback


def test_timings(worker: Worker) -> None:
    outcomes = [worker.run(double, [1, 2, 3]) for _ in range(2)]
    for outcome in outcomes:
        assert len(outcome.run) == 3
        assert all(seconds >= 0 for seconds in outcome.run)
        assert all(seconds >= 0 for seconds in outcome.phases)
        assert outcome.busy >= sum(outcome.run)
        assert outcome.peak_memory > 1_000_000
    assert [outcome.cold for outcome in outcomes] == [True, False]
    assert outcomes[0].phases.load > 0
    assert outcomes[0].phases.fetch == 0


def test_loading_is_told_once(worker: Worker) -> None:
    outcomes = worker.outcomes(envelope_for(double, list(range(5)), prompt=True))
    assert len(outcomes) == 6  # one for each call, and the end
    assert outcomes[0].phases.load > 0
    assert [outcome.phases.load for outcome in outcomes[1:]] == [0.0] * 5
    assert [outcome.final for outcome in outcomes] == [False] * 5 + [True]


class _Unpicklable:
    def __init__(self) -> None:
        self.lock = threading.Lock()


def test_results_that_can_not_be_sent(worker: Worker) -> None:
    def make(x: int) -> Any:
        return {"kept": [_Unpicklable()]} if x == 1 else x

    outcome = worker.run(make, [0, 1, 2])
    assert answers(outcome) == {0: 0, 2: 2}
    failure = outcome.failures[1]
    assert failure.kind == "result"
    assert "['kept'][0].lock is a _thread.lock" in failure.message


class _Exits:
    def __reduce__(self) -> Any:
        raise SystemExit(3)


class _Hostile:
    def __reduce__(self) -> Any:
        raise ValueError("not me")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.parametrize("kind", [_Exits, _Hostile])
def test_results_that_fight_back(worker: Worker, kind: Any) -> None:
    """Pickling runs the user's code, and that may raise anything."""

    def make(bad: bool) -> Any:
        return kind() if bad else 1

    outcome = worker.run(make, [False, True, False])
    assert answers(outcome) == {0: 1, 2: 1}
    assert outcome.failures[1].kind == "result"


class _Fragile:
    """Can be pickled, and not read."""

    def __reduce__(self) -> Any:
        return int, ("not a number",)


def test_inputs_that_can_not_be_read(worker: Worker) -> None:
    outcome = worker.run(double, [1, _Fragile(), 3])
    assert answers(outcome) == {0: 2, 2: 6}
    assert outcome.failures[1].kind == "argument"
    assert "invalid literal" in outcome.failures[1].message


class _BadFunction:
    def __call__(self, x: int) -> int:
        return x

    def __reduce__(self) -> Any:
        return __import__, ("no_such_module_anywhere",)


@pytest.mark.parametrize("is_async", [False, True])
def test_functions_that_can_not_be_loaded(worker: Worker, is_async: bool) -> None:
    outcome = worker.run(_BadFunction(), [1, 2], is_async=is_async)
    assert {failure.kind for failure in outcome.failures.values()} == {"load"}
    assert set(outcome.failures) == {0, 1}
    assert "module 'no_such_module_anywhere' is importable in the driver" in (
        outcome.failures[0].message
    )


class _ExitsOnLoad:
    def __call__(self, x: int) -> int:
        return x

    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit(3)",)


@pytest.mark.parametrize("is_async", [False, True])
def test_code_that_exits_on_import_fails_its_calls(worker: Worker, is_async: bool) -> None:
    outcome = worker.run(_ExitsOnLoad(), [1, 2], is_async=is_async)
    assert {failure.kind for failure in outcome.failures.values()} == {"load"}


def test_calls_taken_back_do_not_run(worker: Worker) -> None:
    from asyncfabric_runtime._invocation import Invocation

    invocation: Any = None
    taken: list[int] = []

    def take_back(_: int) -> Iterator[int] | int:
        taken.extend(invocation.recall())
        return 1

    envelope = envelope_for(double, list(range(5)), prompt=True)
    invocation = Invocation(envelope, worker.process)
    worker.process._functions.put(envelope.plan.function, take_back)
    outcome = invocation.run()
    assert sorted(taken) == [1, 2, 3, 4]
    assert answers(outcome) == {0: 1}
