"""The values codec: each value alone, large buffers beside the pickle."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric_runtime._values import (
    PICKLED,
    PLAIN,
    RAW,
    SEGMENT_BYTES,
    SEGMENTED,
    TooLargeError,
    all_plain,
    decode_value,
    dump,
    encode_value,
    is_plain,
)
from asyncfabric_runtime._wire import dump_head, load_head

atoms = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary()
)

if TYPE_CHECKING:
    from asyncfabric_storage._buffers import Buffer
values = st.recursive(
    atoms | st.complex_numbers() | st.fractions() | st.dates() | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
        | st.frozensets(st.integers() | st.text(max_size=3), max_size=4)
    ),
    max_leaves=10,
)


def _sent(value: Any) -> Any:
    segments: list[Buffer] = []
    kind, body = encode_value(value, segments)
    arrived = [memoryview(bytearray(segment)) for segment in segments]
    return decode_value(kind, load_head(dump_head(body)), arrived)


def _alike(one: Any, other: Any) -> bool:
    """Equal, of equal types all the way down, NaN included."""
    return type(one) is type(other) and (repr(one) == repr(other) if one != other else True)


@given(values)
def test_round_trip(value: Any) -> None:
    assert _alike(value, _sent(value))


@given(atoms | st.lists(atoms).map(tuple))
def test_plain_values_stand_in_the_head(value: Any) -> None:
    segments: list[Buffer] = []
    assert is_plain(value)
    assert encode_value(value, segments) == (PLAIN, value) or value != value  # noqa: PLR0124 - NaN
    assert segments == []
    assert _alike(value, _sent(value))


@given(st.lists(atoms | values, max_size=6))
def test_all_plain_is_each_plain(many: list[Any]) -> None:
    """The quick answer for a whole sequence may be "no" too often, but never "yes"."""
    if all_plain(many):
        assert all(map(is_plain, many))
    if not any(isinstance(value, tuple) for value in many):
        assert all_plain(many) == all(map(is_plain, many))


class _Number(int):
    pass


@pytest.mark.parametrize(
    "value", [_Number(3), [1], {"a": 1}, ((1,),), (1, [2]), bytearray(b"x"), 1j]
)
def test_subclasses_and_mutable_values_are_not_plain(value: Any) -> None:
    assert not is_plain(value)
    assert not all_plain([value])
    assert not all_plain([value, value])
    assert _alike(value, _sent(value))


def test_sizes_at_the_limit() -> None:
    small, large = b"x" * (SEGMENT_BYTES - 1), b"x" * SEGMENT_BYTES
    segments: list[Buffer] = []
    assert encode_value(small, segments)[0] == PLAIN
    assert encode_value(large, segments) == (RAW, 0)
    assert segments[0] is large
    assert not all_plain([1.5, "x" * SEGMENT_BYTES])
    assert not all_plain([(1, large)])
    assert encode_value("x" * SEGMENT_BYTES, segments)[0] == SEGMENTED
    assert type(_sent(large)) is bytes


def test_calls_share_no_mutable_object() -> None:
    shared = [1]
    segments: list[Buffer] = []
    first, second = (encode_value(shared, segments) for _ in range(2))
    assert first[0] == PICKLED
    one, other = decode_value(*first, []), decode_value(*second, [])
    one.append(2)
    assert other == [1]


def test_arrays_leave_uncopied_and_arrive_writable() -> None:
    array = np.arange(SEGMENT_BYTES, dtype=np.uint8)
    segments: list[Any] = []
    kind, body = encode_value({"array": array}, segments)
    assert kind == SEGMENTED
    assert any(np.shares_memory(array, np.frombuffer(each, np.uint8)) for each in segments)
    frame = [memoryview(bytearray(segment)) for segment in segments]
    back = decode_value(kind, body, frame)["array"]
    assert np.array_equal(back, array)
    back[0] = 9
    assert array[0] == 0
    assert any(np.shares_memory(back, np.frombuffer(each, np.uint8)) for each in frame)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((300, 300)).T,
        np.zeros((300, 300, 3))[::2],
        np.zeros(0),
        np.array(1.5),
        np.arange(3),
        np.array(["a", None], dtype=object),
    ],
)
def test_arrays_of_every_layout(array: np.ndarray[Any, Any]) -> None:
    back = _sent(array)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def test_too_large() -> None:
    with pytest.raises(TooLargeError):
        dump(["x" * 50] * 3 + [str(number) for number in range(1000)], 1000)
    data, buffers = dump(np.zeros(1 << 20), 1000)
    assert len(data) < 1000
    assert sum(buffer.nbytes for buffer in buffers) == 8 << 20
    with pytest.raises(TooLargeError):
        encode_value(list(range(1000)), [], 100)


def test_special_floats() -> None:
    assert math.copysign(1, _sent(-0.0)) == -1
    assert math.isnan(_sent(math.nan))


def test_a_tuple_of_immutables_is_taken_apart() -> None:
    large = b"x" * SEGMENT_BYTES
    value = (1, large, "text", large)
    segments: list[Any] = []
    kind, body = encode_value(value, segments)
    assert [part is large for part in segments] == [True, True]  # uncopied, and not pickled
    back = decode_value(kind, body, [memoryview(part) for part in segments])
    assert back == value
    assert list(map(type, back)) == [int, bytes, str, bytes]


def test_a_tuple_with_a_mutable_member_keeps_what_its_members_share() -> None:
    shared = [1, 2]
    segments: list[Any] = []
    kind, body = encode_value((shared, b"x" * SEGMENT_BYTES, shared), segments)
    first, _, third = decode_value(kind, body, [memoryview(part) for part in segments])
    assert first is third
