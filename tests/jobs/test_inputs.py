"""Inputs that are read again must be the same, in whatever pieces they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric import ConfigurationError
from asyncfabric.jobs import _inputs
from asyncfabric.jobs._inputs import bounds
from asyncfabric_storage import MemoryStore
from tests.jobs.programs import attempt, keys_of, opened, run_call, subject
from tests.jobs.stepping import at_once


@pytest.fixture(autouse=True, scope="module")
def _short_segments() -> object:
    patch = pytest.MonkeyPatch()
    patch.setattr(_inputs, "FIRST_SEGMENT", 2)
    patch.setattr(_inputs, "LARGEST_SEGMENT", 8)
    yield
    patch.undo()


def test_segments_follow_upon_each_other() -> None:
    stop = 0
    for number in range(20):
        held = bounds(number)
        assert held.start == stop
        assert len(held) == min(2 << number, 8)
        stop = held.stop


async def _read(
    store: MemoryStore, values: list[int], sizes: list[int], *, end: bool = True
) -> int:
    """Read inputs as a driver does, in pieces of these sizes; return how many were taken."""
    job = await opened(store)
    left = [subject(value) for value in values]
    for size in [*sizes, len(left)]:
        part, left = left[:size], left[size:]
        if part:
            await job.inputs.add(part)
    assert job.inputs.count == len(values)
    if end:
        assert await job.inputs.end() == len(values)
    return job.inputs.count


pieces = st.lists(st.integers(0, 9), max_size=6)


@given(st.integers(0, 40), st.integers(0, 40), pieces, pieces, st.booleans())
def test_the_same_inputs_are_the_same_job(
    first: int, more: int, sizes: list[int], others: list[int], end: bool
) -> None:
    store = MemoryStore()
    values = list(range(first + more))
    # The first program reads some and dies, or all and ends.
    at_once(_read(store, values if end else values[:first], sizes, end=end))
    for _ in range(2):
        at_once(_read(store, values, others))


@given(st.integers(1, 40), st.data(), pieces, pieces)
def test_a_changed_input_is_named(
    count: int, data: st.DataObject, sizes: list[int], others: list[int]
) -> None:
    store = MemoryStore()
    values = list(range(count))
    at_once(_read(store, values, sizes))
    at = data.draw(st.integers(0, count - 1))
    values[at] = -1
    with pytest.raises(ConfigurationError, match=f"input {at} is another one"):
        at_once(_read(store, values, others))


@given(st.integers(0, 40), st.integers(1, 20), pieces, pieces)
def test_more_or_fewer_inputs_are_refused(
    count: int, more: int, sizes: list[int], others: list[int]
) -> None:
    store = MemoryStore()
    at_once(_read(store, list(range(count)), sizes))
    with pytest.raises(ConfigurationError, match=f"there were {count} of them.*discard prices"):
        at_once(_read(store, list(range(count + more)), others))
    fewer = max(0, count - more)
    if fewer < count:
        with pytest.raises(ConfigurationError, match=f"there were {count}.*now there are {fewer}"):
            at_once(_read(store, list(range(fewer)), others))


def test_of_an_endless_input_the_whole_segments_are_remembered() -> None:
    store = MemoryStore()
    at_once(_read(store, list(range(27)), [], end=False))
    names = [key.rpartition("/")[2] for key in at_once(keys_of(store)) if "/inputs/" in key]
    assert names == ["00000000", "00000001", "00000002", "00000003"]  # 2, 4, 8, 8: 22 inputs
    changed = list(range(27))
    changed[24] = -1
    at_once(_read(store, changed, [], end=False))  # not remembered; its result would tell
    changed[21] = -1
    with pytest.raises(ConfigurationError, match="input 21 is"):
        at_once(_read(store, changed, [], end=False))


def test_two_drivers_at_once() -> None:
    store = MemoryStore()
    values = [subject(value) for value in range(20)]
    jobs = [at_once(opened(store)) for _ in range(2)]
    for at in range(0, 20, 3):
        for job in jobs:
            at_once(job.inputs.add(values[at : at + 3]))
    assert [at_once(job.inputs.end()) for job in jobs] == [20, 20]
    other = at_once(opened(MemoryStore()))
    assert other.inputs.count == 0


def test_two_drivers_at_once_with_different_inputs() -> None:
    store = MemoryStore()
    one, two = (at_once(opened(store)) for _ in range(2))
    at_once(one.inputs.add([subject(value) for value in range(3)]))
    with pytest.raises(ConfigurationError, match="input 1 is another one"):
        at_once(two.inputs.add([subject(value) for value in (0, 5, 2)]))


def test_fewer_inputs_than_an_earlier_driver_has_read() -> None:
    store = MemoryStore()
    at_once(_read(store, list(range(7)), [], end=False))  # 6 of them in whole segments
    with pytest.raises(ConfigurationError, match="at least 6 of them, and now there are 5"):
        at_once(_read(store, list(range(5)), []))
    at_once(_read(store, list(range(6)), []))


def test_fewer_inputs_than_have_a_result() -> None:
    store = MemoryStore()
    job = at_once(opened(store))
    at_once(run_call(store, attempt(job, 8, 8)))
    with pytest.raises(ConfigurationError, match="at least 9 of them, and now there are 8"):
        at_once(_read(store, list(range(8)), []))
    at_once(_read(store, list(range(9)), []))
