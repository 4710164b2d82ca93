"""Laws of a FanOut, one by one: what ends it, what is tried again and how, what copies cost."""

from collections.abc import Sequence

import pytest

from asyncfabric.scheduling import Block, FanOut, Hedge, Pace, Retry

EAGER = Hedge(chance=0.4, factor=1.0, share=1.0, least=0.0)


def _fan_out(
    calls: int,
    *,
    chunksize: int = 1,
    retry: Retry | None = None,
    hedge: Hedge | None = None,
    idempotent: bool = True,
    ordered: bool = False,
    fail_fast: bool = False,
) -> FanOut:
    fan_out = FanOut(
        Pace(),
        chunksize=chunksize,
        retry=retry,
        hedge=hedge,
        idempotent=idempotent,
        ordered=ordered,
        fail_fast=fail_fast,
    )
    fan_out.offer(range(calls))
    fan_out.end_input()
    return fan_out


def _launch(fan_out: FanOut, flight: int, now: float = 0.0) -> list[int]:
    batch = fan_out.take(now)
    if batch is None:
        return []
    fan_out.launched(flight, batch, now)
    return list(batch.indices)


def _fail(
    fan_out: FanOut, flight: int, place: int = 0, *, retryable: bool = False
) -> list[Block] | None:
    return fan_out.failed(flight, place, ValueError(), retryable=retryable, now=0.0, chance=0.0)


# what ends it


def test_in_order_only_calls_before_the_first_failure_are_launched() -> None:
    fan_out = _fan_out(8, ordered=True, fail_fast=True)
    for flight in range(6):
        assert _launch(fan_out, flight) == [flight]
    _fail(fan_out, 3)
    _fail(fan_out, 5)  # a later one doesn't let those between run
    for flight in (0, 1, 2, 4):
        fan_out.returned(flight, None)
    assert [_launch(fan_out, 10 + n) for n in range(4)] == [[0], [1], [2], []]
    _fail(fan_out, 11)
    fan_out.returned(12, None)
    assert _launch(fan_out, 20) == []


@pytest.mark.parametrize("collected", [False, True])
def test_as_completed_a_failure_ends_all(collected: bool) -> None:
    fan_out = _fan_out(8, ordered=collected, fail_fast=True)
    if collected:
        fan_out.collect()
    for flight in range(4):
        _launch(fan_out, flight)
    _fail(fan_out, 3)
    fan_out.returned(0, None)
    assert _launch(fan_out, 10) == []
    assert fan_out.demand(5) == 0


def test_what_is_stopped_with_copies_goes_on_once() -> None:
    fan_out = _fan_out(4, hedge=EAGER, chunksize=2)
    assert _launch(fan_out, 1) == [0, 1]
    assert _launch(fan_out, 2) == [2, 3]
    copy = fan_out.flights[1].batch
    fan_out.launched(3, copy, copy_of=1)
    fan_out.launched(4, copy.part(1, 2), copy_of=1)
    assert sorted(fan_out.stop()) == [1, 2, 3, 4]
    assert fan_out.losers() == []
    assert fan_out.in_flight == 0
    fan_out.revive([])
    assert [_launch(fan_out, 10), _launch(fan_out, 11), _launch(fan_out, 12)] == [
        [0, 1],
        [2, 3],
        [],
    ]


# what is tried again


def test_what_may_have_ended_a_worker_goes_alone_until_it_is_started_anew() -> None:
    fan_out = _fan_out(6, chunksize=3, retry=Retry())
    _launch(fan_out, 1)
    _fail(fan_out, 1, 1, retryable=True)
    fan_out.returned(1, None)
    assert [_launch(fan_out, 2), _launch(fan_out, 3)] == [[0], [1]]
    fan_out.stop()
    fan_out.revive([])
    assert [_launch(fan_out, 4), _launch(fan_out, 5)] == [[0, 1, 2], [3, 4, 5]]


def test_an_invocation_that_ended_its_worker_is_taken_apart() -> None:
    fan_out = _fan_out(40, chunksize=40)
    _launch(fan_out, 1)
    assert fan_out.returned(1, None, alone=True) == 40
    sizes: list[int] = []
    while indices := _launch(fan_out, 2 + len(sizes)):
        sizes.append(len(indices))
    assert sizes == [3] * 13 + [1]
    assert fan_out.attempts == 40


def test_listed_errors_are_not_charged_to_the_budget() -> None:
    fan_out = _fan_out(2, retry=Retry(on=(ValueError,)))
    fan_out.budget.left = 1.0
    _launch(fan_out, 1)
    _fail(fan_out, 1, retryable=True)
    assert fan_out.budget.left == 1.0
    assert fan_out.repeated == 1


def test_a_retry_is_charged_only_where_there_is_one() -> None:
    fan_out = _fan_out(1, retry=Retry(attempts=1))
    _launch(fan_out, 1)
    _fail(fan_out, 1, retryable=True)
    assert fan_out.failed_calls == 1
    assert fan_out.budget.left == 10.0


@pytest.mark.parametrize("ran", [True, False])
def test_what_may_have_run_is_not_repeated(ran: bool) -> None:
    fan_out = _fan_out(1, retry=Retry(on=(ValueError,)), hedge=EAGER, idempotent=False)
    _launch(fan_out, 1)
    assert not fan_out.look(1e9)
    assert fan_out.copy(1e9) is None
    fan_out.failed(1, 0, ValueError(), retryable=True, ran=ran, now=0.0, chance=0.0)
    assert fan_out.failed_calls == ran
    assert fan_out.repeated == (not ran)


# copies


def test_a_cancelled_call_is_let_go_by_all_its_copies() -> None:
    fan_out = _fan_out(4, chunksize=2, hedge=EAGER)
    _launch(fan_out, 1)
    batch = fan_out.flights[1].batch
    fan_out.launched(2, batch, copy_of=1)
    fan_out.launched(3, batch.part(1, 2), copy_of=1)
    found = fan_out.cancel(1)
    assert found is not None
    lost = {(flight, place) for flight, place in [found, *fan_out.losers()]}
    assert lost == {(1, 1), (2, 1), (3, None)}
    assert fan_out.in_flight == 2
    assert 3 not in fan_out.flights


def test_the_first_answer_counts() -> None:
    fan_out = _fan_out(3, chunksize=3, hedge=EAGER)
    _launch(fan_out, 1)
    fan_out.launched(2, fan_out.flights[1].batch, copy_of=1)
    assert [block.values for block in fan_out.succeeded(1, [0], ["first"], None)] == [["first"]]
    assert fan_out.losers() == [(2, 0)]
    values = ["again", "first", "first"]
    assert [block.values for block in fan_out.succeeded(2, range(3), values, None)] == [values[1:]]
    assert fan_out.losers() == [(1, 1), (1, None)]
    assert fan_out.copies_won == 2
    assert fan_out.finished == 3
    assert fan_out.succeeded(1, range(1, 3), ["late", "late"], None) == []
    assert fan_out.done
    assert fan_out.copied == 3
    assert fan_out.attempts == 6


def test_a_copy_that_fails_says_nothing_while_another_runs() -> None:
    fan_out = _fan_out(1, hedge=EAGER, retry=Retry())
    _launch(fan_out, 1)
    fan_out.launched(2, fan_out.flights[1].batch, copy_of=1)
    assert _fail(fan_out, 2, retryable=True) is None
    assert fan_out.budget.left == 10.0
    assert _fail(fan_out, 1, retryable=True) == []
    assert fan_out.budget.left == 9.0
    assert fan_out.repeated == 1


def test_copies_of_what_ends_its_workers_run_out() -> None:
    """Each ends its worker; the last one that did is taken apart."""
    fan_out = _fan_out(2, chunksize=2, hedge=EAGER)
    _launch(fan_out, 1)
    flight, now = 1, 0.0
    assert fan_out._late is not None
    for _ in range(1000):  # it has seen a lot
        fan_out._late.speed._run.add(0.1)
    for _ in range(20):
        now += 1000.0
        fan_out.look(now)
        found = fan_out.copy(now)
        if found is None:
            break
        flight += 1
        fan_out.launched(flight, found[1], now, copy_of=found[0])
        fan_out.returned(flight, None, alone=True)
    assert flight == EAGER.copies
    fan_out.returned(1, None, alone=True)
    assert [_launch(fan_out, 50), _launch(fan_out, 51)] == [[0], [1]]


# how many go together


def test_waiting_for_the_store_is_no_work() -> None:
    """It takes the results of many calls in the time of one, so many go together."""
    chunks: list[int] = []
    for stored in (0.0, 0.03):
        fan_out = FanOut(Pace())
        fan_out.offer(range(1000))
        for flight in range(1, 6):
            batch = fan_out.take(0.0)
            assert batch is not None
            calls = len(batch.inputs)
            fan_out.launched(flight, batch)
            fan_out.ran(flight, calls, 0.03 + 1e-4 * calls, 8 * calls, stored=stored)
            fan_out.succeeded(flight, range(calls), [0] * calls, None)
        chunks.append(fan_out.chunk())
    assert chunks[0] == 1
    assert chunks[1] >= 10


def test_pieces_get_smaller_near_the_end() -> None:
    """So that no lane is left with much when the others are idle."""
    fan_out = FanOut(Pace(), lanes=4)
    for _ in range(5):
        fan_out.pace.ran(1000, 1e-3, 0)
    fan_out.offer(range(400))
    assert fan_out.chunk() > 400
    fan_out.end_input()
    sizes: list[int] = []
    while indices := _launch(fan_out, len(sizes)):
        sizes.append(len(indices))
    assert sizes[0] == 50
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-7:] == [1] * 7
    assert sum(sizes) == 400


@pytest.mark.parametrize("positions", [[2, 0, 1], range(3)])
def test_answers_in_any_order(positions: Sequence[int]) -> None:
    """Coroutine calls end as they will; each value is its own call's."""
    fan_out = _fan_out(3, chunksize=3)
    _launch(fan_out, 1)
    values: dict[int, str] = {}
    for block in fan_out.succeeded(1, positions, [f"of {place}" for place in positions], None):
        values |= dict(enumerate(block.values, block.first))
    assert values == {0: "of 0", 1: "of 1", 2: "of 2"}
    assert fan_out.done
