"""What functions need in a worker: the user's own code, third-party packages, a Python."""

# ruff: noqa: PTH100, PTH109, PTH113, PTH120, PTH123
# Thousands of paths are joined and compared; here they are strings.

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric._exceptions import SerializationError
from asyncfabric_runtime import PYTHON

from ._imports import Import, imports_of
from ._included import add_included
from ._places import Places, is_own
from ._references import references
from ._rules import rules_above
from ._selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ._places import Place
    from ._rules import Rules
    from ._selection import File


class Need(NamedTuple):
    """The import names of third-party packages, to ask a worker about.

    Attributes:
        required: imported as soon as the functions are loaded or called.
        optional: imported elsewhere in the code that travels, or where an `ImportError` is caught.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]


class Survey(NamedTuple):
    """What functions need in a worker.

    Attributes:
        own: the user's own top-level packages and modules.
        files: their files, and those of `include`, sorted by name.
        withheld: names of files that stay here because they look like secrets.
        third_party: import names that are not the user's own -> where they are asked for.
        optional: those of them that a worker may lack.
        hard: full names that are imported without precaution.
        soft: full names that are imported where a condition holds or an `ImportError` is caught.
        rules: `include` and `exclude` as they were read, by directory.
        python: the driver's minor version, "3.11".
    """

    own: tuple[Place, ...]
    files: tuple[File, ...]
    withheld: tuple[str, ...]
    third_party: dict[str, str]
    optional: frozenset[str]
    hard: frozenset[str]
    soft: frozenset[str]
    rules: tuple[tuple[str, Rules], ...]
    python: str

    def joined(self, other: Survey) -> Survey:
        """Return this survey with the code that travels by another one."""
        files = {file.name: file for file in (*other.files, *self.files)}
        places = {place.top: place for place in (*other.own, *self.own)}
        return self._replace(
            own=tuple(places[name] for name in sorted(places)),
            files=tuple(files[name] for name in sorted(files)),
            withheld=tuple(sorted({*self.withheld, *other.withheld})),
            hard=self.hard | other.hard,
            soft=self.soft | other.soft,
            rules=tuple({**dict(other.rules), **dict(self.rules)}.items()),
        )

    @property
    def need(self) -> Need:
        """The third-party import names, as plain data."""
        names = sorted(self.third_party)
        return Need(
            tuple(name for name in names if name not in self.optional),
            tuple(name for name in names if name in self.optional),
        )


def survey(
    functions: Sequence[Callable[..., Any]],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Survey:
    """Find out what functions need. Reads the user's source files; some 1 ms each.

    A third-party package is required if it is imported when a module that the functions need is,
    or by a function that they name. In other places it is optional: behind `try` and `if`, inside
    functions that aren't called by name, in modules that nothing imports.

    Raises `SerializationError` for code that can't be sent, `ConfigurationError` for `include` and
    `exclude` that make no sense.
    """
    return _Survey(tuple(include), tuple(exclude)).of(functions)


def survey_modules(names: Sequence[str]) -> Survey:
    """Find out what modules need, by their names, as `survey` does for functions."""
    roots = [Import(name, (), "always") for name in names]
    return _Survey((), ()).of_imports(roots, "what is served")


def is_current(found: Survey, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> bool:
    """Tell whether the files that a survey found are unchanged, and none was added."""
    patterns = tuple(include), tuple(exclude)
    rules = tuple((root, rules_above(root).with_patterns(*patterns)) for root, _ in found.rules)
    if rules != found.rules:
        return False
    return _selected(found.own, dict(rules)).files_by_name() == found.files


def _selected(own: Iterable[Place], rules: dict[str, Rules]) -> Selection:
    selection = Selection()
    for place in own:
        selection.add_place(place, rules[place.roots[0]])
    add_included(selection, rules)
    return selection


class _Module(NamedTuple):
    name: str
    file: File
    imports: tuple[Import, ...]


class _Survey:
    """A survey in the making."""

    def __init__(self, include: tuple[str, ...], exclude: tuple[str, ...]) -> None:
        self._patterns = include, exclude
        self._places = Places()
        self._own: dict[str, Place] = {}
        self._rules: dict[str, Rules] = {}
        self._selection = Selection()
        self._modules: dict[str, _Module] = {}
        self._read: set[str] = set()
        self._third_party: dict[str, str] = {}
        self._required: set[str] = set()

    def of(self, functions: Sequence[Callable[..., Any]]) -> Survey:
        found = references(functions, self._places)
        roots = [*(Import(name, (), "always") for name in found.modules), *found.imports]
        return self.of_imports(roots, "the function")

    def of_imports(self, roots: Sequence[Import], because: str) -> Survey:
        self._rules_of(_main_root())
        self._take_in(roots, because)
        while True:
            add_included(self._selection, self._rules)
            unread = [name for name in self._selection.files if name not in self._read]
            if not unread:
                break
            for name in unread:
                self._read_file(self._selection.files[name])
        reached = self._reach(roots)
        hard, soft = self._imported_modules(roots)
        return Survey(
            own=tuple(self._own[name] for name in sorted(self._own)),
            files=self._selection.files_by_name(),
            withheld=tuple(sorted(self._selection.withheld)),
            third_party=self._third_party,
            optional=frozenset(self._third_party.keys() - reached),
            hard=frozenset(hard),
            soft=frozenset(soft),
            rules=tuple(self._rules.items()),
            python=PYTHON,
        )

    # -- the user's own code, all of it ---------------------------------------------------------

    def _take_in(self, imports: Iterable[Import], because: str) -> None:
        for each in imports:
            for place in self._targets(each):
                if place.kind == "own":
                    self._add(place, because)
                elif place.kind == "installed" or (
                    place.kind == "absent" and each.when == "always"
                ):
                    self._third_party.setdefault(place.name, because)

    def _targets(self, each: Import) -> list[Place]:
        place = self._places.find(each.module)
        if place.is_namespace and each.names:
            return [self._places.find(f"{each.module}.{name}") for name in each.names]
        return [place]

    def _add(self, place: Place, because: str) -> None:
        if place.top in self._own:
            return
        try:
            rules = self._rules_of(place.roots[0])
            self._selection.add_place(place, rules)
        except SerializationError as error:
            error.add_note(f"package {place.top!r} is asked for by {because}")
            raise
        self._own[place.top] = place

    def _rules_of(self, root: str) -> Rules:
        if root not in self._rules:
            self._rules[root] = rules_above(root).with_patterns(*self._patterns)
        return self._rules[root]

    def _read_file(self, file: File) -> None:
        self._read.add(file.name)
        if not file.name.endswith(".py"):
            return
        parts = file.name.removesuffix(".py").split("/")
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        imports = _imports_of(file, name, is_package)
        self._modules[name] = _Module(name, file, imports)
        self._take_in(imports, file.path)

    # -- what is imported for certain -----------------------------------------------------------

    def _reach(self, roots: Iterable[Import]) -> set[str]:
        """Return the names of third-party packages that are imported for certain."""
        required: set[str] = set()
        seen: set[str] = set()
        todo = [each for each in roots if each.when == "always"]
        while todo:
            each = todo.pop()
            required.update(
                place.name for place in self._targets(each) if place.kind in {"installed", "absent"}
            )
            for name in _with_parents(each):
                if name not in seen:
                    seen.add(name)
                    module = self._modules.get(name)
                    imports = module.imports if module else ()
                    todo += [inner for inner in imports if inner.when == "always"]
        return required

    def _imported_modules(self, roots: Iterable[Import]) -> tuple[set[str], set[str]]:
        """Return the names that are imported without and with precaution."""
        hard: set[str] = set()
        soft: set[str] = set()
        for imports in (roots, *(module.imports for module in self._modules.values())):
            for each in imports:
                names = soft if each.when == "guarded" else hard
                names.update((each.module, *(f"{each.module}.{name}" for name in each.names)))
        return hard, soft


def _with_parents(each: Import) -> Iterable[str]:
    """Yield the modules that an import may load: packages first, imported names too."""
    parts = each.module.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])
    for name in each.names:
        yield f"{each.module}.{name}"


def _imports_of(file: File, name: str, is_package: bool) -> tuple[Import, ...]:  # noqa: FBT001
    return _parsed(file.path, file.size, file.stamp, name, is_package)


@lru_cache(maxsize=20_000)
def _parsed(
    path: str,
    size: int,  # noqa: ARG001 - a key of the cache, as the next
    stamp: tuple[int, int, int],  # noqa: ARG001
    name: str,
    is_package: bool,  # noqa: FBT001
) -> tuple[Import, ...]:
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise SerializationError(
            f"{path} can't be read ({error.strerror}), so its package can't be sent to workers; "
            "make it readable, or leave it out by exclude in [tool.asyncfabric] of pyproject.toml"
        ) from error
    return imports_of(source, name, is_package=is_package)


def _main_root() -> str:
    """Return the directory of the main script, or the current one."""
    file: str | None = getattr(sys.modules.get("__main__"), "__file__", None)
    if file is None or not os.path.isfile(file):
        return os.getcwd()
    path = os.path.abspath(file)
    if not is_own(path) or path.startswith(sys.prefix + os.sep):
        return os.getcwd()  # a command like pytest or uvicorn
    return os.path.dirname(path)
