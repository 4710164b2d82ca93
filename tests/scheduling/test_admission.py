"""Whose turn it is: shares by weight, room, pauses."""

import gc
import itertools
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from asyncfabric.scheduling import Admission

WEIGHTS = st.sampled_from([0.25, 1.0, 1.0, 2.0, 5.0])
WORK = st.sampled_from([0.001, 0.01, 0.1, 1.0])
LARGEST = 1.0


def _launch(admission: Admission[int], work: float = 1.0) -> int:
    fan_out = admission.turn()
    assert fan_out is not None
    admission.launched(fan_out, 1, work)
    return fan_out


@given(
    st.lists(st.tuples(WEIGHTS, st.lists(WORK, min_size=1, max_size=4)), min_size=2, max_size=6),
    st.integers(0, 200),
)
def test_shares_are_proportional_to_weights(
    fan_outs: list[tuple[float, list[float]]], launches: int
) -> None:
    """At any moment, within the largest launch of each of two fan-outs: Goyal et al., theorem 1."""
    admission: Admission[int] = Admission(None)
    for place, (weight, _) in enumerate(fan_outs):
        admission.join(place, weight)
        admission.wake(place)
    done = [0.0] * len(fan_outs)
    sizes = [itertools.cycle(works) for _, works in fan_outs]
    for _ in range(launches):
        turn = admission.turn()
        assert turn is not None
        work = next(sizes[turn])
        admission.launched(turn, 1, work)
        done[turn] += work
        for one, other in itertools.combinations(range(len(fan_outs)), 2):
            (weight_1, works_1), (weight_2, works_2) = fan_outs[one], fan_outs[other]
            unfairness = abs(done[one] / weight_1 - done[other] / weight_2)
            assert unfairness <= max(works_1) / weight_1 + max(works_2) / weight_2 + 1e-9


def test_a_pause_earns_no_credit() -> None:
    admission: Admission[int] = Admission(None)
    for place in (0, 1):
        admission.join(place, 1.0)
    admission.wake(0)
    for _ in range(50):
        assert _launch(admission) == 0
    admission.wake(1)
    turns = [_launch(admission) for _ in range(20)]
    assert turns.count(0) in (9, 10, 11)


def test_one_that_was_alone_is_behind_who_comes() -> None:
    admission: Admission[int] = Admission(None)
    for place in (0, 1):
        admission.join(place, 1.0)
    admission.wake(0)
    for _ in range(3):
        assert _launch(admission) == 0
    admission.wake(1)
    assert [_launch(admission) for _ in range(4)] == [1, 0, 1, 0]


def test_more_than_ever_before_may_need_new_workers() -> None:
    admission: Admission[int] = Admission(None)
    admission.join(0, 1.0)
    assert admission.launched(0, 2, 1.0)
    admission.landed(1)
    assert not admission.launched(0, 1, 1.0)
    assert admission.launched(0, 1, 1.0)


def test_a_newcomer_is_served_among_a_thousand() -> None:
    admission: Admission[int] = Admission(None)
    for place in range(1000):
        admission.join(place, 1.0)
        admission.wake(place)
    for _ in range(3000):
        _launch(admission)
    admission.join(1000, 1.0)
    admission.wake(1000)
    assert 1000 in [_launch(admission) for _ in range(1001)]


def test_what_was_not_foreseen_is_charged_and_given_back() -> None:
    admission: Admission[int] = Admission(None)
    for place in (0, 1):
        admission.join(place, 1.0)
        admission.wake(place)
    assert _launch(admission, 1.0) == 0
    assert _launch(admission, 1.0) == 1
    admission.corrected(0, 5.0)
    assert [_launch(admission) for _ in range(4)] == [1] * 4
    admission.corrected(0, -5.0)
    assert [_launch(admission) for _ in range(4)] == [0] * 4
    admission.corrected(77, 1.0)  # it has left


def test_kinds_that_do_not_fit_are_passed_over_and_lose_nothing() -> None:
    admission: Admission[str] = Admission(None)
    for name in ("plain", "tasks"):
        admission.join(name, 1.0, name)
        admission.wake(name)
    for _ in range(10):
        turn = admission.turn({"plain"})
        assert turn == "tasks"
        admission.launched(turn, 1, 1.0)
    assert admission.turn({"plain", "tasks"}) is None
    for _ in range(10):
        turn = admission.turn()
        assert turn == "plain"
        admission.launched(turn, 1, 1.0)


def test_room() -> None:
    admission: Admission[int] = Admission(3)
    admission.join(0, 1.0)
    admission.launched(0, 2, 1.0)
    assert admission.room(0.0) == 1
    admission.launched(0, 1, 1.0)
    assert admission.room(0.0) == 0
    admission.landed(3)
    assert admission.room(0.0) == 3
    assert Admission[int](None).room(0.0) is None


@pytest.mark.parametrize("alone", [False, True])
def test_a_fan_out_that_leaves_is_not_kept(alone: bool) -> None:
    class FanOut:
        pass

    admission: Admission[FanOut] = Admission(None)
    blocking = FanOut()
    admission.join(blocking, 1.0)
    if not alone:
        admission.wake(blocking)
    leaving = FanOut()
    reference = weakref.ref(leaving)
    admission.join(leaving, 1.0)
    admission.wake(leaving)
    admission.launched(leaving, 1, 1.0)
    assert (admission.turn() is leaving) == alone
    admission.leave(leaving)
    del leaving
    gc.collect()
    assert reference() is None


class AdmissionMachine(RuleBasedStateMachine):
    """Joins, wakes, rests and leaves in any order, with launches in between."""

    @initialize(limit=st.one_of(st.none(), st.integers(1, 8)), plain=st.booleans())
    def begin(self, limit: int | None, plain: bool) -> None:
        self.admission: Admission[int] = Admission(limit)
        self.plain = plain  # no work comes unforeseen, and there is a place for each kind
        self.weights: dict[int, float] = {}
        self.done: dict[int, float] = {}
        # of two that take turns: what each had done when they last began to do so side by side
        self.since: dict[tuple[int, int], tuple[float, float]] = {}
        self.kinds: dict[int, int] = {}
        self.awake: set[int] = set()
        self.in_flight = 0
        self.joined = 0

    @rule(weight=WEIGHTS, kind=st.integers(0, 1))
    def join(self, weight: float, kind: int) -> None:
        self.admission.join(self.joined, weight, kind)
        assert self.admission.wake(self.joined)
        self.kinds[self.joined] = kind
        self.weights[self.joined] = weight
        self.done[self.joined] = 0.0
        self.comes(self.joined)
        self.joined += 1

    def comes(self, fan_out: int) -> None:
        for other in self.awake - {fan_out}:
            pair = min(fan_out, other), max(fan_out, other)
            self.since[pair] = self.done[pair[0]], self.done[pair[1]]
        self.awake.add(fan_out)

    def goes(self, fan_out: int) -> None:
        self.awake.discard(fan_out)
        self.since = {pair: done for pair, done in self.since.items() if fan_out not in pair}

    @precondition(lambda self: self.joined)
    @rule(data=st.data(), what=st.sampled_from(["wake", "rest", "leave", "join"]))
    def change(self, data: st.DataObject, what: str) -> None:
        fan_out = data.draw(st.integers(0, self.joined - 1))  # known or not
        if what == "wake":
            news = fan_out in self.kinds and fan_out not in self.awake
            assert self.admission.wake(fan_out) == news
            if news:
                self.comes(fan_out)
            return
        self.goes(fan_out)
        if what == "rest":
            self.admission.rest(fan_out)
        elif what == "leave":
            self.admission.leave(fan_out)
            self.kinds.pop(fan_out, None)
        elif fan_out in self.kinds:
            self.admission.join(fan_out, 1.0, self.kinds[fan_out])
            self.weights[fan_out] = 1.0
        else:
            self.admission.rest(fan_out)

    @rule(work=WORK, attempts=st.integers(1, 3), full=st.sets(st.integers(0, 1)))
    def launch(self, work: float, attempts: int, full: set[int]) -> None:
        if self.plain:
            full = set()
        able = {fan_out for fan_out in self.awake if self.kinds[fan_out] not in full}
        turn = self.admission.turn(full)
        assert (turn is None) == (not able)
        if turn is None:
            return
        assert turn in able
        assert self.admission.turn(full) == turn
        room = self.admission.room(0.0)
        attempts = attempts if room is None else min(attempts, room)
        if attempts:
            self.admission.launched(turn, attempts, work)
            self.in_flight += attempts
            self.done[turn] += work

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def land(self, data: st.DataObject) -> None:
        attempts = data.draw(st.integers(1, self.in_flight))
        self.admission.landed(attempts)
        self.in_flight -= attempts

    @precondition(lambda self: self.joined and not self.plain)
    @rule(data=st.data(), work=st.floats(-0.5, 0.5))
    def correct(self, data: st.DataObject, work: float) -> None:
        self.admission.corrected(data.draw(st.integers(0, self.joined - 1)), work)

    @rule()
    def everyone_gets_a_turn(self) -> None:
        """However far behind the others are: a launch moves one on, and the rest move up."""
        waiting = set(self.awake)
        for _ in range(100_000):
            if not waiting:
                return
            turn = self.admission.turn()
            assert turn is not None
            waiting.discard(turn)
            self.admission.launched(turn, 0, 1.0)
            self.done[turn] += 1.0
        pytest.fail(f"{waiting} starve")

    @invariant()
    def counts(self) -> None:
        if not hasattr(self, "admission"):
            return
        admission = self.admission
        assert admission.in_flight == self.in_flight
        assert admission.limit is None or self.in_flight <= admission.limit
        assert admission.waits == bool(self.awake)

    @invariant()
    def shares_are_fair(self) -> None:
        """Goyal et al., theorem 1: over any time in which two take turns."""
        if not hasattr(self, "admission") or not self.plain:
            return
        for (one, other), (had_one, had_other) in self.since.items():
            share_one = (self.done[one] - had_one) / self.weights[one]
            share_other = (self.done[other] - had_other) / self.weights[other]
            most = LARGEST / self.weights[one] + LARGEST / self.weights[other]
            assert abs(share_one - share_other) <= most + 1e-9


def test_any_sequence_of_events() -> None:
    run_state_machine_as_test(
        AdmissionMachine, settings=settings(max_examples=100, stateful_step_count=40)
    )


def test_void_turns_do_not_gather() -> None:
    admission: Admission[int] = Admission(None)
    admission.join(0, 1.0)
    admission.wake(0)  # stays first in the line
    admission.join(1, 1.0)
    admission.launched(1, 0, 1.0)
    for _ in range(10_000):
        admission.wake(1)
        admission.rest(1)
    assert sum(map(len, admission._lines.values())) < 200
