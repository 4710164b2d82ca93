"""Reading values that travel as data; see `_data` for how they are written.

Nothing here runs code, whoever wrote the bytes: types are made by a table of this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ._data import ATOMS, DATA, DATA_PARTS, DIGEST, DTYPE, MAGIC, MAX_DEPTH, MAX_TEXT
from ._layout import parts_of
from ._values import PLAIN, RAW, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from asyncfabric_storage._buffers import Buffer

    MakeRef = Callable[[str, int], Any]


class BadDataError(ValueError):
    """What should be data is not, or not as it is ever written."""


class _Decoder:
    def __init__(self, buffers: Sequence[Buffer], make_ref: MakeRef | None) -> None:
        self._buffers = buffers
        self._used = 0
        self._make_ref = make_ref

    def whole(self, text: Buffer) -> Any:  # noqa: ANN401 - the user's value
        import json

        if memoryview(text).nbytes > MAX_TEXT:
            raise BadDataError("its text is too large")
        value = self.node(json.loads(bytes(text).decode("ascii")), 1)
        if self._used != len(self._buffers):
            raise BadDataError("it has buffers that it doesn't use")
        return value

    def node(self, node: Any, depth: int) -> Any:  # noqa: ANN401 - of JSON
        kind: Any = cast("Any", type(node))
        if kind in ATOMS:
            return node
        if depth > MAX_DEPTH:
            raise BadDataError("its containers are nested too deep")
        if kind is list:
            return self._items(node, depth)
        if "$" not in node:
            return {key: self.node(item, depth + 1) for key, item in node.items()}
        return self._typed(str(node["$"]), node, depth)

    def _items(self, nodes: Any, depth: int) -> list[Any]:  # noqa: ANN401
        if type(nodes) is not list:
            raise BadDataError("items are no list")
        items: list[Any] = nodes  # pyright: ignore[reportUnknownVariableType] # of JSON
        if set(map(type, items)) <= ATOMS:
            return items
        return [self.node(item, depth + 1) for item in items]

    def _typed(self, name: str, node: dict[str, Any], depth: int) -> Any:  # noqa: ANN401, PLR0911
        fields = {"$", "v", "t", "s"} if name == "array" else {"$", "v"}
        if set(node) != fields:
            raise BadDataError(f"a {name[:20]} has other fields than it should")
        inner = node["v"]
        if name == "dict":
            pairs = [(self.node(key, depth + 1), self.node(item, depth + 1)) for key, item in inner]
            _check_hashes([key for key, _ in pairs])
            return dict(pairs)
        make = _SEQUENCES.get(name)
        if make is not None:
            items = self._items(inner, depth)
            if make is not tuple:
                _check_hashes(items)
            return make(items)
        if name == "bytes":
            return bytes(self._buffer(inner))
        if name == "bytearray":
            return bytearray(self._buffer(inner))
        if name == "array":
            return self._array(inner, node["t"], node["s"])
        if name == "ref":
            return self._ref(inner)
        read = _READ.get(name)
        if read is None:
            raise BadDataError(f"it names a type {name[:20]!r}, which is not known here")
        return read(inner)

    def _buffer(self, number: object) -> Buffer:
        if type(number) is not int or number != self._used or number >= len(self._buffers):
            raise BadDataError("its buffers are not each used in their turn")
        self._used += 1
        return self._buffers[number]

    def _ref(self, node: Any) -> Any:  # noqa: ANN401
        digest, size = node
        good = type(digest) is str and DIGEST.fullmatch(digest) and type(size) is int and size >= 0
        if not good or self._make_ref is None:
            raise BadDataError("a ref in it leads nowhere")
        return self._make_ref(digest, size)

    def _array(self, number: object, dtype: object, shape: object) -> Any:  # noqa: ANN401 - numpy's
        import numpy as np

        data: Any = self._buffer(number)
        if type(dtype) is not str or not DTYPE.fullmatch(dtype):
            raise BadDataError("an array in it has elements of no known type")
        flat: Any = np.frombuffer(data, np.dtype(dtype))  # refuses what has no size
        if shape is None:
            (scalar,) = flat
            return scalar
        sides = self._items(shape, MAX_DEPTH)
        if not all(type(side) is int and side >= 0 for side in sides):
            raise BadDataError("an array in it has an impossible shape")
        return flat.reshape(sides)


def _check_hashes(keys: list[Any]) -> None:
    """Refuse what a set or dict would be made of for minutes: whoever wrote it chose the hashes.

    Members of equal hashes are compared, each with each; and to compare an int with a Decimal takes
    the square of its digits.
    """
    from collections import Counter

    found = Counter(map(hash, keys))
    if len(found) == len(keys):
        return
    if max(found.values()) > _MOST_ALIKE or {"Decimal", "long"} <= set(_slow_kinds(keys)):
        raise BadDataError("a set or dict in it has too many members of equal hashes")


def _slow_kinds(keys: Iterable[Any]) -> Iterator[str]:
    for key in keys:
        kind: Any = cast("Any", type(key))
        if kind is tuple or kind is frozenset:
            yield from _slow_kinds(key)
        elif kind is int:
            if key.bit_length() > _LONG_BITS:
                yield "long"
        else:
            yield kind.__name__


_MOST_ALIKE = 100
"""Members of a set, or keys of a dict, that may have the same hash; -1 and -2 have, in tuples."""
_LONG_BITS = 1024
_LONG_TEXT = 1024

_SEQUENCES: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}


def _of_datetime(name: str) -> Callable[[Any], Any]:
    def read(inner: Any) -> Any:  # noqa: ANN401 - of JSON
        import datetime as dt

        return getattr(dt, name).fromisoformat(inner)

    return read


def _timedelta(inner: Any) -> Any:  # noqa: ANN401
    import datetime as dt

    days, seconds, microseconds = inner
    return dt.timedelta(days, seconds, microseconds)


def _decimal(inner: Any) -> Any:  # noqa: ANN401
    import decimal

    if type(inner) is not str:
        raise BadDataError("a Decimal is no text")
    return decimal.Decimal(inner)


def _uuid(inner: Any) -> Any:  # noqa: ANN401
    import uuid

    return uuid.UUID(inner)


_READ: dict[str, Callable[[Any], Any]] = {
    "datetime": _of_datetime("datetime"),
    "date": _of_datetime("date"),
    "time": _of_datetime("time"),
    "timedelta": _timedelta,
    "Decimal": _decimal,
    "UUID": _uuid,
    "complex": lambda inner: complex(*inner),
    "int": lambda inner: int(inner, 16),
}


def _decode(text: Buffer, buffers: Sequence[Buffer], make_ref: MakeRef | None) -> Any:  # noqa: ANN401
    try:
        return _Decoder(buffers, make_ref).whole(text)
    except (ImportError, BadDataError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever somebody's bytes lead to
        # Not its message, which may hold what was sent.
        raise BadDataError(f"it can't be read ({type(error).__name__})") from None


def _pair(body: Any) -> tuple[Any, Any]:  # noqa: ANN401 - as it came
    try:
        place, count = body
    except (TypeError, ValueError):
        place = count = None
    if type(place) is int and type(count) is int:
        return place, count
    raise BadDataError("it names parts that make no sense")


def decode_data(
    kind: int,
    body: Any,  # noqa: ANN401 - as it came
    segments: Sequence[Buffer],
    make_ref: MakeRef | None = None,
) -> Any:  # noqa: ANN401 - the user's value
    """Decode one value; runs no code, whoever wrote it. `make_ref` makes the refs in it.

    Arrays are views of the segments. Raises `BadDataError` for anything else than data, and
    `ImportError` for arrays where there is no numpy.
    """
    if kind == PLAIN:
        if not is_plain(body):  # of tuples in tuples, a million deep, even a hash ends the process
            raise BadDataError("it stands in the head and is none of the values that do")
        return body
    if kind == DATA:
        return _decode(body, (), make_ref)
    if kind == RAW:
        place, count = body, 1
    elif kind == DATA_PARTS:
        place, count = _pair(body)
    else:
        raise BadDataError("it is a pickle")
    if not (type(place) is int and type(count) is int and 0 <= place < place + count):
        raise BadDataError("it names parts that make no sense")
    if place + count > len(segments):
        raise BadDataError("it names parts that are not there")
    if kind == RAW:
        return bytes(segments[place])
    text, *buffers = segments[place : place + count]
    return _decode(text, buffers, make_ref)


class DataReader:
    """Decodes the values of one message, each part of which is used once and in its turn.

    So a small message can't stand for much memory.
    """

    def __init__(self, segments: Sequence[Buffer], make_ref: MakeRef | None = None) -> None:
        self._segments = segments
        self._make_ref = make_ref
        self._next = 0
        self._texts: set[int] = set()

    def read(self, kind: int, body: Any) -> Any:  # noqa: ANN401 - as it came, and the user's value
        """Decode the next value; see `decode_data`."""
        if kind in {RAW, DATA_PARTS}:
            place, count = (body, 1) if kind == RAW else _pair(body)
            if place != self._next:
                raise BadDataError("its parts are not each used in their turn")
            self._next += count
        elif kind == DATA and len(body) > _LONG_TEXT:
            if id(body) in self._texts:  # they all live in the message
                raise BadDataError("its texts are not each used once")
            self._texts.add(id(body))
        return decode_data(kind, body, self._segments, self._make_ref)


def unpack_data(data: Buffer, make_ref: MakeRef | None = None) -> Any:  # noqa: ANN401 - the user's value
    """Read what `pack_data` laid out; runs no code. Raises as `decode_data` does."""
    try:
        text, *buffers = parts_of(data, MAGIC)
    except ValueError as error:
        raise BadDataError(str(error)) from None
    return _decode(text, buffers, make_ref)
