"""What scheduling keeps of a call: little while it is under way, nothing after it has settled."""

import gc
import sys
import weakref
from types import FunctionType, ModuleType
from typing import Any

import pytest

from asyncfabric.scheduling import Admission, FanOut, Hedge, Limit, Pace, Retry

_KIB = 1024


def _reachable(*roots: object) -> list[Any]:
    """Return all objects that are kept by some, but for code."""
    found: dict[int, Any] = {}
    queue: list[Any] = list(roots)
    while queue:
        each = queue.pop()
        if id(each) in found or isinstance(each, (type, ModuleType, FunctionType)):
            continue
        found[id(each)] = each
        queue += gc.get_referents(each)
    return list(found.values())


class _Map:
    """One map on 50 workers, one call an invocation."""

    def __init__(self, *, ordered: bool) -> None:
        self.fan_out = FanOut(
            Pace(), lanes=50, chunksize=1, retry=Retry(), hedge=Hedge(least=0.0), ordered=ordered
        )
        self.admission: Admission[FanOut] = Admission(50, Limit())
        self.fan_out.budget = self.admission.budget
        self.admission.join(self.fan_out, 1.0)
        self.now = 0.0
        self.last = 0

    def launch(self) -> int | None:
        batch = self.fan_out.take(self.now)
        if batch is None:
            return None
        self.last += 1
        self.admission.launched(self.fan_out, 1, 1.0, self.now)
        self.fan_out.launched(self.last, batch, self.now)
        return self.last

    def answer(self, flight: int) -> None:
        self.admission.answered(1)
        self.admission.landed(1)
        seconds = 1.0 + flight % 7 / 10
        self.now += seconds / 50
        self.fan_out.ran(flight, 1, seconds, 8, self.now)
        for block in self.fan_out.succeeded(flight, [0], [object()], object()):
            self.fan_out.delivered += len(block)

    def copy(self) -> bool:
        """Launch copies of what is late; return whether there are any."""
        late = self.now + 60.0
        copied = False
        self.fan_out.look(late)
        while (found := self.fan_out.copy(late)) is not None:
            self.last += 1
            self.admission.launched(self.fan_out, 1, 1.0, self.now)
            self.fan_out.launched(self.last, found[1], self.now, copy_of=found[0])
            copied = True
        return copied

    def run(self, calls: int) -> None:
        """Some calls fail, come back, are refused, copied and, in any order, dropped."""
        for place in range(calls):
            self.fan_out.offer([object()])
            flight = self.launch()
            assert flight is not None
            if place % 10 == 1:
                self.fan_out.returned(flight, None)
                self.admission.landed(1)
                self.admission.refused(self.now, "concurrency", 0.5)
            elif place % 10 == 2:
                error = ValueError()
                self.fan_out.failed(flight, 0, error, retryable=True, now=self.now, chance=0.1)
                self.admission.landed(1)
                self.now += 0.1
            elif place % 10 == 3 and self.copy():
                self.answer(self.last)
                self.admission.landed(len(self.fan_out.losers()))
                continue
            elif place % 10 == 4 and not self.fan_out.ordered:
                index = self.fan_out.flights.index_of(flight, 0)
                assert index is not None
                assert self.fan_out.cancel(index) == (flight, None)
                self.fan_out.delivered += 1
                self.admission.landed(1)
                continue
            else:
                self.answer(flight)
                continue
            again = self.launch()
            assert again is not None
            self.answer(again)


@pytest.mark.parametrize("ordered", [True, False])
def test_nothing_is_kept_of_settled_calls(ordered: bool) -> None:
    sizes: list[int] = []
    map_ = _Map(ordered=ordered)
    for calls in (2000, 4000):
        map_.run(calls)
        assert map_.fan_out.idle
        sizes.append(len(_reachable(map_.fan_out, map_.admission)))
    assert map_.fan_out.copied > 10
    assert sizes[1] < sizes[0] + 50
    assert sizes[1] < 2000


def test_inputs_and_values_are_let_go() -> None:
    class Thing:
        pass

    map_ = _Map(ordered=True)
    things = [Thing() for _ in range(4)]
    references = [weakref.ref(each) for each in things]
    map_.fan_out.offer(things[:2])
    things_out = things[2:]
    things.clear()
    for _ in range(2):
        flight = map_.launch()
        assert flight is not None
        map_.fan_out.ran(flight, 1, 1.0, 8, 1.0)
        assert map_.fan_out.succeeded(flight, [0], [things_out.pop()], object())
    gc.collect()
    assert [reference() for reference in references] == [None] * 4


@pytest.mark.parametrize("calls", [1000, 10_000])
def test_a_call_that_is_under_way_takes_less_than_a_kibibyte(calls: int) -> None:
    map_ = _Map(ordered=True)
    map_.run(100)
    before = sum(map(sys.getsizeof, _reachable(map_.fan_out, map_.admission)))
    map_.fan_out.offer([None] * calls)
    while map_.launch() is not None:
        pass
    grown = sum(map(sys.getsizeof, _reachable(map_.fan_out, map_.admission))) - before
    assert map_.fan_out.in_flight == calls
    assert grown / calls < _KIB


def test_a_call_that_waits_takes_a_place_in_a_list() -> None:
    map_ = _Map(ordered=True)
    before = sum(map(sys.getsizeof, _reachable(map_.fan_out, map_.admission)))
    map_.fan_out.offer([None] * 10_000)
    grown = sum(map(sys.getsizeof, _reachable(map_.fan_out, map_.admission))) - before
    assert grown / 10_000 < 16
