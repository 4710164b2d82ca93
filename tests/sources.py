"""What the project's source files import, read from their syntax trees without running them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
# import name of each package of the wheel -> its folder
PACKAGES = {
    "asyncfabric": ROOT / "asyncfabric",
    "asyncfabric_runtime": ROOT / "runtime" / "asyncfabric_runtime",
    "asyncfabric_storage": ROOT / "storage" / "asyncfabric_storage",
}

# "module": runs when the module is imported; "lazy": when a function is called or only if
# something is installed; "typing": never.
When = Literal["module", "lazy", "typing"]


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module or name, by its full name."""

    name: str
    when: When
    where: str  # path:line


@dataclass(frozen=True, slots=True)
class Module:
    """One source file of one of the packages."""

    name: str
    path: Path
    is_package: bool

    @property
    def place(self) -> str:
        """The path, as one from the repository's root."""
        return str(self.path.relative_to(ROOT))


@cache
def modules(package: str) -> tuple[Module, ...]:
    """All modules of one of the packages."""
    folder = PACKAGES[package]
    found: list[Module] = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        found.append(Module(".".join(parts[:-1] if is_package else parts), path, is_package))
    return tuple(found)


@cache
def imports(module: Module) -> tuple[Import, ...]:
    """All imports of a module."""
    tree = ast.parse(module.path.read_text(encoding="utf-8"))
    return tuple(_walk(tree, module, "module"))


def _walk(node: ast.AST, module: Module, when: When) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        where = f"{module.place}:{getattr(child, 'lineno', 0)}"
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, when, where)
        elif isinstance(child, ast.ImportFrom):
            base = _absolute(child, module)
            for alias in child.names:
                yield Import(f"{base}.{alias.name}", when, where)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for statement in child.body:
                yield from _walk(ast.Module([statement], []), module, "typing")
            for statement in child.orelse:
                yield from _walk(ast.Module([statement], []), module, when)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Try):
            yield from _walk(child, module, "typing" if when == "typing" else "lazy")
        else:
            yield from _walk(child, module, when)


def _absolute(node: ast.ImportFrom, module: Module) -> str:
    if not node.level:
        return node.module or ""
    package = module.name.split(".")
    if not module.is_package:
        package.pop()
    package = package[: len(package) - (node.level - 1)]
    return ".".join([*package, *([node.module] if node.module else [])])


def resolve(name: str, package: str) -> str | None:
    """The module of a package that an imported name stands for or lies in."""
    known = {module.name for module in modules(package)}
    while name:
        if name in known:
            return name
        name = name.rpartition(".")[0]
    return None


def cycle(package: str) -> list[str]:
    """A cycle of imports among the modules of a package, or nothing."""
    graph: dict[str, set[str]] = {}
    for module in modules(package):
        found = (resolve(each.name, package) for each in imports(module) if each.when != "typing")
        graph[module.name] = {name for name in found if name and name != module.name}
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        path.append(name)
        for other in sorted(graph[name]):
            if found := visit(other):
                return found
        path.pop()
        done.add(name)
        return []

    return next((found for found in map(visit, graph) if found), list[str]())
