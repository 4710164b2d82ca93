"""Whether a program is the one that a job was begun with, and if not, what differs.

An identity is a set of named parts with their digests: of each function and class that travels by
value its code, constants, defaults, closure and the globals it names; of what is imported, the
files that go to the workers. The same in every process that defines the same functions: file names,
line numbers, the order of sets and dicts and where an object came from have no part in it.

What does count, though a user may not think of it: the values of globals at the time the job begins
(a counter, a random generator), and the minor version of Python, whose bytecode is its own.
"""

from __future__ import annotations

import io
import zipfile
from collections import deque
from enum import EnumMeta
from hashlib import sha256
from operator import itemgetter
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ._canonical import OF_MODULES, Canonical, NoCanonicalForm, no_form, text_token, token
from ._functions import OPTIONS_ATTRIBUTE
from ._shape import shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ._archive import Archive

MOST_FILES = 500
"""Above so many files of an archive, its top-level packages are parts and not their files."""

_DIGEST_CHARACTERS = 32
_ENTRY = "what is called"
# What a class is given by the interpreter, by abc, enum and dataclasses, out of its other parts.
_OF_CLASSES = frozenset(
    {
        "__abstractmethods__",
        "__annotate__",
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__module__",
        "__qualname__",
        "__slotnames__",
        "__static_attributes__",
        "__weakref__",
        "_abc_impl",
    }
)

_METHODS = (FunctionType, property, classmethod, staticmethod)


class Identity(NamedTuple):
    """What a program is made of: parts by name, each with a digest in hexadecimal."""

    parts: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of all parts."""
        spelt = sorted(f"{len(name)}:{name}={part}" for name, part in self.parts.items())
        return sha256("\n".join(spelt).encode("utf-8", "surrogatepass")).hexdigest()

    def differences(self, now: Identity) -> list[str]:
        """Return what differs in `now`, a line each, none if nothing does."""
        old, new = self.parts, now.parts
        owners = {_owner(name) for name in old} | {_owner(name) for name in new}
        lines: list[str] = []
        for owner in sorted(owners):
            was = {name: part for name, part in old.items() if _owner(name) == owner}
            is_now = {name: part for name, part in new.items() if _owner(name) == owner}
            lines += _compared(owner, was, is_now)
        return lines


def _owner(name: str) -> str:
    return name.partition(": ")[0]


def _compared(owner: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    if not old:
        yield f"{owner} is new"
    elif not new:
        yield f"{owner} is gone"
    else:
        for name in sorted({*old, *new}):
            what = name.partition(": ")[2]
            if name not in old:
                yield f"{owner}: {what} is new"
            elif name not in new:
                yield f"{owner}: {what} is gone"
            elif old[name] != new[name]:
                yield f"{owner}: {what} changed" if what else f"{owner} changed"


def identify(
    function: Callable[..., Any],
    *,
    archive: Archive | None = None,
    initializer: Callable[..., Any] | None = None,
    version: str | None = None,
) -> Identity:
    """Return what a job's function is made of.

    `archive` is what the functions import of the user's own, surveyed for them alone. With a
    `version`, that is all there is to it: the user says when the program is another.

    Raises:
        SerializationError: something that the function refers to can't be told from another.
    """
    if version is not None:
        return Identity({f"version={version!r}": _short(b"")})
    walk = _Walk()
    walk.entry(_ENTRY, function)
    if initializer is not None:
        walk.entry("the initializer", initializer)
    walk.parts.update(_files(archive))
    return Identity(walk.parts)


def _short(spelling: bytes) -> str:
    return sha256(spelling).hexdigest()[:_DIGEST_CHARACTERS]


def _files(archive: Archive | None) -> Iterator[tuple[str, str]]:
    if archive is None:
        return
    with zipfile.ZipFile(io.BytesIO(archive.data)) as packed:
        members = [(name, packed.read(name)) for name in sorted(packed.namelist())]
    if len(members) <= MOST_FILES:
        yield from ((f"file {name}", _short(data)) for name, data in members)
        return
    packages: dict[str, list[bytes]] = {}
    for name, data in members:
        top = name.partition("/")[0]
        packages.setdefault(top, []).append(text_token(b"s", name) + sha256(data).digest())
    yield from ((f"package {top}", _short(b"".join(each))) for top, each in packages.items())


class _Walk:
    """Goes from function to function, each once, and notes what they are made of."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self._labels: dict[int, str] = {}
        self._held: list[object] = []  # so that no other object gets a labelled one's address
        self._waiting: deque[tuple[str, Any]] = deque()
        self._canonical = Canonical(self._refer, spelt_identity)

    def entry(self, name: str, function: Any) -> None:  # noqa: ANN401 - anything callable
        self._note(name, function)
        while self._waiting:
            label, found = self._waiting.popleft()
            (self._function if isinstance(found, FunctionType) else self._class)(label, found)

    def _refer(self, found: Any) -> bytes:  # noqa: ANN401 - a function or class
        label = self._labels.get(id(found))
        if label is None:
            kind = "function" if isinstance(found, FunctionType) else "class"
            base = label = f"{kind} {found.__qualname__}".replace(": ", ":")
            taken = set(self._labels.values())
            number = 1
            while label in taken:
                number += 1
                label = f"{base} #{number}"
            self._labels[id(found)] = label
            self._held.append(found)
            self._waiting.append((label, found))
        return text_token(b"@", label)

    def _note(self, name: str, value: object) -> None:
        try:
            self.parts[name] = _short(self._canonical.spell(value))
        except NoCanonicalForm as error:
            raise no_form(name, error, _ADVICE) from error

    def _function(self, label: str, function: FunctionType) -> None:
        code = function.__code__
        found = shape(code)
        self._note(f"{label}: its code", found.steps)
        self._note(f"{label}: its arguments", found.arguments)
        if found.constants:
            self._note(f"{label}: a constant in its code", found.constants)
        defaults = function.__defaults__ or ()
        named = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
        for name, value in zip(named, defaults, strict=True):
            self._note(f"{label}: its default {name}", value)
        for name, value in (function.__kwdefaults__ or {}).items():
            self._note(f"{label}: its default {name}", value)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # it is empty, and may be filled before a call
                value = ()
            self._note(f"{label}: {name} of its closure", value)
        for name in found.names:
            if name in function.__globals__ and name not in OF_MODULES:
                self._note(f"{label}: its global {name}", function.__globals__[name])
        for name, value in function.__dict__.items():
            if name != OPTIONS_ATTRIBUTE:
                self._note(f"{label}: its attribute {name}", value)

    def _class(self, label: str, found: Any) -> None:  # noqa: ANN401 - a class
        self._note(f"{label}: its bases", (cast("Any", type(found)), *found.__bases__))
        held: dict[str, Any] = {**found.__dict__}
        if isinstance(cast("object", found), EnumMeta):
            whole: list[tuple[str, Any]] = [
                (name, member._value_) for name, member in found.__members__.items()
            ]
            self._note(f"{label}: its members", whole)
            held = {name: value for name, value in held.items() if isinstance(value, _METHODS)}
        for name, value in sorted(held.items(), key=itemgetter(0)):
            if name not in _OF_CLASSES:
                self._note(f"{label}: its {name}", value)


_ADVICE = (
    "make it inside the function, pass it as an input or as shared=, or give the job version='1' "
    "and change that whenever the program changes"
)


def spelt_identity(found: Any) -> bytes:  # noqa: ANN401 - a function or class
    """Spell a function or class that is part of an input, by what it is made of."""
    return token(b"@", identify(found).digest.encode())
