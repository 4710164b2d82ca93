"""Keys: what may be one, which are the same, and which partition each belongs to.

Two keys are one where Python calls them equal, so that the dicts in which mappers combine and the
partitions that keys are sent to never disagree: 1, 1.0 and True are one key. The encoding and its
hash are the same in every process, Python version and architecture.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

from asyncfabric_storage import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

Partition = "Callable[[Any], int]"

_LENGTH = struct.Struct(">I")
_DOUBLE = struct.Struct(">d")
_KINDS: tuple[Any, ...] = (str, bytes, int, float, tuple)
_TEXT = crc32(b"s")
# Knuth's multiplicative hash: the golden ratio's 32 bits spread what CRC-32 leaves in low bits.
_SPREAD = 0x9E3779B1
_MASK = 0xFFFFFFFF


def canonical(key: Any) -> bytes:  # noqa: ANN401 - told apart here
    """Return the encoding of a key: equal for equal keys, and for no others.

    Raises `TypeError` for what can't be a key, and says what to use instead.

    >>> canonical(1) == canonical(1.0) == canonical(True)
    True
    """
    kind = cast("Any", type(key))
    if kind not in _KINDS:
        kind = _base(key)
    if kind is str:
        return b"s" + _utf8(key)
    if kind is int:
        return _whole(key)
    if kind is bytes:
        plain: bytes = key
        return b"b" + plain
    if kind is float:
        return _double(key)
    if kind is tuple:
        items = [canonical(item) for item in key]
        return b"t" + b"".join(_LENGTH.pack(len(item)) + item for item in items)
    return b"n"


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")  # of a file name, for example


def _whole(number: int) -> bytes:
    return b"i" + number.to_bytes((number.bit_length() + 8) // 8, "big", signed=True)


def _double(number: float) -> bytes:
    if number.is_integer():
        return _whole(int(number))
    if number != number:  # noqa: PLR0124 - what NaN is known by
        msg = "NaN can't be a key, for it equals nothing, not even itself; use None instead"
        raise TypeError(msg)
    return b"f" + _DOUBLE.pack(number)


def _base(key: Any) -> Any:  # noqa: ANN401
    """Return the built-in type that a key is one of, None for None itself."""
    if key is None:
        return None
    kind = cast("Any", type(key))
    for base in _KINDS:
        # One that compares in a way of its own may equal what the encoding tells apart.
        if issubclass(kind, base) and kind.__eq__ is base.__eq__ and kind.__hash__ is base.__hash__:
            return base
    raise TypeError(_no_key(key))


def _no_key(key: object) -> str:
    kind = type(key)
    advice = "make a str, bytes, number or tuple of it, for example by str(key)"
    if kind.__module__ == "numpy":
        advice = (
            "use key.item()" if hasattr(key, "item") and not hasattr(key, "__len__") else advice
        )
    elif isinstance(key, list):
        advice = "use tuple(key)"
    elif isinstance(key, (set, frozenset)):
        advice = "use tuple(sorted(key))"
    elif isinstance(key, dict):
        advice = "use tuple(sorted(key.items()))"
    elif hasattr(key, "value") and hasattr(key, "name"):
        advice = "use key.value or key.name"
    return (
        f"{key!r:.80} ({kind.__module__}.{kind.__qualname__}) can't be a key: keys are str, bytes, "
        f"numbers, None and tuples of these; {advice}"
    )


def stable_hash(key: object) -> int:
    """Return 32 bits that depend on the key alone. Raises `TypeError` for what is no key."""
    return crc32(canonical(key)) * _SPREAD & _MASK


def partitions_of(
    keys: Collection[Any], partitions: int, partition: Callable[[Any], int] | None = None
) -> list[int]:
    """Return the partition of each key.

    Args:
        keys: distinct keys.
        partitions: how many there are.
        partition: chooses by a number, of which the remainder by `partitions` counts; by default
            the stable hash does.

    Raises:
        TypeError: one of them can't be a key, or `partition` returned no whole number.
    """
    kinds = set(map(type, keys))
    if partition is not None:
        if not kinds <= {str, bytes, int}:
            for key in keys:
                canonical(key)
        return [_chosen(partition(key), key) % partitions for key in keys]
    if kinds == {str}:
        try:  # the common case, without a call into Python for each
            return [
                (crc32(key.encode(), _TEXT) * _SPREAD & _MASK) * partitions >> 32 for key in keys
            ]
        except UnicodeEncodeError:
            pass
    return [stable_hash(key) * partitions >> 32 for key in keys]


def _chosen(number: Any, key: object) -> int:  # noqa: ANN401 - the user's
    try:
        chosen: int = number.__index__()
    except AttributeError:
        msg = (
            f"partition({key!r:.80}) returned {number!r:.80}, which is no whole number; return an "
            "int, of which the remainder by the number of partitions counts"
        )
        raise TypeError(msg) from None
    return chosen


def check_partitions(partitions: object) -> None:
    """Refuse a number of partitions that makes no sense. Raises `ConfigurationError`."""
    if (
        not isinstance(partitions, int)
        or isinstance(partitions, bool)
        or not 0 < partitions <= MOST_PARTITIONS
    ):
        msg = (
            f"partitions={partitions!r:.80} makes no sense; give a number from 1 to "
            f"{MOST_PARTITIONS:,}"
        )
        raise ConfigurationError(msg)


MOST_PARTITIONS = 100_000
