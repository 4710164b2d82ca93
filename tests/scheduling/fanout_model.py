"""What a FanOut should do, too simple to be wrong: its inputs, its launches, its consumer."""

from collections import Counter, deque

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from asyncfabric.scheduling import Batch, Block, FanOut, Hedge, Pace, Retry

QUEUED, DELAYED, FLYING, SETTLED, DROPPED = "queued", "delayed", "flying", "settled", "dropped"


EAGER = Hedge(chance=0.4, factor=1.0, share=1.0, least=0.0)


class UserError(Exception):
    """What a call fails with."""


class FanOutModel(RuleBasedStateMachine):
    """Plays the shell as far as launches, and the consumer."""

    @initialize(
        ordered=st.booleans(),
        fail_fast=st.booleans(),
        chunksize=st.sampled_from([2, 3, 5, 1, None]),
        bound=st.one_of(st.none(), st.integers(1, 12)),
        attempts=st.integers(1, 3),
        idempotent=st.sampled_from([True, True, True, False]),
        hedge=st.sampled_from([EAGER, EAGER, EAGER, None]),
        budget=st.sampled_from([1000.0, 2.0, 0.5]),
        launches=st.integers(1, 6),
    )
    def begin(
        self,
        ordered: bool,
        fail_fast: bool,
        chunksize: int | None,
        bound: int | None,
        attempts: int,
        idempotent: bool,
        hedge: Hedge | None,
        budget: float,
        launches: int,
    ) -> None:
        self.fan_out = FanOut(
            Pace(),
            lanes=2,
            chunksize=chunksize,
            retry=Retry(attempts=attempts, on=(UserError,)),
            hedge=hedge,
            idempotent=idempotent,
            ordered=ordered,
            fail_fast=fail_fast,
        )
        if self.fan_out._late is not None:
            # As if it had seen a lot, so that what is late is known from the start.
            for _ in range(1000):
                self.fan_out._late.speed._run.add(0.1)
        self.fan_out.bound = bound
        self.fan_out.budget.left = self.budget = budget
        self.chunksize, self.bound = chunksize, bound
        self.most_attempts, self.idempotent = attempts, idempotent
        self.ordered, self.fail_fast = ordered, fail_fast
        self.now: float = 0.0
        self.input_open = True
        self.stopped = False
        self.state: list[str] = []
        self.attempt: list[int] = []
        self.due: dict[int, float] = {}
        self.flights: dict[int, Batch] = {}
        self.places: dict[int, dict[int, int]] = {}  # flight -> position -> index, not settled
        self.held: set[tuple[int, int]] = set()  # flight, call: answered and not settled
        self.ever: dict[int, int] = {}  # call -> flights that ever had it, for those with copies
        self.copies_allowed = hedge is not None and idempotent
        self.copies = 0
        self.last_flight = 0
        self.lost: list[tuple[int, int]] = []
        self.executions = 0  # of calls that were launched, and didn't come back
        self.repeated = self.copied = self.copies_won = 0
        self.copy_flights: set[int] = set()
        self.may_have_run: set[int] = set()  # calls with an attempt that failed, or may have
        self.alone: set[int] = set()  # calls that may end their workers
        self.failed: set[int] = set()
        self.halted_at: int | None = None
        # the consumer
        self.buffer: deque[Block] = deque()
        self.place = 0
        self.values_seen: Counter[int] = Counter()
        self.awaited: set[int] = set()  # read, and not consumed since the last revival
        for _ in range(launches):
            self.read_and_launch(2, None)

    # -- inputs

    @precondition(lambda self: self.input_open and not self.stopped)
    @rule(invocations=st.integers(1, 3), share=st.sampled_from([3, 2, 1, 0]))
    def read(self, invocations: int, share: int) -> None:
        wanted = self.fan_out.demand(invocations)
        if self.stopped or self.halted_at is not None:
            assert wanted == 0
        if self.bound is not None:
            assert wanted == 0 or len(self.awaited) + wanted <= self.bound
        count = min(wanted, share) if share < 3 else wanted
        first = len(self.state)
        if count == 1:
            self.fan_out.offer_one(first * 10)
        else:
            self.fan_out.offer([10 * index for index in range(first, first + count)])
        self.state += [QUEUED] * count
        self.attempt += [1] * count
        self.awaited.update(range(first, first + count))

    @precondition(lambda self: self.input_open)
    @precondition(lambda self: len(self.state) > 9)
    @rule()
    def end_input(self) -> None:
        self.fan_out.end_input()
        self.input_open = False

    # -- launching

    @rule(invocations=st.integers(1, 3), most=st.one_of(st.none(), st.integers(1, 6)))
    def read_and_launch(self, invocations: int, most: int | None) -> None:
        if self.input_open:
            self.read(invocations, 3)
        self.launch(most)

    @precondition(lambda self: not self.stopped and (QUEUED in self.state or self.due))
    @rule(most=st.one_of(st.none(), st.integers(1, 6)))
    def launch(self, most: int | None) -> None:
        batch = self.fan_out.take(self.now, most)
        if not self.stopped:
            for index in [index for index, due in self.due.items() if due <= self.now]:
                del self.due[index]
                self.state[index] = QUEUED
        ready = {index for index, state in enumerate(self.state) if state == QUEUED}
        if self.halted_at is not None:
            ready = {index for index in ready if index < self.halted_at}
        if self.stopped:
            ready.clear()
        if batch is None:
            assert not ready
            return
        assert len(batch.inputs) == len(batch.indices) > 0
        assert most is None or len(batch.inputs) <= most
        assert self.chunksize is None or len(batch.inputs) <= self.chunksize
        assert list(batch.indices) == sorted(set(batch.indices))
        assert set(batch.indices) <= ready
        assert batch.indices[0] == min(ready)
        assert not (batch.alone or self.alone.intersection(batch.indices)) or len(batch.inputs) == 1
        self.take_off(batch, None)

    def take_off(self, batch: Batch, copy_of: int | None) -> None:
        self.last_flight += 1
        assert self.idempotent or self.may_have_run.isdisjoint(batch.indices)
        for position, index in enumerate(batch.indices):
            assert batch.inputs[position] == 10 * index
            assert batch.attempt(position) == self.attempt[index] <= self.most_attempts
            self.state[index] = FLYING
        self.flights[self.last_flight] = batch
        self.places[self.last_flight] = dict(enumerate(batch.indices))
        self.fan_out.launched(self.last_flight, batch, self.now, copy_of=copy_of)
        self.executions += len(batch.inputs)
        if copy_of is not None:
            self.copy_flights.add(self.last_flight)
            self.copied += len(batch.inputs)

    @precondition(lambda self: self.flights)
    @rule(
        most=st.one_of(st.none(), st.integers(1, 3)),
        seconds=st.sampled_from([5.0, 0.5, 0.0]),
        copies=st.integers(1, 5),
    )
    def copy(self, most: int | None, seconds: float, copies: int) -> None:
        """Time passes; some calls are late, and get a copy each."""
        self.now += seconds
        self.fan_out.look(self.now)
        for _ in range(copies):
            found = self.fan_out.copy(self.now, most)
            if found is None:
                return
            self.check_copy(*found, most)
            self.take_off(found[1], found[0])

    def check_copy(self, original: int, batch: Batch, most: int | None) -> None:
        assert self.copies_allowed
        assert not self.stopped
        assert most is None or len(batch.inputs) <= most
        here = set(self.places[original].values())
        for index in batch.indices:
            assert index in here
            assert (original, index) not in self.held
            assert self.halted_at is None or index < self.halted_at
            self.ever[index] = self.ever.get(index, 1) + 1
            assert self.ever[index] <= EAGER.copies
        self.copies += 1
        assert self.copies <= max(3, self.last_flight)

    def carriers(self, index: int) -> list[int]:
        return [flight for flight, here in self.places.items() if index in here.values()]

    def land(self, flight: int, position: int) -> int:
        index = self.places[flight].pop(position)
        self.held.discard((flight, index))
        if not self.places[flight]:
            del self.places[flight], self.flights[flight]
        return index

    def settle(self, flight: int, position: int) -> int:
        """Land a call, and its copies elsewhere: they have lost."""
        index = self.land(flight, position)
        self.ever.pop(index, None)
        for other in self.carriers(index):
            (place,) = [place for place, each in self.places[other].items() if each == index]
            self.land(other, place)
            self.lost.append((other, place))
        return index

    def check_losers(self) -> None:
        """See that those are recalled that have lost, whole invocations where nothing is left."""
        told = self.fan_out.losers()
        assert [flight for flight, _ in told] == [flight for flight, _ in self.lost]
        for (flight, position), (_, place) in zip(told, self.lost, strict=True):
            assert position == place or (position is None and flight not in self.flights)
        self.lost.clear()

    # -- the consumer

    @precondition(lambda self: self.buffer)
    @rule(count=st.integers(1, 8))
    def consume(self, count: int) -> None:
        for _ in range(count):
            if not self.buffer:
                return
            block, place = self.buffer[0], self.place
            self.place += 1
            if self.place == len(block):
                self.buffer.popleft()
                self.place = 0
            self.fan_out.delivered += 1
            index = block.first + place
            assert block.inputs[place] == 10 * index
            assert index in self.awaited, "delivered twice, or never asked for"
            if self.ordered:
                assert index == min(self.awaited)
            self.awaited.remove(index)
            if block.error is None:
                assert block.values[place] == -index
                self.values_seen[index] += 1
                assert self.values_seen[index] == 1
            else:
                assert len(block) == 1
                assert index in self.failed
                assert self.fan_out.failures()[index] is block.error

    # -- what always holds

    @invariant()
    def counts(self) -> None:
        if not hasattr(self, "fan_out"):
            return
        fan_out, states = self.fan_out, Counter(self.state)
        assert fan_out.read == len(self.state)
        assert fan_out.attempts == self.executions
        assert fan_out.repeated == self.repeated
        assert fan_out.copied == self.copied
        assert fan_out.copies_won == self.copies_won
        assert fan_out.budget.left == self.budget
        assert fan_out.in_flight == sum(map(len, self.places.values()))
        assert fan_out.failed_calls == len(self.failed)
        assert set(fan_out.failures()) == self.failed
        assert fan_out.finished == states[SETTLED] - len(self.failed)
        waiting = states[QUEUED] + states[DELAYED]
        assert fan_out.idle == (self.stopped or not (waiting or self.flights))
        assert fan_out.done == (self.stopped or not (waiting or self.flights or self.input_open))
        assert not (fan_out.has_ready and self.stopped)
        if not self.ordered:
            assert fan_out.waiting() == []
        if self.due:
            due = fan_out.next_due()
            assert due is not None
            assert due <= min(self.due.values())


def rest(block: Block, place: int) -> Block:
    return Block(
        block.first + place,
        block.inputs[place:],
        block.values[place:],
        block.error,
        block.record,
        block.offset + place,
    )
