"""What source files import, read from their syntax trees without running them."""

from __future__ import annotations

import ast
import contextlib
import warnings
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

When = Literal["always", "guarded", "later"]
"""Whenever the code is reached; where a condition holds or an `ImportError` is caught; when a
function is called."""

TOLERANT = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
IMPORTERS = frozenset({"import_module", "__import__"})


class Import(NamedTuple):
    """`import module`, or `from module import names`; the module by its full name."""

    module: str
    names: tuple[str, ...]
    when: When


def imports_of(source: bytes, module: str, *, is_package: bool) -> tuple[Import, ...]:
    """Return the imports of a module's source. What is no Python of this version has none.

    `TYPE_CHECKING` blocks and what stands under `if __name__ == "__main__"` are left out.
    """
    if b"import" not in source:
        return ()
    tree = _tree(source)
    if tree is None:
        return ()
    package = module if is_package else module.rpartition(".")[0]
    found = list(_walk(tree.body, package, "always"))
    if any(name.encode() in source for name in IMPORTERS):
        found += _called(tree, package)
    return tuple(dict.fromkeys(found))


def _tree(source: bytes) -> ast.Module | None:
    try:
        return ast.parse(source)
    except SyntaxError:
        # Perhaps only a warning about an escape sequence, where warnings are errors.
        with warnings.catch_warnings(), contextlib.suppress(SyntaxError):
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (ValueError, RecursionError, MemoryError):
        pass
    return None  # whoever imports it is told by Python


def absolute(name: str, level: int, package: str) -> str:
    """Return the full name of a relative import; "" where it leads out of the package."""
    if not level:
        return name
    parts = package.split(".") if package else []
    if len(parts) < level:
        return ""
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{name}" if name else base


def _walk(body: Sequence[ast.stmt], package: str, when: When) -> Iterator[Import]:
    for node in body:
        match node:
            case ast.Import():
                yield from (Import(alias.name, (), when) for alias in node.names)
            case ast.ImportFrom():
                base = absolute(node.module or "", node.level, package)
                if base:
                    yield Import(base, tuple(alias.name for alias in node.names), when)
            case _:
                for part, then in _parts(node, when):
                    yield from _walk(part, package, then)


def _parts(node: ast.stmt, when: When) -> Iterator[tuple[Sequence[ast.stmt], When]]:
    """Yield the statements within a statement, and when they run."""
    guarded: When = "guarded" if when == "always" else when
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield node.body, "later"
        case ast.ClassDef():
            yield node.body, when
        case ast.If():
            if not _never_runs(node.test):
                yield node.body, guarded
            yield node.orelse, guarded
        case ast.For() | ast.AsyncFor() | ast.While():
            yield node.body, guarded
            yield node.orelse, guarded
        case ast.Try() | ast.TryStar():
            yield from _parts_of_try(node, when, guarded)
        case ast.With() | ast.AsyncWith():
            tolerant = any(_suppresses(item.context_expr) for item in node.items)
            yield node.body, guarded if tolerant else when
        case ast.Match():
            for choice in node.cases:
                yield choice.body, guarded
        case _:
            pass


def _parts_of_try(
    node: ast.Try | ast.TryStar, when: When, guarded: When
) -> Iterator[tuple[Sequence[ast.stmt], When]]:
    inner = guarded if any(map(_tolerates, node.handlers)) else when
    for part in (node.body, *(handler.body for handler in node.handlers), node.orelse):
        yield part, inner
    yield node.finalbody, when


def _never_runs(test: ast.expr) -> bool:
    """Tell whether a condition is one of those that don't hold in workers."""
    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return True
        case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()]):
            return True
        case ast.Constant(value=value):
            return not value
        case _:
            return False


def _tolerates(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type
    if kinds is None:
        return True
    each = kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]
    return any(_name(kind) in TOLERANT for kind in each)


def _suppresses(manager: ast.expr) -> bool:
    return (
        isinstance(manager, ast.Call)
        and _name(manager.func) == "suppress"
        and any(_name(kind) in TOLERANT for kind in manager.args)
    )


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _called(tree: ast.Module, package: str) -> Iterator[Import]:
    """Yield the imports by `import_module("literal")`; when they run is not looked at."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]) if (
                _name(func) in IMPORTERS
            ):
                bare = name.lstrip(".")
                found = absolute(bare, len(name) - len(bare), package)
                if found:
                    yield Import(found, (), "guarded")
            case _:
                pass
