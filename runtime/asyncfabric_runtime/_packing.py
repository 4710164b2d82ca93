"""One stored object: a pickle and its large buffers in one run of bytes, named by its digest.

    "AFO1"    4 bytes
    count     u32: how many parts follow; part 0 is the pickle, the others its buffers
    lengths   u64 each
    parts     each starts at a multiple of 64, so that numpy reads it aligned from a mapped file

Functions, `shared=` values, `Fabric.put` and results by reference are stored this way.
"""

from __future__ import annotations

import pickle
import struct
from typing import TYPE_CHECKING, Any

from ._values import dump

if TYPE_CHECKING:
    from asyncfabric_storage._buffers import Buffer

_MAGIC = b"AFO1"
_HEADER = struct.Struct("!4sI")
_ALIGNMENT = 64


def pack_object(value: object, limit: int | None = None) -> list[Buffer]:
    """Lay a value out as the pieces of one stored object; large buffers are not copied.

    Raises whatever the value's reduction raises, and `TooLargeError` past `limit` pickled bytes.
    """
    data, buffers = dump(value, limit)
    parts: list[Buffer] = [data, *buffers]
    lengths = [memoryview(part).nbytes for part in parts]
    header = _HEADER.pack(_MAGIC, len(parts)) + struct.pack(f"!{len(parts)}Q", *lengths)
    pieces: list[Buffer] = [header]
    offset = len(header)
    for part, length in zip(parts, lengths, strict=True):
        padding = -offset % _ALIGNMENT
        if padding:
            pieces.append(bytes(padding))
        pieces.append(part)
        offset += padding + length
    return pieces


def unpack_object(data: Buffer) -> Any:  # noqa: ANN401 - the user's value
    """Read a stored object. Runs code: check its digest first.

    Large buffers (numpy arrays) are read-only views of `data`. Raises `ValueError` for bytes that
    are no stored object, and whatever the value's own reconstruction raises.
    """
    view = memoryview(data).toreadonly()
    parts: list[memoryview] = []
    try:
        magic, count = _HEADER.unpack_from(view)
        lengths = struct.unpack_from(f"!{count}Q", view, _HEADER.size)
    except struct.error:
        magic, lengths = b"", ()
    offset = _HEADER.size + 8 * len(lengths)
    for length in lengths:
        offset += -offset % _ALIGNMENT
        parts.append(view[offset : offset + length])
        offset += length
    if magic != _MAGIC or not parts or offset != len(view):
        msg = "this is not an object that asyncfabric stored, or it is damaged; store it again"
        raise ValueError(msg)
    return pickle.loads(parts[0], buffers=parts[1:])
