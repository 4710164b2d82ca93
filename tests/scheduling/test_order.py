"""In which order blocks are delivered, also after calls are run anew."""

from hypothesis import given
from hypothesis import strategies as st

from asyncfabric.scheduling import Block, InOrder
from asyncfabric.scheduling._order import AsCompleted


def _block(first: int, count: int = 1) -> Block:
    return Block(first, [None] * count, [None] * count)


def _error(index: int) -> Block:
    return Block(index, (None,), [], ValueError(index))


def _firsts(blocks: list[Block]) -> list[int]:
    return [block.first for block in blocks]


@given(
    st.lists(st.integers(1, 4), max_size=12).flatmap(
        lambda sizes: st.tuples(st.just(sizes), st.permutations(range(len(sizes))))
    )
)
def test_blocks_come_in_order_whatever_their_order(case: tuple[list[int], list[int]]) -> None:
    sizes, arrival = case
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    order = InOrder()
    out: list[int] = []
    for place in arrival:
        out += _firsts(order.add(_block(starts[place], sizes[place])))
        waiting = _firsts(order.waiting())
        assert waiting == sorted(waiting)
        assert out == starts[: len(out)]
    assert out == starts
    assert order.waiting() == []


def test_one_failure_is_run_anew_and_what_was_taken_is_skipped() -> None:
    order = InOrder()
    for block in (_block(0, 5), _error(5), _block(6, 2), _error(8), _block(9)):
        assert order.add(block) == [block]
    assert order.rewind([], [5, 8]) == []
    eighth, fifth, tenth = _block(8), _block(5), _block(10)
    assert order.add(tenth) == []
    assert order.add(eighth) == []
    assert order.add(fifth) == [fifth, eighth, tenth]


def test_blocks_that_were_not_taken_wait_for_the_failure_before_them() -> None:
    order = InOrder()
    early = _block(12)
    order.add(_block(0, 5))
    order.add(_error(5))
    untaken = _block(6, 4)
    order.add(untaken)
    order.add(early)
    assert order.rewind([untaken], [5, 10, 11]) == []
    fifth = _block(5)
    assert order.add(fifth) == [fifth, untaken]
    rest = _block(10, 2)
    assert order.add(rest) == [rest, early]


def test_blocks_before_what_runs_anew_are_delivered_again_at_once() -> None:
    order = InOrder()
    untaken = [_block(0, 2), _block(2, 3)]
    for block in untaken:
        order.add(block)
    assert order.rewind(untaken, [7]) == untaken


def test_an_error_that_was_not_taken_is_forgotten() -> None:
    order = InOrder()
    first, waiting = _error(0), _error(4)
    order.add(first)
    order.add(_block(1, 2))
    order.add(waiting)
    assert order.rewind([first], [0, 3, 4]) == []
    assert order.waiting() == []
    zero, three, four = _block(0), _block(3), _block(4)
    assert order.add(zero) == [zero]
    assert order.add(three) == [three]
    assert order.add(four) == [four]


def test_a_second_rewind_before_the_first_is_caught_up() -> None:
    order = InOrder()
    for block in (_error(0), _block(1), _error(2), _block(3), _error(4), _block(5)):
        order.add(block)
    order.rewind([], [0, 2, 4])
    zero = _block(0)
    assert order.add(zero) == [zero]
    assert order.rewind([], [2, 4]) == []
    four, two, six = _block(4), _block(2), _block(6)
    assert order.add(six) == []
    assert order.add(four) == []
    assert order.add(two) == [two, four, six]


def test_as_completed() -> None:
    order = AsCompleted()
    block, error = _block(7), _error(3)
    assert order.add(block) == [block]
    assert order.add(error) == [error]
    assert order.waiting() == []
    assert order.rewind([block, error], [3]) == [block]
