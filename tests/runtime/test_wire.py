"""Frames: what is written is read, and nothing else is."""

import pickle
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric_runtime._wire import (
    INVOKE,
    KINDS,
    OUTCOME,
    PREFIX,
    WIRE_VERSION,
    WireError,
    dump_head,
    load_head,
    pack,
    parse_prefix,
    split,
)
from tests.runtime.helpers import frame_bytes, read_frame

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
    ),
    max_leaves=20,
)


@given(st.sampled_from(sorted(KINDS)), plain, st.lists(st.binary(max_size=200), max_size=5))
def test_round_trip(kind: int, head: Any, segments: list[bytes]) -> None:
    found, (first, *rest) = read_frame(frame_bytes(pack(kind, head, segments)))
    assert found == kind
    assert load_head(first) == head
    assert [bytes(segment) for segment in rest] == segments


def test_large_segments_are_not_copied() -> None:
    data = bytearray(1 << 20)
    frame = pack(INVOKE, (), [data])
    assert frame[1] is data


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    """Whatever the bytes: read as a frame or refused with a WireError, and with nothing else."""
    data = bytearray(noise.ljust(PREFIX.size, b"\0"))
    try:
        kind, count, size = parse_prefix(data[: PREFIX.size])
    except WireError:
        return
    assert kind in KINDS
    assert 8 * count <= size


@given(plain, st.lists(st.binary(max_size=50), max_size=3), st.data())
def test_damaged_frames_are_refused(head: Any, segments: list[bytes], data: st.DataObject) -> None:
    frame = frame_bytes(pack(OUTCOME, head, segments))
    place = data.draw(st.integers(0, len(frame) - 1))
    frame[place] ^= data.draw(st.integers(1, 255))
    try:
        kind, count, size = parse_prefix(frame[: PREFIX.size])
        body = memoryview(frame)[PREFIX.size :]
        if size != len(body):
            return  # the reader would wait for more, or find the next prefix in the wrong place
        first, *_ = split(body, count)
        load_head(first)
    except WireError:
        return
    assert kind in KINDS


@given(plain, st.data())
def test_truncated_heads_are_refused(head: Any, data: st.DataObject) -> None:
    whole = dump_head(head)
    with pytest.raises(WireError):
        load_head(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize(
    ("prefix", "says"),
    [
        ((b"HT", WIRE_VERSION, INVOKE, 1, 100), "not an asyncfabric stream"),
        ((b"AF", WIRE_VERSION + 1, INVOKE, 1, 100), "same asyncfabric release"),
        ((b"AF", 0, INVOKE, 1, 100), "wire version 0"),
        ((b"AF", WIRE_VERSION, 0, 1, 100), "kind 0"),
        ((b"AF", WIRE_VERSION, 200, 1, 100), "kind 200"),
        ((b"AF", WIRE_VERSION, INVOKE, 0, 100), "0 segments"),
        ((b"AF", WIRE_VERSION, INVOKE, 2**32 - 1, 2**36), "segments"),
        ((b"AF", WIRE_VERSION, INVOKE, 100, 799), "799 bytes"),
        ((b"AF", WIRE_VERSION, INVOKE, 1, 2**63), "bytes"),
    ],
)
def test_prefixes_that_make_no_sense(prefix: tuple[bytes, int, int, int, int], says: str) -> None:
    with pytest.raises(WireError, match=says):
        parse_prefix(PREFIX.pack(*prefix))


@pytest.mark.parametrize("lengths", [(2**64 - 1,), (0,), (5,), (2**63, 2**63), (1, 2, 3)])
def test_tables_that_do_not_add_up(lengths: tuple[int, ...]) -> None:
    body = struct.pack(f"!{len(lengths)}Q", *lengths) + b"four"
    with pytest.raises(WireError, match="damaged"):
        split(memoryview(body), len(lengths))


ran: list[str] = []


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return ran.append, ("boom",)


@pytest.mark.parametrize(
    "head",
    [
        pickle.dumps(_Bomb(), 5),
        pickle.dumps((1, [_Bomb()]), 5),
        pickle.dumps(print, 5),
        pickle.dumps(ValueError, 2),
        b"cos\nsystem\n(S'exit 3'\ntR.",  # protocol 0
        b"\x80\x02\x82\x01.",  # an extension code
        b"\x80\x05\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x8c\x06system\x93.",
    ],
)
def test_a_head_never_runs_code(head: bytes) -> None:
    ran.clear()
    with pytest.raises(WireError):
        load_head(head)
    assert ran == []
