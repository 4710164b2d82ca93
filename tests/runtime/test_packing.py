"""Stored objects: aligned, read-only, and refused when they are something else."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric_runtime._packing import pack_object, unpack_object
from asyncfabric_runtime._values import TooLargeError


def _packed(value: object) -> bytes:
    return b"".join(bytes(memoryview(piece)) for piece in pack_object(value))


@given(st.lists(st.integers(0, 200_000), max_size=5))
def test_buffers_are_aligned_views(sizes: list[int]) -> None:
    arrays = [np.full(size, 7, np.uint8) for size in sizes]
    whole = _packed(arrays)
    memory = np.zeros(len(whole) + 64, np.uint8)
    start = -memory.ctypes.data % 64  # begin as a mapped file does: at a multiple of 64
    memory[start : start + len(whole)] = np.frombuffer(whole, np.uint8)
    back = unpack_object(memory[start : start + len(whole)].data)
    for array, other in zip(arrays, back, strict=True):
        assert np.array_equal(array, other)
        if array.nbytes >= 64 * 1024:
            assert other.ctypes.data % 64 == 0
            assert not other.flags.writeable
            assert np.shares_memory(other, memory)


def test_pieces_are_not_copied() -> None:
    array = np.zeros(1 << 17, np.uint8)
    pieces: list[Any] = [*pack_object(array)]
    assert any(np.shares_memory(array, np.frombuffer(piece, np.uint8)) for piece in pieces[1:])


@given(st.dictionaries(st.text(), st.integers() | st.binary()))
def test_round_trip(value: Any) -> None:
    assert unpack_object(_packed(value)) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"AFO1",
        b"AFO2" + _packed(1)[4:],
        b"AFO1" + struct.pack("!I", 0),
        b"AFO1" + struct.pack("!I", 2**32 - 1) + b"x" * 100,
        b"AFO1" + struct.pack("!IQ", 1, 2**64 - 1) + b"x" * 100,
        _packed(list(range(50)))[:-1],
        _packed(list(range(50))) + b"x",
    ],
)
def test_what_was_not_stored_by_us(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an object that asyncfabric stored"):
        unpack_object(data)


def test_too_large() -> None:
    with pytest.raises(TooLargeError):
        pack_object(list(range(1000)), 100)
