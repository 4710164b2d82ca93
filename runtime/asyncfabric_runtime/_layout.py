"""The layout of stored objects: parts in one run of bytes, each where numpy can read it in place.

magic     4 bytes: what the parts are
count     u32: how many parts follow
lengths   u64 each
parts     each starts at a multiple of 64, so that numpy reads it aligned from a mapped file
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncfabric_storage._buffers import Buffer

_HEADER = struct.Struct("!4sI")
_ALIGNMENT = 64


def lay_out(magic: bytes, parts: Sequence[Buffer]) -> list[Buffer]:
    """Return the pieces of a stored object of these parts, which are not copied."""
    lengths = [memoryview(part).nbytes for part in parts]
    header = _HEADER.pack(magic, len(parts)) + struct.pack(f"!{len(parts)}Q", *lengths)
    pieces: list[Buffer] = [header]
    offset = len(header)
    for part, length in zip(parts, lengths, strict=True):
        padding = -offset % _ALIGNMENT
        if padding:
            pieces.append(bytes(padding))
        pieces.append(part)
        offset += padding + length
    return pieces


def parts_of(data: Buffer, magic: bytes) -> list[memoryview]:
    """Return the parts of a stored object, as views of it. Raises `ValueError`."""
    view = memoryview(data)
    parts: list[memoryview] = []
    try:
        found, count = _HEADER.unpack_from(view)
        lengths = struct.unpack_from(f"!{count}Q", view, _HEADER.size)
    except struct.error:
        found, lengths = b"", ()
    offset = _HEADER.size + 8 * len(lengths)
    for length in lengths:
        offset += -offset % _ALIGNMENT
        parts.append(view[offset : offset + length])
        offset += length
    if found != magic or not parts or offset != len(view):
        msg = "this is not an object that asyncfabric stored, or it is damaged; store it again"
        raise ValueError(msg)
    return parts
