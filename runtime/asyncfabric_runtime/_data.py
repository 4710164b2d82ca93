"""Values as data: what can be read without ever running code.

A value is a text in JSON and some buffers. JSON's own types stand for themselves; all others are
objects with a `$` that names their type:

    {"$": "tuple", "v": [...]}                          also set, frozenset
    {"$": "dict", "v": [[key, value], ...]}             a dict whose keys are not all plain strings
    {"$": "bytes", "v": 0}                              a buffer, by its number; also bytearray
    {"$": "array", "v": 1, "t": "<f8", "s": [2, 3]}     numpy, in C order; a scalar has "s": null
    {"$": "datetime", "v": "2026-11-23T08:00:00"}       also date, time, timedelta, Decimal, UUID,
                                                        complex, int (of very many digits)
    {"$": "ref", "v": ["<digest>", 1000]}               in the Fabric's own store

Types are taken exactly: a subclass would come back as something else. Each buffer is used once and
in its turn, so that a small text can't stand for much memory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from ._layout import lay_out
from ._values import PLAIN, RAW, is_plain

if TYPE_CHECKING:
    from asyncfabric_storage._buffers import Buffer

DATA, DATA_PARTS = 5, 6
"""Kinds of encoded values, beside those of `_values`: a text alone, a text with its buffers."""

MAX_DEPTH = 100
"""Containers within containers."""
MAX_TEXT = 256 * 1024 * 1024
"""Bytes of a value's text; what is larger belongs into arrays or bytes, which are buffers."""
SEGMENT_BYTES = 64 * 1024

MAGIC = b"AFD1"
ATOMS = frozenset((bool, int, float, str, type(None)))
_SEQUENCES: dict[Any, str] = {tuple: "tuple", set: "set", frozenset: "frozenset"}
DTYPE = re.compile(r"[<>|=]?[biufcSUmMV][0-9]+(\[[0-9]*[a-zA-Z]+\])?")
DIGEST = re.compile(r"[0-9a-f]{64}")

_REF = ("asyncfabric_runtime._ref", "Ref")
_IN_TEXT = frozenset(
    (
        ("datetime", "datetime"),
        ("datetime", "date"),
        ("datetime", "time"),
        ("decimal", "Decimal"),
        ("uuid", "UUID"),
    )
)

_ADVICE = (
    "return None, bool, int, float, str, bytes, list, tuple, dict, set, dates, Decimal, UUID or "
    "numpy arrays of numbers or text, or make bytes of it yourself (Arrow, Parquet, PNG)"
)


class NotDataError(TypeError):
    """A value can't be carried as data; the message says which part of it, and what to do."""


class _Encoder:
    def __init__(self, *, careful: bool) -> None:
        self.buffers: list[Buffer] = []
        self._careful = careful
        """Look at every number: some have more digits than Python puts into JSON."""

    def node(self, value: Any, path: str, depth: int) -> Any:  # noqa: ANN401, PLR0911 - one for each kind
        kind: Any = cast("Any", type(value))
        if kind in ATOMS:
            if self._careful and kind is int:
                return {"$": "int", "v": hex(value)}
            return value
        if depth > MAX_DEPTH:
            raise NotDataError(f"its containers are nested more than {MAX_DEPTH} deep; flatten it")
        if kind is list or kind in _SEQUENCES:
            nodes = self._nodes(value, path, depth)
            return nodes if kind is list else {"$": _SEQUENCES[kind], "v": nodes}
        if kind is dict:
            return self._mapping(value, path, depth)
        if kind is bytes or kind is bytearray:
            return {"$": kind.__name__, "v": self._buffer(value)}
        if (kind.__module__, kind.__name__) == _REF:
            return {"$": "ref", "v": [value.digest, value.size]}
        if kind.__module__ == "numpy":
            return self._array(value, path)
        found = _written(value, kind)
        if found is None:
            advice = getattr(kind, "_instead_of_data", _ADVICE)
            raise NotDataError(f"{path} is a {_name(kind)}, which can't be carried; {advice}")
        return {"$": kind.__name__, "v": found}

    def _nodes(self, values: Any, path: str, depth: int) -> list[Any]:  # noqa: ANN401
        if not self._careful and set(map(type, values)) <= ATOMS:
            return list(values)
        return [
            self.node(value, f"{path}[{place}]", depth + 1) for place, value in enumerate(values)
        ]

    def _mapping(self, value: dict[Any, Any], path: str, depth: int) -> dict[str, Any]:
        if set(map(type, value)) <= {str} and "$" not in value:
            return {key: self.node(item, f"{path}[...]", depth + 1) for key, item in value.items()}
        pairs = [
            [
                self.node(key, f"a key of {path}", depth + 1),
                self.node(item, f"{path}[...]", depth + 1),
            ]
            for key, item in value.items()
        ]
        return {"$": "dict", "v": pairs}

    def _array(self, value: Any, path: str) -> dict[str, Any]:  # noqa: ANN401 - numpy's
        import numpy as np

        kind = cast("Any", type(value))
        if kind is not np.ndarray and not issubclass(kind, np.generic):
            raise NotDataError(f"{path} is a {_name(kind)}, which can't be carried; {_ADVICE}")
        if kind in {np.str_, np.bytes_} and not value:
            value = np.asarray(value).astype(f"{value.dtype.kind}1")  # else it had no size at all
        dtype: Any = value.dtype
        if dtype.hasobject or dtype.names or dtype.itemsize == 0 or not DTYPE.fullmatch(dtype.str):
            raise NotDataError(
                f"{path} is an array of {dtype}, and arrays are carried as data if their elements "
                "are numbers, dates or text of one size; use a dict of such arrays"
            )
        # As bytes: dates have no buffer of their own.
        data: Any = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        shape: Any = list(value.shape) if kind is np.ndarray else None
        return {"$": "array", "v": self._buffer(data.data), "t": dtype.str, "s": shape}

    def _buffer(self, data: Buffer) -> int:
        self.buffers.append(data)
        return len(self.buffers) - 1


def _written(value: Any, kind: Any) -> Any:  # noqa: ANN401 - by its type
    """Return what stands for a value of the standard library's types; None for all others."""
    name = kind.__module__, kind.__name__
    if kind is complex:
        return [value.real, value.imag]
    if name == ("datetime", "timedelta"):
        return [value.days, value.seconds, value.microseconds]
    if name not in _IN_TEXT:
        return None
    zone = getattr(value, "tzinfo", None)
    if zone is not None and type(zone).__name__ != "timezone":
        raise NotDataError(
            f"a {name[1]} in the time zone {zone} can't be carried as data; return it in UTC: "
            "value.astimezone(datetime.timezone.utc)"
        )
    return value.isoformat() if name[0] == "datetime" else str(value)


def _name(kind: type) -> str:
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _encode(value: object, what: str) -> tuple[bytes, list[Buffer]]:
    encoder = _Encoder(careful=False)
    node = encoder.node(value, what, 1)
    try:
        text = _dumps(node)
    except ValueError:  # a number of more than 4,300 digits
        encoder = _Encoder(careful=True)
        text = _dumps(encoder.node(value, what, 1))
    if len(text) > MAX_TEXT:
        raise NotDataError(
            f"{what} is {len(text):,} bytes of text, and {MAX_TEXT:,} are allowed; use numpy "
            "arrays or bytes for what is large"
        )
    return text, encoder.buffers


def _dumps(node: object) -> bytes:
    import json

    return json.dumps(node, separators=(",", ":"), check_circular=False).encode("ascii")


def encode_data(
    value: Any,  # noqa: ANN401 - the user's
    segments: list[Buffer],
    what: str = "it",
) -> tuple[int, Any]:
    """Encode one value; its buffers are appended to `segments`.

    Raises `NotDataError` that names the part that can't be carried.
    """
    if is_plain(value):
        return PLAIN, value
    if type(value) is bytes:
        segments.append(value)
        return RAW, len(segments) - 1
    text, buffers = _encode(value, what)
    if not buffers and len(text) < SEGMENT_BYTES:
        return DATA, text
    first = len(segments)
    segments.append(text)
    segments.extend(buffers)
    return DATA_PARTS, (first, 1 + len(buffers))


def pack_data(value: object, what: str = "it") -> list[Buffer]:
    """Lay a value out as the pieces of one stored object; see `_packing` for the layout.

    Raises `NotDataError` that names the part that can't be carried.
    """
    text, buffers = _encode(value, what)
    return lay_out(MAGIC, [text, *buffers])
