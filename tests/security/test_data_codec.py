"""Values as data: they come back as they were, and what is no data is neither sent nor read."""

import contextlib
import datetime as dt
import decimal
import enum
import json
import math
import uuid
from collections import OrderedDict
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from asyncfabric import Ref
from asyncfabric_runtime._data import (
    DATA,
    DATA_PARTS,
    MAX_DEPTH,
    NotDataError,
    encode_data,
    pack_data,
)
from asyncfabric_runtime._data_reading import BadDataError, DataReader, decode_data, unpack_data
from asyncfabric_runtime._packing import pack_object, unpack_object
from asyncfabric_runtime._ref import refs_of
from asyncfabric_runtime._values import PICKLED, RAW, SEGMENTED, TUPLE
from tests.security.gadgets import no_pickles


class Pair(NamedTuple):
    a: int
    b: int


class Colour(enum.IntEnum):
    RED = 1


class Text(str):  # noqa: SLOT000 - as users write them
    pass


atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    st.characters(categories=["Cs"]),
    st.binary(),
    st.datetimes(timezones=st.sampled_from([None, dt.UTC])),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(),
    st.uuids(),
)
keys = st.one_of(st.text(), st.integers(), st.none(), st.binary(), st.tuples(st.text()))
values = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.sets(keys),
        st.frozensets(keys),
        st.dictionaries(keys, inner),
        st.dictionaries(st.just("$"), inner),
        st.binary().map(bytearray),
    ),
    max_leaves=20,
)


def _arrays(kind: Any) -> Any:
    return hnp.arrays(np.dtype(kind), hnp.array_shapes(min_dims=0, min_side=0))


arrays = st.sampled_from(
    [np.bool_, "<i2", ">i4", "<u8", "<f2", ">f8", "<c16", "<U3", "S4", "<M8[ns]", "<m8[D]"]
).flatmap(_arrays)


def back(value: object) -> Any:
    """Carry a value there and back, both ways, with no pickle."""
    with no_pickles():
        segments: list[Any] = []
        kind, body = encode_data(value, segments)
        whole = b"".join(bytes(memoryview(piece)) for piece in pack_data(value))
        stored = unpack_data(whole)
        carried = decode_data(kind, body, segments)
    assert same(stored, carried)
    return carried


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are alike, types and all; NaN is like NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))  # pyright: ignore[reportUnknownArgumentType]
    if type(one).__module__ == "numpy":
        return bool((one.dtype, one.shape) == (other.dtype, other.shape)) and bool(
            one.tobytes() == other.tobytes()
        )
    if isinstance(one, int):
        return bool(one == other)
    return repr(one) == repr(other) or bool(one == other)


@given(values)
@settings(max_examples=300, deadline=None)
def test_values_come_back_as_they_were(value: object) -> None:
    assert same(value, back(value))


@given(arrays)
@settings(deadline=None)
def test_arrays_come_back_as_they_were(array: Any) -> None:
    assert same(array, back(array))
    turned = array.T  # not in C order
    assert same([array, turned], back([array, turned]))
    if array.size:
        scalar = array.reshape(-1)[0]
        assert same(scalar, back(scalar))


def test_the_empty_and_the_huge() -> None:
    empty: list[Any] = [[], (), {}, set(), b"", "", np.zeros((0, 3)), np.str_("")]
    for value in [*empty, 10**5000, -(10**5000), [10**5000, 1], math.inf]:
        assert same(value, back(value))
    large = np.zeros((300, 1000))
    assert same(large, back({"a": large, "b": b"x" * 100_000})["a"])


def test_large_buffers_are_not_copied() -> None:
    array = np.arange(100_000)
    segments: list[Any] = []
    encode_data([array], segments)
    assert np.shares_memory(np.frombuffer(segments[1], np.int64), array)


MASKED: Any = np.ma.masked_array([1])


class Own:
    def __repr__(self) -> str:
        return "canary"


NO_DATA: list[tuple[Any, str]] = [
    (object(), "it is a object"),
    ([1, {"k": Own()}], r"it\[1\]\[...\] is a tests.security.test_data_codec.Own"),
    (Pair(1, 2), "Pair"),
    (Colour.RED, "Colour"),
    (Text("x"), "Text"),
    (OrderedDict(a=1), "OrderedDict"),
    ({1: {2: len}}, "builtin_function_or_method"),
    (np.array([object()]), "array of object"),
    (np.zeros(2, [("a", "i4")]), "dict of such arrays"),
    (MASKED, "MaskedArray"),
    (memoryview(b"x"), "memoryview"),
    (ValueError("canary"), "ValueError"),
    (dt.datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), "in UTC"),
    ({Own(): 1}, "a key of it is a "),
]


@pytest.mark.parametrize(("value", "said"), NO_DATA)
def test_what_is_no_data_is_named_and_not_shown(value: object, said: str) -> None:
    with pytest.raises(NotDataError, match=said) as caught:
        encode_data(value, [])
    assert "canary" not in str(caught.value)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_nesting_is_limited_alike_at_both_ends() -> None:
    assert back(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = {1: deep}
    assert same(deep, back(deep))
    with pytest.raises(NotDataError, match="nested more than"):
        encode_data(nested(MAX_DEPTH + 1), [])
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(NotDataError, match="nested more than"):
        encode_data(loop, [])


def text(node: Any) -> bytes:
    return json.dumps(node).encode()


HOSTILE: list[tuple[int, Any]] = [
    (PICKLED, b"x"),
    (SEGMENTED, (0, 1)),
    (TUPLE, []),
    (99, b""),
    (RAW, 7),
    (RAW, -1),
    (RAW, "x"),
    (DATA_PARTS, (0, 0)),
    (DATA_PARTS, (0, 9)),
    (DATA_PARTS, (-1, 1)),
    (DATA_PARTS, 5),
    (DATA, 5),
    (DATA, b""),
    (DATA, b"\xff"),
    (DATA, b"[" * 100_000),
    (DATA, text(nested(MAX_DEPTH + 1))),
    (DATA, text({"$": "os.system", "v": "true"})),
    (DATA, text({"$": "tuple"})),
    (DATA, text({"$": "tuple", "v": [], "more": 1})),
    (DATA, text({"$": "tuple", "v": "abc"})),
    (DATA, text({"$": None})),
    (DATA, text({"$": ["tuple"], "v": []})),
    (DATA, text({"$": "set", "v": [[]]})),
    (DATA, text({"$": "dict", "v": [[1]]})),
    (DATA, text({"$": "dict", "v": [[[], 1]]})),
    (DATA, text({"$": "bytes", "v": 0})),
    (DATA, text({"$": "ref", "v": ["0" * 64, 5]})),
    (DATA, text({"$": "int", "v": 5})),
    (DATA, text({"$": "Decimal", "v": [0, [1], 2]})),
    (DATA, text({"$": "datetime", "v": "canary"})),
    (DATA, text({"$": "timedelta", "v": [1e300, 0, 0]})),
    (DATA, b'{"$": "UUID", "v": 1}'),
    (DATA, b"1" * 5000),
]


@pytest.mark.parametrize(("kind", "body"), HOSTILE)
def test_what_was_never_written_is_refused(kind: int, body: object) -> None:
    with no_pickles(), pytest.raises(BadDataError) as caught:
        decode_data(kind, body, [memoryview(b"{}")])
    assert "canary" not in str(caught.value)


@given(st.binary())
@settings(deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadDataError):
        decode_data(DATA, data, [])
    with contextlib.suppress(BadDataError):
        unpack_data(data)


@given(st.recursive(
    st.none() | st.integers() | st.text() | st.sampled_from(["array", "bytes", "<f8", "O", "ref"]),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["$", "v", "t", "s", "x"]), inner
    ),
))  # fmt: skip
@settings(deadline=None)
def test_any_nodes_are_read_or_refused(node: object) -> None:
    parts = [memoryview(text(node)), memoryview(b"12345678"), memoryview(b"")]
    with contextlib.suppress(BadDataError):
        decode_data(DATA_PARTS, (0, 3), parts)


def array(**other: Any) -> dict[str, Any]:
    return {"$": "array", "v": 0, "t": "<f8", "s": [1], **other}


@pytest.mark.parametrize(
    "node",
    [
        array(t="|O"),
        array(t="O8"),
        array(t="<f8,<f8"),
        array(t=["a", "<f8"]),
        array(t="<U0"),
        array(t="V0", s=[10**18]),
        array(t="f9"),
        array(s=[2]),
        array(s=[-1]),
        array(s=[10**30]),
        array(s=[1.0]),
        array(s="1"),
        array(v=1),
        array(s=None, t="<f4"),
        [array(), array()],
        [],
    ],
)
def test_arrays_are_what_their_bytes_are(node: object) -> None:
    """None reads beyond its buffer, uses another's, or stands for more memory than came."""
    with no_pickles(), pytest.raises(BadDataError):
        decode_data(DATA_PARTS, (0, 2), [memoryview(text(node)), memoryview(b"12345678")])


def test_a_part_stands_for_one_value_only() -> None:
    """Else a reply of 4 MB could be a thousand results of 4 MB each."""
    segments = [memoryview(b"x" * 10)]
    reader = DataReader(segments)
    assert reader.read(RAW, 0) == b"x" * 10
    with pytest.raises(BadDataError):
        reader.read(RAW, 0)


def test_refs_are_of_the_store_that_is_known() -> None:
    ref: Ref[Any] = Ref("a" * 64, 10, "s3://theirs")
    segments: list[Any] = []
    kind, body = encode_data([ref], segments)
    assert b"theirs" not in body
    (found,) = decode_data(kind, body, segments, refs_of("s3://ours"))
    assert (found.digest, found.size, found.store_url) == (ref.digest, 10, "s3://ours")


def test_stored_objects_say_what_they_are() -> None:
    pickled = b"".join(map(bytes, pack_object({1, 2})))
    written = b"".join(bytes(memoryview(piece)) for piece in pack_data({1, 2}))
    assert unpack_object(pickled) == unpack_object(written) == {1, 2}
    with no_pickles():
        assert unpack_object(written, as_data=True) == {1, 2}
        with pytest.raises(BadDataError, match="a pickle"):
            unpack_object(pickled, as_data=True)


def test_exact_types_of_the_library_only() -> None:
    for value in (decimal.Decimal("1.50"), uuid.UUID(int=5), dt.timedelta(1, 2, 3)):
        assert same(value, back(value))
