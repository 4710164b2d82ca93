"""Adding to parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._checks import fitting, float_array, index_array
from ._entries import dense_entries, sparse_entries
from ._errors import StaleUpdate
from ._pull import read_shards
from ._scripts import FOLD, FOLD_BYTES, PUSH, REMEMBERED
from ._steps import ask, batches, call, gone, status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._attempts import Ticket
    from ._layout import FloatArray, Layout
    from ._place import Place
    from ._steps import Command, Steps, Word

_PARTS = 2**20
"""A push is at most so many parts: each part's number is the push's number and its own."""


@dataclass(frozen=True, slots=True)
class Push:
    """What is to be added.

    Attributes:
        name: of the parameter.
        delta: what to add, dense or at `indices`.
        version: what the delta was computed from.
        max_staleness: how many pushes may have come since then.
    """

    name: str
    delta: object
    indices: object = None
    shards: Sequence[int] | None = None
    version: int | None = None
    max_staleness: int | None = None


def push(place: Place, what: Push, ticket: Ticket) -> Steps[int]:
    """Add to a parameter; returns its version then. Applied once for each ticket."""
    delta = float_array(what.delta, "the delta", may_be_empty=what.indices is not None)
    weak = not hasattr(what.delta, "dtype")
    while True:
        layout = yield from place.layout(what.name)
        if weak:
            # Numbers and lists of Python's have no precision that could be lost.
            delta = delta.astype(layout.dtype)
        entries = _entries(layout, what, delta)
        version = yield from _push_parts(place, what, layout, entries, ticket)
        if version is not None:
            return version
        place.forget(what.name)


def _entries(layout: Layout, what: Push, delta: FloatArray) -> list[tuple[int, bytes]]:
    fitting(layout, delta, what.name)
    if what.indices is not None:
        if what.shards is not None:
            msg = "give indices= or shards=, not both"
            raise ValueError(msg)
        indices = index_array(layout, what.indices)
        if delta.shape != indices.shape:
            msg = f"the delta has shape {delta.shape} for {indices.size} indices"
            raise ValueError(msg)
        return list(sparse_entries(layout, indices, delta))
    shards = layout.chosen(what.shards)
    shape = layout.shape
    if what.shards is not None:
        shape = (sum(layout.length(shard) for shard in shards),)
    if delta.shape != shape:
        msg = (
            f"the delta has shape {delta.shape} and what it is added to, {what.name!r}, "
            f"{shape}; give indices= or shards= to add to a part"
        )
        raise ValueError(msg)
    return list(dense_entries(layout, shards, delta))


def _push_parts(
    place: Place, what: Push, layout: Layout, entries: Sequence[tuple[int, bytes]], ticket: Ticket
) -> Steps[int | None]:
    """Push part by part; returns the version, or None if the parameter was put anew."""
    version = 0
    full: list[int] = []
    for part, run in enumerate(batches([len(entry) for _, entry in entries])):
        some = entries[run.start : run.stop]
        number = ticket.number * _PARTS + part
        answer = yield from ask(_command(place, what, layout, some, (ticket.token, number)))
        reply = answer.replies[0]
        said = status(reply)
        if said == "changed":
            return None
        if said == "gone":
            raise gone(what.name)
        if said == "stale":
            late = int(reply[2])
            raise StaleUpdate(
                f"{late} pushes to {what.name!r} came between the pull and this push, more than "
                f"max_staleness={what.max_staleness}; nothing was added: pull, compute, push again",
                late,
            )
        if part == 0:
            version = int(reply[1])
        if said == "ok":
            full += reply[2:]
    for shard in full:
        yield from fold(place, what.name, layout, shard)
    return version


def _command(
    place: Place,
    what: Push,
    layout: Layout,
    entries: Sequence[tuple[int, bytes]],
    ticket: tuple[str, int],
) -> Command:
    keys, first = place.keys, ticket[1] % _PARTS == 0
    names = [keys.catalog, keys.state(what.name, layout), keys.seen, keys.seen_before]
    names.append(keys.staleness(what.name))
    arguments: list[Word] = [what.name, layout.text, *ticket, REMEMBERED]
    # The later parts of a push go where its first part went.
    arguments.append("" if what.version is None or not first else what.version)
    arguments.append("" if what.max_staleness is None else what.max_staleness)
    arguments.append("1" if first else "0")
    for shard, entry in entries:
        names.append(keys.log(what.name, layout, shard))
        arguments += shard, entry, layout.length(shard) * layout.itemsize + FOLD_BYTES
    return call(PUSH, names, *arguments)


def fold(place: Place, name: str, layout: Layout, shard: int) -> Steps[None]:
    """Write a shard's base anew, with its log so far in it.

    Any process may do that at any time, and several at once: all that have the shard as of the same
    entry have the same bytes, and Redis takes the first.
    """
    found: list[tuple[int, bytes]] = []

    def read(_: int, at: int, elements: FloatArray) -> None:
        found[:] = [(at, elements.tobytes())]

    version = yield from read_shards(place, name, layout, [shard], read)
    if version is None:
        return
    ((at, elements),) = found
    keys = place.keys
    names = [keys.catalog, keys.state(name, layout), keys.base(name, layout, shard)]
    names.append(keys.log(name, layout, shard))
    yield from ask(call(FOLD, names, name, layout.text, shard, at, elements))
