"""Calls that wait: the order in which they leave, and what it costs to keep them."""

import gc
import weakref
from dataclasses import replace

import pytest

from asyncfabric.scheduling._batch import Batch, merged
from asyncfabric.scheduling._queue import Queue


def _queue(count: int) -> Queue:
    queue = Queue()
    queue.offer([str(index) for index in range(count)])
    return queue


def _take(queue: Queue, most: int, before: int | None = None, now: float = 0.0) -> list[int] | None:
    batch = queue.take(now, most, before)
    if batch is None:
        return None
    assert batch.inputs == [str(index) for index in batch.indices]
    return list(batch.indices)


def test_fresh_calls_leave_in_slices() -> None:
    queue = _queue(5)
    queue.offer_one("5")
    queue.offer(["6", "7"])
    batch = queue.take(0.0, 4)
    assert batch == Batch(range(4), ["0", "1", "2", "3"], 1)
    queue.offer(["8"])
    assert _take(queue, 100) == [4, 5, 6, 7, 8]
    assert _take(queue, 1) is None
    assert len(queue) == queue.ready == 0
    assert queue.read == 9


def test_an_input_that_left_is_not_kept() -> None:
    class Input:
        pass

    queue = Queue()
    inputs = [Input() for _ in range(8)]
    references = [weakref.ref(each) for each in inputs]
    queue.offer(inputs)
    inputs.clear()
    for _ in range(4):
        assert queue.take(0.0, 1) is not None
    gc.collect()
    assert [reference() is None for reference in references] == [True] * 4 + [False] * 4


def test_what_came_back_leaves_first_and_in_order() -> None:
    queue = _queue(12)
    first, second, third = (queue.take(0.0, 3) for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    queue.give_back(third)
    queue.give_back(first.pick([0, 2]))
    queue.give_back(second)
    assert _take(queue, 4) == [0, 2, 3, 4]
    assert _take(queue, 3) == [5, 6, 7]
    assert _take(queue, 3) == [8]
    assert _take(queue, 9) == [9, 10, 11]


def test_a_batch_that_came_back_whole_leaves_as_it_was() -> None:
    """Nothing is done for each of its calls."""
    queue = _queue(1000)
    batch = queue.take(0.0, 1000)
    assert batch is not None
    queue.give_back(batch)
    assert queue.take(0.0, 1000) is batch
    queue.give_back(batch)
    part = queue.take(0.0, 600)
    assert part is not None
    assert part.indices == range(600)
    assert _take(queue, 600) == list(range(600, 1000))


def test_batches_that_interleave() -> None:
    queue = _queue(6)
    batch = queue.take(0.0, 6)
    assert batch is not None
    queue.give_back(replace(batch.pick([1, 3, 5]), attempts=2))
    queue.give_back(batch.pick([0, 2, 4]))
    left = queue.take(0.0, 6)
    assert left == Batch([0, 1, 2, 3, 4, 5], ["0", "1", "2", "3", "4", "5"], [1, 2, 1, 2, 1, 2])


def test_only_calls_below_an_index() -> None:
    queue = _queue(10)
    batch = queue.take(0.0, 6)
    assert batch is not None
    queue.give_back(batch)
    assert _take(queue, 9, before=4) == [0, 1, 2, 3]
    assert _take(queue, 9, before=4) is None
    assert _take(queue, 9, before=5) == [4]
    assert _take(queue, 9) == [5]
    assert _take(queue, 9, before=8) == [6, 7]
    assert _take(queue, 9, before=8) is None


def test_delayed_calls_wait_until_they_are_due() -> None:
    queue = Queue()
    queue.offer(["0", "1"])
    for index, due in ((0, 5.0), (1, 2.0)):
        call = queue.take(0.0, 1)
        assert call is not None
        assert call.indices[0] == index
        queue.delay(due, call)
    assert queue.next_due == 2.0
    assert (len(queue), queue.ready) == (2, 0)
    assert _take(queue, 9, now=1.9) is None
    assert _take(queue, 9, now=2.0) == [1]
    assert queue.next_due == 5.0
    assert _take(queue, 9, now=9.0) == [0]
    assert queue.next_due is None


def test_a_call_that_goes_alone() -> None:
    queue = _queue(4)
    batch = queue.take(0.0, 4)
    assert batch is not None
    queue.give_back(batch.pick([0]))
    queue.give_back(replace(batch.pick([1]), alone=True))
    queue.give_back(batch.pick([2, 3]))
    assert _take(queue, 9) == [0]
    assert _take(queue, 9) == [1]
    assert _take(queue, 9) == [2, 3]


@pytest.mark.parametrize("most", [1, 3, 5000])
def test_thousands_of_dropped_calls(most: int) -> None:
    """They cost no recursion, and the queue is empty as soon as all are dropped."""
    queue = _queue(5000)
    for index in range(4999):
        queue.drop(index)
    assert (len(queue), queue.ready) == (1, 1)
    assert _take(queue, most) == [4999]
    assert len(queue) == 0


def test_a_queue_of_dropped_calls_is_empty_at_once() -> None:
    queue = _queue(4)
    batch = queue.take(0.0, 3)
    assert batch is not None
    queue.give_back(batch.pick([0, 1]))
    queue.delay(9.0, batch.pick([2]))
    for index in (1, 3, 2):
        queue.drop(index)
    assert len(queue) == 1
    assert queue.next_due == 9.0
    queue.drop(0)
    assert not queue
    assert queue.next_due is None
    queue.offer_one("4")
    assert _take(queue, 9) == [4]


def test_emptied_for_a_stop() -> None:
    queue = _queue(9)
    batch = queue.take(0.0, 6)
    assert batch is not None
    queue.give_back(batch.part(0, 4))
    assert _take(queue, 1) == [0]
    queue.delay(9.0, batch.pick([4]))
    queue.drop(2)
    queue.drop(8)
    batches = queue.empty()
    assert sorted(index for each in batches for index in each.indices) == [1, 3, 4, 6, 7]
    assert not queue
    assert queue.read == 9


def test_parts_of_a_batch() -> None:
    batch = Batch(range(10, 14), ["a", "b", "c", "d"], [1, 2, 1, 3])
    assert batch.part(0, 4) is batch
    assert batch.part(1, 3) == Batch(range(11, 13), ["b", "c"], [2, 1])
    assert batch.pick([1, 2]) == batch.part(1, 3)
    assert batch.pick([0, 3]) == Batch([10, 13], ["a", "d"], [1, 3])
    assert batch.call(3) == (13, "d", 3)
    assert merged([batch.part(0, 1), batch.part(3, 4)]).attempts == [1, 3]
    assert merged([batch.part(0, 1), batch.part(2, 3)]) == Batch([10, 12], ["a", "c"], [1, 1])
