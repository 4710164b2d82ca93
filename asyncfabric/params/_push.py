"""Adding to parameters."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from ._checks import (
    fitting,
    float_array,
    index_array,
    narrowed,
    parameter_name,
    whole_number,
)
from ._entries import dense_entries, sparse_entries
from ._errors import ParameterError, StaleUpdate
from ._fold import fold_if_possible
from ._pull import nothing_to_read, to_read
from ._replica import REPLICAS, Pulled
from ._scripts import FOLD_BYTES, PUSH, REMEMBERED
from ._steps import (
    BATCH_BYTES,
    STAGED_TRIES,
    Later,
    ask,
    batches,
    call,
    evicted,
    gone,
    status,
    translated,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ._attempts import Ticket
    from ._layout import FloatArray, Layout
    from ._place import Place
    from ._steps import Answer, Command, Reply, Steps, Word

_STAGED_SECONDS: Final = 3600
"""After which Redis drops what was laid aside and never pushed: its sender has died."""


@dataclass(frozen=True, slots=True)
class Push:
    """What is to be added.

    Attributes:
        name: of the parameter.
        delta: what to add, dense or at `indices`.
        version: what the delta was computed from.
        max_staleness: how many pushes may have come since then.
        reading: shards of which to bring what is new.
    """

    name: str
    delta: object
    indices: object = None
    shards: Sequence[int] | None = None
    version: int | None = None
    max_staleness: int | None = None
    reading: Sequence[int] = ()


class Pushed(NamedTuple):
    """What became of a push.

    Attributes:
        version: the parameter's, with it.
        generation: the parameter's.
        fresh: whether the copies of what was to be read are as of then.
    """

    version: int
    generation: str
    fresh: bool


def push(place: Place, what: Push, ticket: Ticket) -> Steps[int]:
    """Add to a parameter; returns its version then. Applied once for each ticket."""
    parameter_name(what.name)
    if what.version is not None:
        what = replace(what, version=whole_number(what.version, "version="))
        if what.version is not None and what.version < 0:
            msg = f"version={what.version}: give the version that a pull returned"
            raise ValueError(msg)
    return (yield from apply_push(place, what, ticket)).version


def apply_push(place: Place, what: Push, ticket: Ticket) -> Steps[Pushed]:
    """Do what `push` does, and bring copies of `what.reading` up to date in the same round trip."""
    while True:
        layout = yield from place.layout(what.name)
        delta, indices = matching(layout, what)
        if indices is None:
            entries = dense_entries(layout, layout.chosen(what.shards), delta)
        else:
            entries = sparse_entries(layout, indices, delta)
        pushed = yield from _Pushing(place, what, layout, [*entries], ticket).steps()
        if pushed is not None:
            return pushed
        place.forget(what.name)


def matching(layout: Layout, what: Push) -> tuple[FloatArray, NDArray[np.int64] | None]:
    """Return the delta and its indices, if it has any; raises what doesn't fit the parameter."""
    delta = float_array(what.delta, "the delta", may_be_empty=what.indices is not None)
    if not hasattr(what.delta, "dtype"):
        # Numbers and lists of Python's have no precision that could be lost.
        delta = narrowed(delta, layout)
    fitting(layout, delta, what.name)
    if what.indices is not None:
        if what.shards is not None:
            msg = "give indices= or shards=, not both"
            raise ValueError(msg)
        indices = index_array(layout, what.indices)
        if delta.shape != indices.shape:
            msg = f"the delta has shape {delta.shape} for {indices.size} indices"
            raise ValueError(msg)
        return delta, indices
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
    return delta, None


@dataclass(frozen=True, slots=True)
class _Pushing:
    """One push to one generation of a parameter."""

    place: Place
    what: Push
    layout: Layout
    entries: Sequence[tuple[int, bytes]]
    ticket: Ticket

    def steps(self) -> Steps[Pushed | None]:
        """Push; returns None if the parameter was put anew."""
        # A large push is laid beside the logs first, so that all of it is added at one moment.
        large = sum(len(entry) for _, entry in self.entries) > BATCH_BYTES
        aside = secrets.token_hex(8) if large else None
        try:
            answer, said = yield from self._asked(aside)
        except ParameterError:  # its memory is full, say
            yield self._unstage(aside)
            raise
        if said != "ok":
            yield self._unstage(aside)
        if said == "changed":
            return None
        if said == "gone":
            raise gone(self.what.name)
        reply = answer.replies[0]
        fresh = self._take(answer, reply[3])
        if said == "stale":
            raise _stale(self.what, int(reply[2][0]))
        for shard in reply[2]:
            yield from fold_if_possible(self.place, self.what.name, self.layout, shard)
        return Pushed(int(reply[1]), self.layout.generation, fresh)

    def _asked(self, aside: str | None) -> Steps[tuple[Answer, str]]:
        """Stage and push; returns what Redis says."""
        for _ in range(STAGED_TRIES):
            if aside is not None:
                yield from self._stage(aside)
            self.ticket.used = True
            answer = yield Later([self._command(aside)])
            reply = answer.replies[0]
            said = "refused" if isinstance(reply, Exception) else status(reply)
            self.ticket.used = said in ("ok", "again")
            if isinstance(reply, Exception):
                raise translated(reply)
            # Else its keys expired or were evicted, or the answer "ok" was lost: it will say so.
            if said != "unstaged":
                return answer, said
        raise evicted(self.what.name)

    def _take(self, answer: Answer, news: Sequence[Reply]) -> bool:
        """Take over what came with the answer; returns whether that is all that was to be read."""
        if not news:
            return False
        server, shards, own = self.place.server, self.what.reading, dict(self.entries)
        pulled = Pulled(server, self.layout, shards, answer.incarnation, own)
        return REPLICAS.update(pulled, news, nothing_to_read)

    def _stage(self, aside: str) -> Steps[None]:
        for run in batches([len(entry) for _, entry in self.entries]):
            some = self.entries[run.start : run.stop]
            yield from ask(
                *(
                    ("SET", self.place.keys.aside(aside, shard), entry, "EX", _STAGED_SECONDS)
                    for shard, entry in some
                )
            )

    def _unstage(self, aside: str | None) -> list[Command]:
        if aside is None:
            return []
        return [("UNLINK", self.place.keys.aside(aside, shard)) for shard, _ in self.entries]

    def _command(self, aside: str | None) -> Command:
        keys, what, layout, ticket = self.place.keys, self.what, self.layout, self.ticket
        names = [keys.catalog, keys.state(what.name, layout), keys.seen, keys.seen_before]
        names.append(keys.staleness(what.name))
        arguments: list[Word] = [what.name, layout.text, ticket.token, ticket.number, REMEMBERED]
        arguments.append("" if what.version is None else what.version)
        arguments.append("" if what.max_staleness is None else what.max_staleness)
        arguments += "0" if aside is None else "1", len(self.entries)
        for shard, entry in self.entries:
            names.append(keys.log(what.name, layout, shard))
            full = layout.length(shard) * layout.itemsize + FOLD_BYTES
            arguments += shard, entry if aside is None else b"", full
        if aside is not None:
            names += [keys.aside(aside, shard) for shard, _ in self.entries]
        reading, known = to_read(self.place, what.name, layout, what.reading, None)
        return call(PUSH, [*names, *reading], *arguments, *known)


def _stale(what: Push, late: int) -> StaleUpdate:
    return StaleUpdate(
        f"{late} pushes to {what.name!r} came between the pull and this push, more than "
        f"max_staleness={what.max_staleness}; nothing was added: pull, compute, push again",
        late,
    )
