"""A canonical spelling of values: equal for equal values, in every process.

A pickle is none: sets come in the order of their hashes, and the same text twice is spelt
otherwise than two equal texts. Here every value becomes a token of at most 129 bytes: a tag, and
its content or, from 128 bytes on, the content's SHA-256. A container's content are its members'
tokens, sorted in sets and, by key, in dicts. So a value is spelt by what it holds, not by how it
came about. What is not built in is spelt by what it reduces to for pickling.

The order of a dict's keys does not count (it does in an OrderedDict). Neither does whether two
members are one object or two equal ones.
"""

from __future__ import annotations

import copyreg
import functools
import struct
import sys
from collections import OrderedDict
from hashlib import sha256
from types import (
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any, cast

from asyncfabric._exceptions import SerializationError

from ._functions import travels_by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SHORT = 128
_LENGTHS = [bytes([length]) for length in range(_SHORT)]
_HASHED = b"\xff"
_FLOAT = struct.Struct(">d").pack
_PROTOCOL = 4  # with 5, buffers come apart from what they belong to
_NAMES = 1024
_REDUCED = range(2, 7)  # how many parts a reduction has
_SMALL_INT = range(-(1 << 15), 1 << 15)


class NoCanonicalForm(Exception):
    """A value has none; the text says why, and where in the whole it is."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def token(tag: bytes, content: bytes | bytearray) -> bytes:
    """Spell one value: tag, length and content, or the content's digest where it is long."""
    size = len(content)
    if size < _SHORT:
        return tag + _LENGTHS[size] + content
    return tag + _HASHED + sha256(content).digest()


def text_token(tag: bytes, text: str) -> bytes:
    """Spell a text."""
    return token(tag, text.encode("utf-8", "surrogatepass"))


class Canonical:
    """Spells values. One object serves one thread; it remembers the names of functions and classes.

    `local` spells functions and classes that travel by value, and `alone` does so in sets: there
    it must not depend on what was spelt before. The default refuses them.
    """

    def __init__(
        self,
        local: Callable[[Any], bytes] | None = None,
        alone: Callable[[Any], bytes] | None = None,
    ) -> None:
        self._local = _refuse if local is None else local
        self._alone = self._local if alone is None else alone
        self._memo: dict[int, tuple[object, bytes]] = {}
        self._named: dict[int, tuple[object, bytes]] = {}
        self._open: set[int] = set()

    def digest(self, value: object) -> bytes:
        """Return the SHA-256 of a value's spelling.

        Raises:
            NoCanonicalForm: it refers to itself, can't be pickled, or is too deep.
        """
        return sha256(self.spell(value)).digest()

    def spell(self, value: object) -> bytes:
        """Return a value's token. Raises as `digest` does."""
        atom = _ATOMS.get(type(value))
        if atom is not None:
            return atom(value)
        try:
            return self.token(value)
        except RecursionError:
            raise NoCanonicalForm("it is nested too deeply") from None
        finally:
            self._memo.clear()
            self._open.clear()

    def token(self, value: Any) -> bytes:  # noqa: ANN401 - anything at all
        """Spell a value that is part of another one."""
        kind = cast("Any", type(value))
        atom = _ATOMS.get(kind)
        if atom is not None:
            return atom(value)
        key = id(value)
        known = self._memo.get(key)
        if known is not None:
            return known[1]
        if key in self._open:
            raise NoCanonicalForm(f"a {kind.__qualname__} in it refers to itself")
        self._open.add(key)
        spell = _CONTAINERS.get(kind, _other)
        spelt = spell(self, value)
        self._open.discard(key)
        # With the value, so that no other one gets its address meanwhile.
        self._memo[key] = value, spelt
        return spelt

    def sequence(self, tag: bytes, members: Iterable[Any]) -> bytes:
        """Spell values in their order."""
        return token(tag, b"".join(map(self.token, members)))

    def set(self, tag: bytes, members: Iterable[Any]) -> bytes:
        """Spell values in whatever order they come."""
        before, self._local = self._local, self._alone
        try:
            return token(tag, b"".join(sorted(map(self.token, members))))
        finally:
            self._local = before

    def mapping(self, tag: bytes, pairs: Iterable[tuple[Any, Any]]) -> bytes:
        """Spell pairs, by their keys."""
        spelt = [(self.token(key), self.token(value)) for key, value in pairs]
        spelt.sort()
        return token(tag, b"".join([part for pair in spelt for part in pair]))

    def code(self, value: Any) -> bytes:  # noqa: ANN401 - a function or class
        """Spell a function or class: by its name where that leads to it."""
        known = self._named.get(id(value))
        if known is not None:
            return known[1]
        # Some types of the interpreter's own, NoneType say, have no name that leads to them.
        if value.__module__ != "builtins" and not travels_by_name(value):
            return self._local(value)
        spelt = text_token(b"g", f"{value.__module__}:{value.__qualname__}")
        if len(self._named) >= _NAMES:
            self._named.clear()
        self._named[id(value)] = value, spelt
        return spelt


def _refuse(value: Any) -> bytes:  # noqa: ANN401
    raise NoCanonicalForm(f"{value.__qualname__} is defined in the main program")


def _int(value: int) -> bytes:
    if value in _SMALL_INT:
        return b"i\x02" + value.to_bytes(2, signed=True)
    return token(b"i", value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def _str(value: str) -> bytes:
    return token(b"s", value.encode("utf-8", "surrogatepass"))


def _complex(value: complex) -> bytes:
    return b"c\x10" + _FLOAT(value.real) + _FLOAT(value.imag)


_ATOMS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"N\0",
    bool: lambda value: b"T\0" if value else b"F\0",
    int: _int,
    float: lambda value: b"f\x08" + _FLOAT(value),
    complex: _complex,
    str: _str,
    bytes: lambda value: token(b"b", value),
    bytearray: lambda value: token(b"B", value),
}


def _descriptor(_: Canonical, value: Any) -> bytes:  # noqa: ANN401 - of a slot, say
    return text_token(b"D", value.__name__)


def _wrapped(spelling: Canonical, value: Any) -> bytes:  # noqa: ANN401 - static or class method
    return token(b"M", text_token(b"s", type(value).__name__) + spelling.token(value.__func__))


def _module(spelling: Canonical, value: ModuleType) -> bytes:
    name = text_token(b"m", value.__name__)
    if sys.modules.get(value.__name__) is value:
        return name
    made = vars(value)  # at run time, so it travels by value
    content = spelling.mapping(b"d", [(each, made[each]) for each in made.keys() - OF_MODULES])
    return token(b"m", name + content)


OF_MODULES = frozenset(
    {
        "__annotations__",
        "__builtins__",
        "__cached__",
        "__doc__",
        "__file__",
        "__loader__",
        "__name__",
        "__package__",
        "__spec__",
    }
)
"""What a module is given by whoever loads it."""
_LRU: Any = type(functools.lru_cache(lambda: None))

# The latter half can't be pickled, and cloudpickle sends it all the same.
_CONTAINERS: dict[type, Callable[[Canonical, Any], bytes]] = {
    tuple: lambda spelling, value: spelling.sequence(b"(", value),
    list: lambda spelling, value: spelling.sequence(b"[", value),
    set: lambda spelling, value: spelling.set(b"{", value),
    frozenset: lambda spelling, value: spelling.set(b"<", value),
    dict: lambda spelling, value: spelling.mapping(b"d", value.items()),
    MappingProxyType: lambda spelling, value: spelling.mapping(b"p", value.items()),
    FunctionType: Canonical.code,
    type: Canonical.code,
    ModuleType: _module,
    staticmethod: _wrapped,
    classmethod: _wrapped,
    property: lambda spelling, value: spelling.sequence(b"P", (value.fget, value.fset, value.fdel)),
    functools.cached_property: lambda spelling, value: token(b"C", spelling.token(value.func)),
    _LRU: lambda spelling, value: token(
        b"L", spelling.token(value.__wrapped__) + spelling.token(value.cache_parameters())
    ),
    GetSetDescriptorType: _descriptor,
    MemberDescriptorType: _descriptor,
    WrapperDescriptorType: _descriptor,
}


def _other(spelling: Canonical, value: Any) -> bytes:  # noqa: ANN401 - anything else
    kind = cast("Any", type(value))
    if isinstance(value, type):  # of a metaclass of its own
        return spelling.code(value)
    if kind.__module__ == "numpy" and (spelt := _numpy(spelling, value)) is not None:
        return spelt
    if isinstance(value, set | frozenset):  # of a class of its own; reduced, it is in no order
        members = spelling.set(b"{", cast("Iterable[Any]", value))
        state = spelling.token(getattr(cast("Any", value), "__dict__", None))
        return token(b"S", spelling.token(kind) + members + state)
    return _reduced(spelling, value)


def _numpy(spelling: Canonical, value: Any) -> bytes | None:  # noqa: ANN401 - whatever it is
    numpy = sys.modules["numpy"]
    if type(value) is numpy.ndarray:
        return _array(spelling, value)
    if isinstance(value, numpy.generic):
        scalar: Any = value
        if scalar.dtype.names is None and not scalar.dtype.hasobject:
            return token(b"n", text_token(b"s", scalar.dtype.str) + scalar.tobytes())
    return None


def _array(spelling: Canonical, value: Any) -> bytes:  # noqa: ANN401 - a numpy array
    """Spell an array by its type, shape and items, wherever they lie in memory."""
    dtype = value.dtype
    shape = spelling.token(value.shape)
    if dtype.names is not None:  # between the fields there may be anything
        fields = [(name, value[name]) for name in dtype.names]
        return token(b"A", shape + b"".join(spelling.token(part) for part in fields))
    kind = text_token(b"s", dtype.str)
    if dtype.hasobject:
        return token(b"A", shape + kind + spelling.sequence(b"[", value.reshape(-1).tolist()))
    if not value.size or not dtype.itemsize:
        return token(b"A", shape + kind)
    flat = sys.modules["numpy"].ascontiguousarray(value).reshape(-1)
    return token(b"A", shape + kind + sha256(flat.view("u1").data).digest())


def _reduced(spelling: Canonical, value: Any) -> bytes:  # noqa: ANN401 - any object
    """Spell an object by what makes it: see `object.__reduce__`."""
    kind = cast("Any", type(value))
    identity = getattr(kind, "__asyncfabric_identity__", None)
    if identity is not None:  # what it is the same by, where its pickle says more than that
        return token(b"o", spelling.token(kind) + spelling.token(identity(value)))
    try:
        reduce = copyreg.dispatch_table.get(kind)
        reduced: Any = value.__reduce_ex__(_PROTOCOL) if reduce is None else reduce(value)
    except NoCanonicalForm:
        raise
    except Exception as error:
        raise NoCanonicalForm(
            f"a {kind.__module__}.{kind.__qualname__} in it can't be pickled: {error}"
        ) from error
    if isinstance(reduced, str):
        return text_token(b"g", f"{getattr(value, '__module__', None)}:{reduced}")
    parts = cast("tuple[Any, ...]", reduced)
    if not isinstance(reduced, tuple) or len(parts) not in _REDUCED:
        raise NoCanonicalForm(f"a {kind.__module__}.{kind.__qualname__} in it can't be pickled")
    padded: list[Any] = [*parts, *[None] * (_REDUCED[-1] - len(parts))]
    make, arguments, state, items, pairs, setter = padded
    content = spelling.token(make) + spelling.token(arguments) + spelling.token(state)
    if items is not None:
        content += spelling.sequence(b"[", list(items))
    if pairs is not None:
        ordered = isinstance(value, OrderedDict)
        known = list(pairs)
        content += spelling.sequence(b"[", known) if ordered else spelling.mapping(b"d", known)
    if setter is not None:
        content += spelling.token(setter)
    return token(b"o", content)


def no_form(what: str, error: NoCanonicalForm, advice: str) -> SerializationError:
    """Return the error that tells a user which of their values can't be told from another."""
    return SerializationError(
        f"{what} can't be compared with what it was when the job began: {error.why}; {advice}"
    )
