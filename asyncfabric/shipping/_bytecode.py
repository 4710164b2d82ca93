"""What compiled functions import when they run.

Functions that travel by value may have no source (the REPL, `exec`), and what a function does is in
its code. Of an exception handler only the names it loads are looked at.
"""

from __future__ import annotations

import dis
from types import CodeType
from typing import TYPE_CHECKING, Any

from ._imports import IMPORTERS, TOLERANT, Import, absolute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._imports import When


def imports_in(code: CodeType, package: str) -> Iterator[Import]:
    """Yield the imports of a function and of the functions within it.

    `package` is the `__package__` that its relative imports start from.
    """
    if not IMPORTERS.isdisjoint(code.co_names):
        for constant in code.co_consts:
            # Whichever of them import_module() is given: those that aren't modules lead nowhere.
            if isinstance(constant, str) and constant.replace(".", "").isidentifier():
                yield Import(constant.strip("."), (), "guarded")
    yield from _statements(code, package)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from imports_in(constant, package)


def _statements(code: CodeType, package: str) -> Iterator[Import]:
    bytecode: Any = dis.Bytecode(code)  # typeshed doesn't know its exception_entries
    instructions: list[dis.Instruction] = [
        each for each in bytecode if each.opname != "EXTENDED_ARG"
    ]
    if not any(each.opname == "IMPORT_NAME" for each in instructions):
        return
    caught = [
        range(entry.start, entry.end)
        for entry in bytecode.exception_entries
        if _tolerates(instructions, entry.target)
    ]
    for place, each in enumerate(instructions):
        if each.opname != "IMPORT_NAME":
            continue
        level, names = (before.argval for before in instructions[place - 2 : place])
        module = absolute(each.argval, level, package)
        when: When = "guarded" if any(each.offset in covered for covered in caught) else "always"
        if module:
            yield Import(module, tuple(names or ()), when)


def _tolerates(instructions: list[dis.Instruction], target: int) -> bool:
    """Tell whether the exception handler at an offset is one for imports that fail."""
    loaded: set[str] = set()
    for each in instructions:
        if each.offset < target:
            continue
        if each.opname == "WITH_EXCEPT_START":
            return False
        if each.opname == "RERAISE":
            # A bare `except:` asks for no type, and a `finally` doesn't end the exception.
            bare = "POP_EXCEPT" in loaded and "CHECK_EXC_MATCH" not in loaded
            return bare or not TOLERANT.isdisjoint(loaded)
        loaded.add(each.argval if each.opname.startswith("LOAD_") else each.opname)
    return False
