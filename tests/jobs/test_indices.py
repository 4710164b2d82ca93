"""Sets of indices behave as sets do."""

from hypothesis import given
from hypothesis import strategies as st

from asyncfabric.jobs._indices import Indices


@given(st.lists(st.integers(0, 30)))
def test_it_is_a_set(members: list[int]) -> None:
    indices, plain = Indices(), set[int]()
    for member in members:
        assert indices.add(member) is (member not in plain)
        plain.add(member)
        assert len(indices) == len(plain)
    assert list(indices) == sorted(plain)
    assert [index in indices for index in range(32)] == [index in plain for index in range(32)]
    assert indices.end == max(plain, default=-1) + 1
    for start in range(32):
        assert indices.first_missing(start) == min(set(range(start, 64)) - plain)
