"""How users' values travel: several to a frame, each readable on its own.

Values of the immutable built-in types stand in the frame's head as themselves, so a frame of
numbers is one pickle. Every other value is pickled separately: two calls never share a mutable
object because they happened to share an invocation. Large buffers (numpy arrays, bytes) leave the
pickle by protocol 5 and travel as segments of their own, uncopied.
"""

from __future__ import annotations

import pickle
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncfabric_storage._buffers import Buffer

SEGMENT_BYTES = 64 * 1024
"""A buffer of at least so many bytes becomes a segment of its own; smaller ones are copied."""

_ATOMS = frozenset((int, float, bool, type(None), str, bytes))
_SIZED = frozenset((str, bytes))

PLAIN, PICKLED, SEGMENTED, RAW, TUPLE = range(5)


class TooLargeError(Exception):
    """The pickle grew past the given limit; nothing was kept."""


class Encoded(NamedTuple):
    """Values as plain data. `kinds` is None where every body is the value itself."""

    kinds: bytes | None
    bodies: list[Any]


class _Parts:
    """A file for the pickler that keeps what is written and gives up past `limit` bytes."""

    __slots__ = ("limit", "parts", "size")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.parts: list[bytes] = []
        self.size = 0

    def write(self, data: Buffer) -> int:
        part = data if isinstance(data, bytes) else bytes(data)
        self.size += len(part)
        if self.limit is not None and self.size > self.limit:
            raise TooLargeError
        self.parts.append(part)
        return len(part)

    def joined(self) -> bytes:
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)


def dump(value: object, limit: int | None = None) -> tuple[bytes, list[memoryview]]:
    """Pickle one value; its large buffers come beside the pickle.

    Raises whatever the value's own reduction raises, and `TooLargeError` past `limit` bytes.
    """
    # cloudpickle costs an import of 25 ms, which a worker on numbers never pays.
    from ._pickling import Pickler

    buffers: list[memoryview] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < SEGMENT_BYTES:
            return True
        buffers.append(raw)
        return False

    file = _Parts(limit)
    pickler: Any = Pickler(file, buffer_callback=keep_inside)
    pickler.dump(value)
    return file.joined(), buffers


def is_plain(value: Any) -> bool:  # noqa: ANN401 - looked at by its exact type
    """Tell whether a value stands in a head as itself."""
    kind: type = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind in _SIZED:
        return len(value) < SEGMENT_BYTES
    if kind is tuple:
        return all(type(item) in _ATOMS and is_plain(item) for item in value)
    return kind in _ATOMS


def all_plain(values: Sequence[Any]) -> bool:
    """Tell whether every value stands in a head as itself; built for long sequences of numbers."""
    kinds = set(map(type, values))
    if tuple in kinds and kinds == {tuple}:
        if not set(map(type, chain.from_iterable(values))) <= _ATOMS:
            return False
        return all(map(is_plain, values))
    if not kinds <= _ATOMS:
        return False
    return not kinds & _SIZED or all(map(is_plain, values))


def _atoms_of(value: Any) -> tuple[object, ...] | None:  # noqa: ANN401 - whatever the user gave
    kind: Any = cast("Any", type(value))
    return value if kind is tuple and all(type(item) in _ATOMS for item in value) else None


def encode_value(
    value: Any,  # noqa: ANN401 - the user's
    segments: list[Buffer],
    limit: int | None = None,
) -> tuple[int, Any]:
    """Encode one value; large buffers are appended to `segments`. Raises as `dump` does."""
    if is_plain(value):
        return PLAIN, value
    if type(value) is bytes:
        segments.append(value)
        return RAW, len(segments) - 1
    items = _atoms_of(value)
    if items is not None:
        # Arguments of a submit, some large. Being immutable, they may be taken apart.
        return TUPLE, [encode_value(item, segments, limit) for item in items]
    data, buffers = dump(value, limit)
    if not buffers and len(data) < SEGMENT_BYTES:
        return PICKLED, data
    first = len(segments)
    segments.append(data)
    segments.extend(buffers)
    return SEGMENTED, (first, 1 + len(buffers))


def decode_value(kind: int, body: Any, segments: Sequence[memoryview]) -> Any:  # noqa: ANN401
    """Decode one value. Pickles run code: call it only on what a trusted peer sent."""
    if kind == PLAIN:
        return body
    if kind == PICKLED:
        return pickle.loads(body)
    if kind == TUPLE:
        parts = cast("list[tuple[int, Any]]", body)
        return tuple(decode_value(part, inner, segments) for part, inner in parts)
    if kind == RAW:
        segment: int = body
        return bytes(segments[segment])
    place, count = cast("tuple[int, int]", body)
    data, *buffers = segments[place : place + count]
    return pickle.loads(data, buffers=buffers)
