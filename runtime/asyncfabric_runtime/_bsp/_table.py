"""A table of keys and what belongs to them: where mappers combine and reducers merge."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from asyncfabric_runtime._values import TooLargeError, dump

from ._keys import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ._groups import Groups

STRIDE = 256
"""Pairs between two looks at how much memory a pair takes, at most."""
_LOOKS = 64
_ITEMS = 16
"""Of a collection, that are looked at."""
_DEPTH = 3
_ENTRY_BYTES = 100
"""Of a dict, for one key: measured 74 to 148, by how full it is."""
_LIST_BYTES = 88
"""Of the list that holds a key's values, and its first growth."""
_LOOKED_AT = 64 * 1024 * 1024

Combine = "Callable[[Any, Any], Any]"


class Table:
    """Keys with one combined value each, or with a list of values.

    Args:
        combine: makes one value of two; None to keep them all, in order.
        source: the name of what gives the pairs, for messages.

    Attributes:
        groups: by key.
    """

    def __init__(self, combine: Callable[[Any, Any], Any] | None, source: str = "") -> None:
        self.groups: dict[Any, Any] = {}
        self._combine = combine
        self._source = source
        self._values = 0
        self._key_bytes = self._value_bytes = self._looks = 0

    @property
    def bytes(self) -> int:
        """What it takes in memory, about."""
        if not self._looks:
            return 0
        keys, values = len(self.groups), self._values
        if self._combine is not None:
            values = keys
        of_keys = (_ENTRY_BYTES + self._key_bytes // self._looks) * keys
        of_lists = _LIST_BYTES * keys if self._combine is None else 0
        return of_keys + of_lists + (8 + self._value_bytes // self._looks) * values

    def worth(self, size: int) -> int:
        """Return how many of its values take so many bytes, with their keys, about."""
        pair = _ENTRY_BYTES + (self._key_bytes + self._value_bytes) // max(1, self._looks)
        return max(1, size // pair)

    def stride(self, memory: int) -> int:
        """Return how many pairs to take before the next look: few where they are large."""
        if not self._looks:
            return 1
        pair = (self._key_bytes + self._value_bytes) // self._looks
        return max(1, min(STRIDE, memory // _LOOKS // pair))

    def add(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """Take some pairs, all that there are; about as many as `stride` says.

        Raises `TypeError` that says what to give where one of them is no pair, or has no key.
        """
        groups, combine = self.groups, self._combine
        pair: Any = _A_PAIR
        key, value = pair
        try:
            if combine is None:
                for pair in pairs:
                    key, value = pair
                    if key in groups:
                        groups[key].append(value)
                    else:
                        groups[key] = [value]
                    self._values += 1
            else:
                for pair in pairs:
                    key, value = pair
                    groups[key] = combine(groups[key], value) if key in groups else value
        except (TypeError, ValueError):
            check_pair(pair, self._source)  # it was another one's error if that is good
            raise
        if groups:
            self._look(key, value if combine is None else groups[key])

    def adopt(self, mapping: Mapping[Any, Any]) -> None:
        """Take a mapping as a whole, if there is nothing yet and values need no lists."""
        assert not self.groups  # noqa: S101 - the caller's word
        self.groups = dict(mapping)
        for key, value in islice(self.groups.items(), 0, None, max(1, len(mapping) // 64)):
            self._look(key, value)

    def merge(self, groups: Groups) -> None:
        """Take what another table had."""
        if not groups.keys:
            return
        table, combine = self.groups, self._combine
        stride = max(STRIDE, len(groups.keys) // 16)
        if combine is None:
            for place, (key, values) in enumerate(groups.each()):
                if key in table:
                    table[key] += values
                else:
                    table[key] = values
                if not place % stride:
                    self._look(key, values[-1])
            self._values += len(groups.values)
            return
        if table:
            for key, value in zip(groups.keys, groups.values, strict=True):
                table[key] = combine(table[key], value) if key in table else value
        else:
            table = self.groups = dict(zip(groups.keys, groups.values, strict=True))
        for key in groups.keys[::stride]:
            self._look(key, table[key])

    def drain(self) -> dict[Any, Any]:
        """Return all that it has, and forget it."""
        groups, self.groups, self._values = self.groups, {}, 0
        return groups

    def _look(self, key: object, value: object) -> None:
        if self._looks == _LOOKS:  # values that are combined may grow: the last looks count most
            self._looks //= 2
            self._key_bytes //= 2
            self._value_bytes //= 2
        self._looks += 1
        self._key_bytes += _size(key, _DEPTH)
        self._value_bytes += _size(value, _DEPTH)


_A_PAIR = ("word", 1)


def check_pair(pair: Any, source: str) -> None:  # noqa: ANN401 - the user's
    """Refuse what is no pair of a key and a value. Raises `TypeError`."""
    if not isinstance(pair, (tuple, list)) or len(cast("Any", pair)) != len(_A_PAIR):
        msg = f"{source} {GIVES}, and it gave {pair!r:.80}; give for example {_A_PAIR}"
        raise TypeError(msg)
    canonical(pair[0])  # a dict says of it only that it can't be hashed


GIVES = "has to give (key, value) pairs, or a mapping"


def _size(value: Any, depth: int) -> int:  # noqa: ANN401 - the user's
    """Return what a value takes in memory, about; collections by their first items."""
    kind = cast("Any", type(value))
    if kind in _PLAIN or not depth:
        return sys.getsizeof(value)
    if kind in _COLLECTIONS:
        items: Any = value.items() if kind is dict else value
        looked_at = [_size(item, depth - 1) for item in islice(items, _ITEMS)]
        inner = sum(looked_at) * len(value) // max(1, len(looked_at))
        return sys.getsizeof(value) + inner
    try:
        data, buffers = dump(value, _LOOKED_AT)
    except TooLargeError:
        return 2 * _LOOKED_AT
    except Exception:  # noqa: BLE001 - it is told when it has to be written
        return sys.getsizeof(value)
    # Objects were measured to take 2 to 5 times the bytes of their pickles.
    return 3 * len(data) + sum(buffer.nbytes for buffer in buffers)


_PLAIN = frozenset((int, float, str, bytes, bool, type(None)))
_COLLECTIONS = frozenset((tuple, list, set, frozenset, dict))
