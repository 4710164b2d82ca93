"""Frames: how an envelope or an outcome crosses a byte stream.

    prefix   16 bytes   magic "AF", wire version, kind, number of segments, bytes that follow
    table    8 bytes a segment: its length
    segments segment 0 is the head; the others are large buffers, sent and received uncopied

The head is a pickle of plain data only (numbers, strings, bytes, tuples, lists, dicts), and it is
read by an unpickler that resolves no names: reading a head never runs code. Whatever may run code
when it is read (functions, inputs, results) travels as opaque bytes inside the head or in the other
segments and is opened by whoever asked for it.

A reader accepts its own wire version and the one before it; this is the first.
"""

from __future__ import annotations

import io
import pickle
import struct
from typing import TYPE_CHECKING, Any

from ._heads import is_bounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncfabric_storage._buffers import Buffer

WIRE_VERSION = 1
ACCEPTED_VERSIONS = (1,)

INVOKE, OUTCOME, HELLO, READY, RECALL, RETURNED, PING, PONG, SPILLED, PROGRESS = range(1, 11)
KINDS = frozenset(range(1, 11))

PREFIX = struct.Struct("!2sBBIQ")
_MAGIC = b"AF"
_MAX_SEGMENTS = 1 << 24
_MAX_BYTES = 1 << 40


class WireError(Exception):
    """The bytes are not a frame that this version reads; the stream can't be followed further."""


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain data and refuses every name, so that no code can run."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - the base class's signature
        msg = f"a frame's head holds plain data only, but this one names {module}.{name}"
        raise WireError(msg)


def dump_head(head: object) -> bytes:
    """Encode plain data."""
    return pickle.dumps(head, 5)


def load_head(data: Buffer) -> Any:  # noqa: ANN401 - plain data of the caller's own shape
    """Decode plain data; raises `WireError` for anything else."""
    try:
        return _PlainUnpickler(io.BytesIO(data)).load()
    except WireError:
        raise
    except Exception as error:
        msg = f"the head of a frame can't be read: {error}"
        raise WireError(msg) from error


def load_place(data: Buffer) -> tuple[str, str, str, int]:
    """Decode the head of a SPILLED frame: key and digest of the stored one, its store's URL, size.

    Raises `WireError`.
    """
    place: Any = load_head(data)
    if isinstance(place, tuple) and [*map(type, place)] == [str, str, str, int] and place[3] >= 0:  # pyright: ignore[reportUnknownArgumentType]
        found: tuple[str, str, str, int] = place  # pyright: ignore[reportUnknownVariableType]
        return found
    msg = "a frame tells of a stored one in a way that this side can't read"
    raise WireError(msg)


def pack(kind: int, head: object, segments: Sequence[Buffer] = ()) -> list[Buffer]:
    """Lay out one frame as buffers to be written one after another."""
    first = dump_head(head)
    if not segments:
        size = len(first)
        return [PREFIX.pack(_MAGIC, WIRE_VERSION, kind, 1, size + 8) + size.to_bytes(8) + first]
    lengths = [len(first), *(memoryview(segment).nbytes for segment in segments)]
    table = struct.pack(f"!{len(lengths)}Q", *lengths)
    prefix = PREFIX.pack(_MAGIC, WIRE_VERSION, kind, len(lengths), len(table) + sum(lengths))
    return [prefix + table + first, *segments]


def parse_prefix(data: Buffer) -> tuple[int, int, int]:
    """Read a prefix: kind, number of segments, bytes that follow. Raises `WireError`."""
    magic, version, kind, count, size = PREFIX.unpack(data)
    if magic != _MAGIC:
        msg = "this is not an asyncfabric stream: something else wrote to the worker's socket"
        raise WireError(msg)
    if version not in ACCEPTED_VERSIONS:
        msg = (
            f"the peer speaks wire version {version}, this side {WIRE_VERSION}: "
            "install the same asyncfabric release on both sides"
        )
        raise WireError(msg)
    if kind not in KINDS or not 1 <= count <= _MAX_SEGMENTS or not 8 * count <= size <= _MAX_BYTES:
        msg = f"a frame's prefix makes no sense: kind {kind}, {count} segments, {size} bytes"
        raise WireError(msg)
    return kind, count, size


def unpack(data: Buffer) -> tuple[int, list[memoryview]]:
    """Read one frame that stands alone: its kind and segments. Raises `WireError`.

    It came over a network, so that its head is looked through first; see `_heads`.
    """
    view = memoryview(data)
    if view.nbytes < PREFIX.size:
        msg = f"{view.nbytes} bytes are no frame of asyncfabric"
        raise WireError(msg)
    kind, count, size = parse_prefix(view[: PREFIX.size])
    body = view[PREFIX.size :]
    if body.nbytes != size:
        msg = f"a frame announces {size} bytes and has {body.nbytes}: it was cut off or damaged"
        raise WireError(msg)
    segments = split(body, count)
    if not is_bounded(segments[0]):
        msg = "a frame's head holds plain data only, written as asyncfabric writes it"
        raise WireError(msg)
    return kind, segments


def split(body: memoryview, count: int) -> list[memoryview]:
    """Cut what follows a prefix into its segments. Raises `WireError` if they don't add up."""
    if count == 1:
        lengths: tuple[int, ...] = (int.from_bytes(body[:8]),)
    else:
        lengths = struct.unpack_from(f"!{count}Q", body)
    offset = 8 * count
    if offset + sum(lengths) != len(body):
        msg = "a frame's segments do not add up to its length: the stream is damaged"
        raise WireError(msg)
    segments: list[memoryview] = []
    for length in lengths:
        segments.append(body[offset : offset + length])
        offset += length
    return segments
