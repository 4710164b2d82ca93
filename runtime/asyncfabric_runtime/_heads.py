"""Looking through a head before it is unpickled: what reading costs is bounded by its length.

A pickle of plain data runs no code, but ten bytes of it can make a reader take gigabytes (an index
into its memo), and a hundred can keep it busy for ever (tuples that hold the one before twice, as
a key: its hash is taken leaf by leaf). What `dump_head` writes has none of that: of all operations
only those below, memo entries one after another, dictionaries whose keys are texts and small
numbers, and nothing but atoms and tuples of atoms used twice. What comes over a network is held to
that; our own processes' sockets are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncfabric_storage._buffers import Buffer

# What lies on the reader's stack: an atom, an atom that may be a key, a tuple that can be used
# twice, a list or dictionary, any other tuple, and one that was used before.
_ATOM, _KEY, _TUPLE, _FILLED, _MIXED, _AGAIN = range(6)

_PROTOCOL, _FRAME, _STOP, _MARK, _MEMOIZE, _GET, _LONG_GET = b"\x80\x95.(\x94hj"
_EMPTY_TUPLE, _TUPLE_1, _TUPLE_3, _TUPLE_MARKED = b")\x85\x87t"
_EMPTY_LIST, _EMPTY_DICT, _APPEND, _APPENDS, _SET, _SETS = b"]}aesu"
# Operation: what it pushes, and how many bytes its argument has.
_FIXED = {
    ord("N"): (_ATOM, 0), 0x88: (_ATOM, 0), 0x89: (_ATOM, 0), ord("G"): (_ATOM, 8),
    ord("K"): (_KEY, 1), ord("M"): (_KEY, 2), ord("J"): (_KEY, 4),
}  # fmt: skip
# Operation: what it pushes, and how many bytes tell the length of its argument.
_SIZED = {
    0x8C: (_KEY, 1), ord("X"): (_KEY, 4), 0x8D: (_KEY, 8),
    ord("C"): (_ATOM, 1), ord("B"): (_ATOM, 4), 0x8E: (_ATOM, 8),
    0x8A: (_ATOM, 1), 0x8B: (_ATOM, 4),
}  # fmt: skip


def is_bounded(head: Buffer) -> bool:
    """Tell whether a head is as `dump_head` writes it, so that reading it costs what it should."""
    try:
        return _Reader(bytes(head)).run()
    except (IndexError, KeyError):
        return False


class _Reader:
    """As much of an unpickler as it takes to know what kind of thing is where."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._stack: list[int] = []
        self._marks: list[int] = []
        self._memo: list[int] = []

    def run(self) -> bool:  # noqa: C901 - a loop over operations, which calls would slow down
        """Look through the head; tell whether it has only what is ever written."""
        data, stack, marks, memo = self._data, self._stack, self._marks, self._memo
        fixed, sized = _FIXED, _SIZED
        at, end = 0, len(data)
        while True:
            operation = data[at]
            at += 1
            if (atom := fixed.get(operation)) is not None:
                kind, size = atom
                stack.append(kind)
                at += size
            elif (atom := sized.get(operation)) is not None:
                kind, size = atom
                length = data[at] if size == 1 else int.from_bytes(data[at : at + size], "little")
                at += size + length
                stack.append(kind)
            elif operation == _MEMOIZE:
                memo.append(stack[-1])
            elif operation == _MARK:
                marks.append(len(stack))
            elif operation in {_GET, _LONG_GET}:
                size = 1 if operation == _GET else 4
                kind = memo[int.from_bytes(data[at : at + size], "little")]
                if kind > _TUPLE:
                    return False
                stack.append(_AGAIN if kind == _TUPLE else kind)
                at += size
            elif operation == _STOP:
                return at == end and len(stack) == 1 and not marks
            elif operation == _PROTOCOL:
                at += 1
            elif operation == _FRAME:
                at += 8
            elif not self._build(operation):
                return False

    def _build(self, operation: int) -> bool:
        """Do what makes or fills a container; tell whether that is ever written."""
        stack = self._stack
        if operation in {_EMPTY_LIST, _EMPTY_DICT}:
            stack.append(_FILLED)
        elif operation == _EMPTY_TUPLE:
            stack.append(_TUPLE)
        elif _TUPLE_1 <= operation <= _TUPLE_3:
            self._tuple(self._above(len(stack) - 1 - (operation - _TUPLE_1)))
        elif operation == _TUPLE_MARKED:
            self._tuple(self._above(self._marks.pop()))
        else:
            return self._fill(operation)
        return True

    def _fill(self, operation: int) -> bool:
        stack = self._stack
        if operation in {_APPENDS, _SETS}:
            items = self._above(self._marks.pop())
        elif operation in {_APPEND, _SET}:
            items = self._above(len(stack) - (1 if operation == _APPEND else 2))
        else:
            return False
        if operation in {_SET, _SETS} and (len(items) % 2 or set(items[::2]) - {_KEY}):
            return False
        return stack[-1] == _FILLED

    def _above(self, start: int) -> list[int]:
        """Take what lies on the stack from a place on."""
        if start < (self._marks[-1] if self._marks else 0):
            raise IndexError
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _tuple(self, items: list[int]) -> None:
        self._stack.append(_TUPLE if max(items, default=_ATOM) <= _TUPLE else _MIXED)
