"""An Admission of a service that throttles, under every sequence of events."""

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from asyncfabric.scheduling import Admission, Limit
from asyncfabric.scheduling._throttle import Scarce

SCARCE: st.SearchStrategy[Scarce] = st.sampled_from(["concurrency", "rate", "reach"])


class Throttled(RuleBasedStateMachine):
    """Launches where there is room; what comes of it, and when, is anyone's guess."""

    @initialize(
        most=st.one_of(st.none(), st.integers(1, 30)),
        start=st.integers(1, 40),
        backoff=st.sampled_from([0.1, 0.7, 0.99]),
        probe=st.sampled_from([0.05, 1.0]),
        began=st.sampled_from([0.0, 1e6]),
    )
    def begin(
        self, most: int | None, start: int, backoff: float, probe: float, began: float
    ) -> None:
        policy = Limit(start=start, backoff=backoff, probe=probe)
        self.admission: Admission[str] = Admission(most, policy)
        self.admission.join("map", 1.0)
        self.most = most
        self.now = began
        self.in_flight = 0
        self.budget = 10.0
        self.rated = False
        self.launches: deque[float] = deque()

    @rule(wanted=st.integers(1, 20))
    def launch(self, wanted: int) -> None:
        for _ in range(wanted):
            room = self.admission.room(self.now)
            assert room is not None
            if not room:
                return
            limit = self.admission.limit_now
            assert limit is not None
            assert self.in_flight + room <= limit
            self.admission.launched("map", 1, 1.0, self.now)
            assert self.admission.room(self.now) in (room - 1, 0)
            self.in_flight += 1
            self.launches.append(self.now)

    @precondition(lambda self: self.in_flight)
    @rule(count=st.integers(1, 20))
    def answer(self, count: int) -> None:
        for _ in range(min(count, self.in_flight)):
            before = self.admission.limit_now
            self.admission.answered(1)
            self.budget += 0.5
            self.admission.landed(1)
            self.in_flight -= 1
            after = self.admission.limit_now
            assert before is not None
            assert after is not None
            assert before <= after <= before + 1

    @precondition(lambda self: self.in_flight)
    @rule(
        count=st.integers(1, 5),
        scarce=SCARCE,
        chance=st.sampled_from([0.0, 0.5, 0.99]),
        retry_after=st.sampled_from([None, 0.0, 3.0, 1000.0]),
    )
    def refuse(self, count: int, scarce: Scarce, chance: float, retry_after: float | None) -> None:
        for _ in range(min(count, self.in_flight)):
            self.admission.landed(1)
            self.in_flight -= 1
            before = self.admission.limit_now
            hope = self.admission.refused(self.now, scarce, chance, retry_after)
            after = self.admission.limit_now
            assert before is not None
            assert after is not None
            assert hope or not self.in_flight
            if scarce == "rate":
                self.rated = True
                assert after == before
                assert self.admission.room(self.now) == 0, "it was too fast just now"
            elif scarce == "concurrency":
                assert after <= max(1, self.in_flight)
            else:
                assert after == before
            if retry_after and (scarce == "reach" or not self.in_flight):
                assert self.admission.opens(self.now) is not None
                assert self.admission.room(self.now + min(retry_after, 20.0) - 0.001) == 0

    @rule(calls=st.integers(1, 3))
    def repeat(self, calls: int) -> None:
        for _ in range(calls):
            assert self.admission.budget.spend() == (self.budget >= 1.0)
            if self.budget >= 1.0:
                self.budget -= 1.0

    @rule(seconds=st.sampled_from([0.001, 0.005, 0.02, 0.3, 5.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def wait_until_it_opens(self) -> None:
        """With nothing at work there is always room, or a time from which on there is."""
        opens = self.admission.opens(self.now)
        room = self.admission.room(self.now)
        if opens is None:
            assert room or self.in_flight
            return
        assert opens > self.now
        assert not room
        self.now = opens
        limit = self.admission.limit_now
        again = self.admission.opens(self.now)
        if again is not None:  # a pause is over, and the rate still holds it back
            assert self.rated
            self.now = again
        if limit is not None and limit > self.in_flight:
            assert self.admission.room(self.now) in range(1, limit + 1)

    @invariant()
    def counts(self) -> None:
        if not hasattr(self, "admission"):
            return
        admission = self.admission
        assert admission.in_flight == self.in_flight
        assert admission.budget.left == self.budget
        assert (admission.rate_now is not None) == self.rated
        limit = admission.limit_now
        assert limit is not None
        assert limit >= 1
        if self.most is not None:
            assert self.in_flight <= self.most
            assert limit <= self.most


def test_any_sequence_of_refusals() -> None:
    run_state_machine_as_test(
        Throttled, settings=settings(max_examples=150, stateful_step_count=40)
    )
