"""The shapes of `Fabric.map` and `Fabric.starmap` for type checkers.

What comes out depends on three things: whether failures are delivered (`return_exceptions`),
whether values stay in the store (`results`), and whether the function takes more than its input
(`shared`).
Each combination is an overload; these types keep an overload to a line.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Concatenate, Literal, Required, TypeAlias, TypedDict, TypeVar, TypeVarTuple

A = TypeVar("A")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

Items: TypeAlias = Iterable[A] | AsyncIterable[A]
Function: TypeAlias = Callable[[A], R]
CoFunction: TypeAlias = Callable[[A], Coroutine[Any, Any, R]]
Sharing: TypeAlias = Callable[Concatenate[A, ...], R]
CoSharing: TypeAlias = Callable[Concatenate[A, ...], Coroutine[Any, Any, R]]
AnyFunction: TypeAlias = Callable[..., R]
AnyCoFunction: TypeAlias = Callable[..., Coroutine[Any, Any, R]]


class _Common(TypedDict, total=False):
    """What all combinations take; described at `Fabric.map`."""

    ordered: bool
    seed: int | None
    buffersize: int | None
    chunksize: int | Literal["auto"]
    job: str | None
    version: str | None


class Values(_Common, total=False):
    """Deliver values; a failure raises."""

    shared: None
    return_exceptions: Literal[False]
    results: Literal["value"]


class Errors(_Common, total=False):
    """Deliver values or exceptions."""

    shared: None
    return_exceptions: Required[bool]
    results: Literal["value"]


class Refs(_Common, total=False):
    """Deliver refs; a failure raises."""

    shared: None
    return_exceptions: Literal[False]
    results: Required[Literal["ref"]]


class RefErrors(_Common, total=False):
    """Deliver refs or exceptions."""

    shared: None
    return_exceptions: Required[bool]
    results: Required[Literal["ref"]]


class SharedValues(_Common, total=False):
    """`Values`, of a function that takes shared values too."""

    shared: Required[Mapping[str, object]]
    return_exceptions: Literal[False]
    results: Literal["value"]


class SharedErrors(_Common, total=False):
    """`Errors`, of a function that takes shared values too."""

    shared: Required[Mapping[str, object]]
    return_exceptions: Required[bool]
    results: Literal["value"]


class SharedRefs(_Common, total=False):
    """`Refs`, of a function that takes shared values too."""

    shared: Required[Mapping[str, object]]
    return_exceptions: Literal[False]
    results: Required[Literal["ref"]]


class SharedRefErrors(_Common, total=False):
    """`RefErrors`, of a function that takes shared values too."""

    shared: Required[Mapping[str, object]]
    return_exceptions: Required[bool]
    results: Required[Literal["ref"]]
