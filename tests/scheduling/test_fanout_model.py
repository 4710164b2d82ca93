"""A FanOut under every sequence of events, against a model."""

from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.scheduling.fanout_model import (
    DELAYED,
    DROPPED,
    FLYING,
    QUEUED,
    SETTLED,
    FanOutModel,
    UserError,
    rest,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class FanOutMachine(FanOutModel):
    """Plays the workers, the clock and a user who changes his mind too."""

    # -- answers

    def flight(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.flights)), "flight")

    def some(self, data: st.DataObject, flight: int) -> list[int]:
        """Draw positions of a flight, cancelled and answered ones too, in any order."""
        positions = st.permutations(range(len(self.flights[flight].inputs)))
        count = data.draw(st.integers(1, len(self.flights[flight].inputs)), "count")
        return data.draw(positions, "positions")[:count]

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), span=st.booleans())
    def succeed(self, data: st.DataObject, span: bool) -> None:
        flight = self.flight(data)
        positions: Sequence[int] = self.some(data, flight)
        if span:
            positions = range(len(self.flights[flight].inputs))
        record = object()
        values = [-self.flights[flight].indices[position] for position in positions]
        wanted = [position for position in positions if position in self.places[flight]]
        self.fan_out.ran(flight, len(positions), 0.1 * len(positions), 0, self.now, final=False)
        blocks = self.fan_out.succeeded(flight, positions, values, record)
        for block in blocks:
            if block.record is record:  # not one that had waited
                assert values[block.offset : block.offset + len(block)] == block.values
        if flight in self.copy_flights:
            self.copies_won += len(wanted)
        for position in wanted:
            self.state[self.settle(flight, position)] = SETTLED
        self.check_losers()
        self.buffer.extend(blocks)

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        flight = self.flight(data)
        positions = self.some(data, flight)
        self.fan_out.answered(flight, positions)
        here = self.places[flight]
        self.held.update((flight, here[place]) for place in positions if place in here)

    @precondition(lambda self: self.flights)
    @rule(
        data=st.data(),
        retryable=st.booleans(),
        listed=st.booleans(),
        ran=st.booleans(),
        chance=st.sampled_from([0.0, 0.5, 0.99]),
    )
    def fail(
        self, data: st.DataObject, retryable: bool, listed: bool, ran: bool, chance: float
    ) -> None:
        flight = self.flight(data)
        position = data.draw(st.integers(0, len(self.flights[flight].inputs) - 1))
        self._fail(flight, position, retryable=retryable, listed=listed, ran=ran, chance=chance)

    def _fail(
        self, flight: int, position: int, *, retryable: bool, listed: bool, ran: bool, chance: float
    ) -> None:
        known = self.fan_out.flights.call_at(flight, position)
        error: Exception = UserError() if listed else ValueError()
        blocks = self.fan_out.failed(
            flight,
            position,
            error,
            retryable=retryable,
            ran=ran,
            now=self.now,
            chance=chance,
        )
        self.buffer.extend(blocks or [])
        if position not in self.places.get(flight, {}):
            assert blocks == []
            assert known is None
            return
        index = self.land(flight, position)
        assert known == (index, 10 * index, self.attempt[index])
        if ran:
            self.may_have_run.add(index)
        if self.carriers(index):
            assert blocks is None
            return
        assert blocks is not None
        self.ever.pop(index, None)
        again = self.attempt[index] < self.most_attempts and (self.idempotent or not ran)
        spent = False
        if again and retryable and not listed:
            spent = self.budget < 1.0
            self.budget -= not spent
        told = "not tried again" in str(getattr(error, "__notes__", ""))
        assert told == spent
        self.alone.discard(index)
        if again and (retryable or listed) and not spent:
            self.repeated += 1
            if retryable:
                self.alone.add(index)
            assert blocks == []
            assert self.fan_out.failure(index) is None
            self.state[index] = DELAYED
            self.due[index] = self.now + chance * 0.1 * 2 ** (self.attempt[index] - 1)
            self.attempt[index] += 1
            return
        self.state[index] = SETTLED
        assert self.fan_out.failure(index) is error
        self.failed.add(index)
        if self.fail_fast:
            at = index if self.ordered else 0
            self.halted_at = at if self.halted_at is None else min(self.halted_at, at)

    @precondition(lambda self: self.flights)
    @rule(calls=st.integers(1, 10))
    def others_do_well(self, calls: int) -> None:
        """The budget is one for all maps."""
        self.fan_out.budget.earn(calls)
        self.budget = min(1000.0, self.budget + calls / 2)

    @precondition(lambda self: self.flights)
    @rule(
        data=st.data(),
        everything=st.booleans(),
        after=st.sampled_from([None, 0.0, 1.0]),
        alone=st.booleans(),
    )
    def give_back(
        self, data: st.DataObject, everything: bool, after: float | None, alone: bool
    ) -> None:
        flight = self.flight(data)
        positions = None if everything else self.some(data, flight)
        here = self.places[flight]
        wanted = [
            position
            for position in (list(here) if positions is None else positions)
            if position in here and (flight, here[position]) not in self.held
        ]
        due = None if after is None else self.now + after
        count = self.fan_out.returned(flight, positions, due=due, alone=alone)
        assert count == len(wanted)
        self.come_back(flight, wanted, due, alone)

    def come_back(
        self, flight: int, positions: list[int], due: float | None = None, alone: bool = False
    ) -> None:
        self.executions -= len(positions)
        if flight in self.copy_flights:
            self.copied -= len(positions)
        for position in positions:
            index = self.land(flight, position)
            if self.carriers(index):
                self.ever[index] -= not alone  # or a call that ends its workers gets ever new ones
                continue
            self.ever.pop(index, None)
            if due is None:
                self.state[index] = QUEUED
            else:
                self.state[index] = DELAYED
                self.due[index] = due
            if alone:
                self.alone.add(index)

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def lose_worker(self, data: st.DataObject) -> None:
        """One call is charged, the others come back."""
        flight = self.flight(data)
        open_ = self.fan_out.flights.open_positions(flight)
        here = self.places[flight]
        assert open_ == [place for place in sorted(here) if (flight, here[place]) not in self.held]
        if open_:
            running = data.draw(st.sampled_from(open_))
            self._fail(flight, running, retryable=True, listed=False, ran=True, chance=0.5)
        if flight in self.flights:
            back = [place for place, index in here.items() if (flight, index) not in self.held]
            assert self.fan_out.returned(flight, None) == len(back)
            self.come_back(flight, back)

    # -- time and changes of mind

    @precondition(lambda self: self.due)
    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: not self.ordered and not self.stopped)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        live = [
            index for index, state in enumerate(self.state) if state in (QUEUED, DELAYED, FLYING)
        ]
        if not live:
            return
        index = data.draw(st.sampled_from(live), "index")
        place = self.fan_out.cancel(index)
        self.fan_out.delivered += 1  # as the shell does
        if self.state[index] == FLYING:
            assert place is not None
            flight, position = place
            if position is None:
                (position,) = self.places[flight]
            else:
                assert len(self.places[flight]) > 1
            assert self.settle(flight, position) == index
            self.check_losers()
        else:
            assert place is None
        self.due.pop(index, None)
        self.state[index] = DROPPED
        self.awaited.discard(index)

    @precondition(lambda self: self.halted_at is not None and not self.stopped)
    @rule()
    def tolerate(self) -> None:
        assert self.fan_out.tolerate() == (self.halted_at is not None)
        self.halted_at, self.fail_fast = None, False

    @precondition(lambda self: self.ordered and len(self.state) > 5)
    @rule()
    def collect(self) -> None:
        """The consumer wants a list, in whatever order calls settle."""
        self.buffer.extend(self.fan_out.collect())
        self.ordered = False

    @precondition(lambda self: self.flights and len(self.state) > 3)
    @rule()
    def stop(self) -> None:
        assert self.fan_out.stop() == list(self.flights)
        assert self.fan_out.stop() == []
        assert self.fan_out.take(1e9) is None
        self.stopped = True
        for index, state in enumerate(self.state):
            if state in (QUEUED, DELAYED, FLYING):
                self.state[index] = QUEUED
        self.flights.clear()
        self.places.clear()
        self.held.clear()
        self.ever.clear()
        self.due.clear()
        unfinished = self.input_open or QUEUED in self.state
        assert self.fan_out.unfinished == unfinished

    @precondition(lambda self: self.stopped)
    @rule()
    def revive(self) -> None:
        undelivered = list(self.buffer)
        if self.place:
            undelivered[0] = rest(undelivered[0], self.place)
        self.buffer.clear()
        self.place = 0
        self.buffer.extend(self.fan_out.revive(undelivered))
        for index, state in enumerate(self.state):
            if state == QUEUED or index in self.failed:
                self.state[index] = QUEUED
                self.attempt[index] = 1
                self.awaited.add(index)
        self.failed.clear()
        self.may_have_run.clear()
        self.alone.clear()
        self.halted_at = None
        self.stopped = False

    def teardown(self) -> None:
        """Let everything run to its end: nothing is lost, and nothing comes twice."""
        if not hasattr(self, "fan_out"):
            return
        if self.stopped:
            self.revive()
        if self.halted_at is not None:
            self.tolerate()
        if self.input_open:
            self.end_input()
        self.now += 1000.0
        rounds = 0
        while not self.fan_out.done:
            rounds += 1
            assert rounds <= 10 + 2 * len(self.state), "it never ends"
            self.launch(None)
            for flight in list(self.flights):
                if flight not in self.flights:
                    continue  # a copy, settled by now
                size = len(self.flights[flight].inputs)
                values: list[Any] = [-index for index in self.flights[flight].indices]
                if flight in self.copy_flights:
                    self.copies_won += len(self.places[flight])
                self.buffer.extend(self.fan_out.succeeded(flight, range(size), values, None))
                for position in list(self.places[flight]):
                    self.state[self.settle(flight, position)] = SETTLED
                self.check_losers()
            self.counts()
        self.consume(len(self.state))
        assert not self.fan_out.flights
        assert not self.fan_out._copies
        assert not self.fan_out._queue
        assert not self.buffer
        assert not self.awaited
        dropped = {index for index, state in enumerate(self.state) if state == DROPPED}
        assert set(self.values_seen) | self.failed | dropped == set(range(len(self.state)))


def test_any_sequence_of_events() -> None:
    run_state_machine_as_test(
        FanOutMachine, settings=settings(max_examples=300, stateful_step_count=40)
    )
