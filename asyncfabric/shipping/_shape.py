"""What a compiled function does, apart from where it is written.

Its instructions by name, with what they refer to in the place of positions in tables; jumps by
the number of the instruction that they lead to. Left out: file names, line numbers, instructions
that do nothing (the compiler puts them where a line would otherwise vanish), and constants that no
instruction loads, which are docstrings.
"""

from __future__ import annotations

import dis
from bisect import bisect_left
from types import CodeType
from typing import Any, NamedTuple

_IDLE = frozenset({"NOP", "CACHE", "EXTENDED_ARG"})
_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"})
_CONSTANT = frozenset(dis.hasconst)
_NAME = frozenset(dis.hasname)
_LOCAL = frozenset(dis.haslocal)
_FREE = frozenset(dis.hasfree)
_COMPARE = frozenset(dis.hascompare)
_JUMP = frozenset(dis.hasjrel) | frozenset(dis.hasjabs)
_PLACES = frozenset({"__firstlineno__", "__static_attributes__"})
"""What class bodies of Python 3.13 note of their source, or in the order of a set."""
# *args, **kwargs, generator, coroutine, iterable coroutine, asynchronous generator
_FLAGS = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200
_CODE = "<code>"


class Shape(NamedTuple):
    """What a code object comes to.

    Attributes:
        steps: the instructions, plain data; the code of inner functions among them.
        constants: what they load, in their order, code objects apart.
        arguments: names and kinds of the arguments, plain data.
        names: of globals that it and inner functions refer to, sorted.
    """

    steps: list[Any]
    constants: list[Any]
    arguments: tuple[Any, ...]
    names: tuple[str, ...]


def shape(code: CodeType) -> Shape:
    """Return what a code object comes to."""
    bytecode: Any = dis.Bytecode(code)  # typeshed doesn't know its exception_entries
    kept: list[dis.Instruction] = [each for each in bytecode if each.opname not in _IDLE]
    offsets = [each.offset for each in kept]
    steps: list[Any] = []
    constants: list[Any] = []
    names: set[str] = set()
    for number, each in enumerate(kept):
        follower = kept[number + 1] if number + 1 < len(kept) else None
        steps.append((each.opname, _operand(code, each, follower, offsets, constants, names)))
    for entry in bytecode.exception_entries:
        covered = [bisect_left(offsets, place) for place in (entry.start, entry.end, entry.target)]
        steps.append(("EXCEPT", *covered, entry.depth, entry.lasti))
    return Shape(steps, constants, _arguments(code), tuple(sorted(names)))


def _operand(
    code: CodeType,
    each: dis.Instruction,
    follower: dis.Instruction | None,
    offsets: list[int],
    constants: list[Any],
    names: set[str],
) -> Any:  # noqa: ANN401 - plain data
    if each.opcode in _CONSTANT:
        return _constant(code, each, follower, constants, names)
    if each.opname in _GLOBALS:
        names.add(each.argval)
    if each.opcode in _JUMP:
        return bisect_left(offsets, each.argval)
    if each.opcode in _NAME or each.opcode in _COMPARE:
        return each.argrepr  # tells of the operand's flags, too
    if each.opcode in _LOCAL or each.opcode in _FREE:
        return each.argval
    return each.arg


def _constant(
    code: CodeType,
    each: dis.Instruction,
    follower: dis.Instruction | None,
    constants: list[Any],
    names: set[str],
) -> Any:  # noqa: ANN401 - plain data
    value = code.co_consts[each.arg or 0]  # dis doesn't know those of all instructions
    if isinstance(value, CodeType):
        inner = shape(value)
        constants.extend(inner.constants)
        names.update(inner.names)
        return [_CODE, value.co_name, inner.steps, inner.arguments]
    if each.opname == "KW_NAMES":
        return value
    if follower is not None and follower.opname == "STORE_NAME" and follower.argval in _PLACES:
        return None
    constants.append(value)
    return None


def _arguments(code: CodeType) -> tuple[Any, ...]:
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
    return (
        code.co_posonlyargcount,
        code.co_argcount,
        code.co_kwonlyargcount,
        code.co_flags & _FLAGS,
        code.co_varnames[:count],
    )
