"""Writing whole parameters: a change of any number of them is in force all at once, or not at all.

Elements are written beside what is there, under keys that expire; one script then puts the new
layouts into the catalog and drops what they replace.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ._errors import ParameterError
from ._layout import Layout
from ._scripts import COMMIT, REMEMBERED
from ._steps import (
    BATCH_BYTES,
    STAGED_TRIES,
    ask,
    call,
    evicted,
    nothing,
    raise_first,
    status,
    translated,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ._attempts import Ticket
    from ._layout import FloatArray
    from ._place import Place
    from ._steps import Command, Steps, Word

_STAGED_SECONDS: Final = 3600
"""After which Redis drops what was written and never put in force: its writer has died."""
_STAGED_PUSHES: Final = 1000
"""Remembered pushes that one command writes."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be in force afterwards.

    Attributes:
        values: by parameter.
        drop: parameters that are to be gone.
        everything: all others are to be gone too.
        versions: which the parameters' versions shall exceed.
        seen: which pushes are in these values, as Redis remembers them; None leaves that as it is.
    """

    values: Mapping[str, FloatArray]
    drop: Sequence[str] = ()
    everything: bool = False
    versions: Mapping[str, int] = field(default_factory=dict[str, int])
    seen: Mapping[bytes, bytes] | None = None


def commit(place: Place, change: Change, ticket: Ticket) -> Steps[None]:
    """Put a change in force. Applied once for each ticket."""
    layouts = {name: Layout.of(values) for name, values in change.values.items()}
    seen = place.keys.staged(secrets.token_hex(8))
    for _ in range(STAGED_TRIES):
        try:
            yield from _stage(place, change, layouts, seen)
            said, names = yield from _switch(place, change, layouts, seen, ticket)
        except ParameterError:  # its memory is full, say
            yield [*_unstage(place, layouts, seen)]
            raise
        for name in names:
            place.forget(name)
        if said == "again":
            # By another attempt, or by this one and its answer was lost: then it is in force.
            now = yield from place.look_up(names)
            loose = {
                name: layouts[name]
                for name, each in zip(names, now, strict=True)
                if name in layouts and each != layouts[name]
            }
            yield from ask(*_unstage(place, loose, seen))
        if said != "gone":
            return
    yield [*_unstage(place, layouts, seen)]
    raise evicted(", ".join(layouts))


def _switch(
    place: Place, change: Change, layouts: Mapping[str, Layout], seen: str, ticket: Ticket
) -> Steps[tuple[str, list[str]]]:
    """Put in force what is staged; returns what Redis says, and the parameters that it changes."""
    while True:
        drop, there = change.drop, -1
        if change.everything:
            present = yield from place.names()
            drop, there = [name for name in present if name not in layouts], len(present)
        names = [*layouts, *drop]
        former = yield from place.look_up(names) if names else nothing([])
        command = _command(place, layouts, change, (names, former, there), (ticket, seen))
        ticket.used = True
        answer = yield [command]
        reply = answer.replies[0]
        if isinstance(reply, Exception):
            ticket.used = False
            raise translated(reply)
        said = status(reply)
        ticket.used = said in ("ok", "again")
        if said != "changed":
            return said, names


def _stage(place: Place, change: Change, layouts: Mapping[str, Layout], seen: str) -> Steps[None]:
    for batch in _batches(_writes(place, change, layouts)):
        yield from ask(*batch)
    if change.seen is None:
        return
    remembered = [*change.seen.items(), (b"", b"0")]
    for start in range(0, len(remembered), _STAGED_PUSHES):
        some = remembered[start : start + _STAGED_PUSHES]
        fields = [word for pair in some for word in pair]
        # In one: a writer that dies between the two would leave it for ever.
        expire = ("EXPIRE", seen, _STAGED_SECONDS)
        answer = yield from ask(("MULTI",), ("HSET", seen, *fields), expire, ("EXEC",))
        raise_first(answer.replies[-1])


def _writes(place: Place, change: Change, layouts: Mapping[str, Layout]) -> Iterator[Command]:
    for name, layout in layouts.items():
        flat = change.values[name].reshape(-1).astype(layout.code, copy=False)
        for shard in range(layout.shards):
            start = shard * layout.shard
            elements = flat[start : start + layout.length(shard)].tobytes()
            base = place.keys.base(name, layout, shard)
            # NX: one that a lost connection delivers late must not replace what is in force.
            yield ("SET", base, elements, "NX", "EX", _STAGED_SECONDS)


def _batches(commands: Iterator[Command]) -> Iterator[list[Command]]:
    batch: list[Command] = []
    size = 0
    for command in commands:
        batch.append(command)
        size += sum(len(word) for word in command if isinstance(word, bytes))
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _unstage(place: Place, layouts: Mapping[str, Layout], seen: str) -> Iterator[Command]:
    yield ("UNLINK", seen)
    for name, layout in layouts.items():
        for shard in range(layout.shards):
            yield ("UNLINK", place.keys.base(name, layout, shard))


def _command(
    place: Place,
    layouts: Mapping[str, Layout],
    change: Change,
    before: tuple[Sequence[str], Sequence[Layout | None], int],
    once: tuple[Ticket, str],
) -> Command:
    keys = place.keys
    ticket, seen = once
    names = [keys.catalog, keys.seen, keys.seen_before, seen]
    restores = "0" if change.seen is None else "1"
    changed, former, there = before
    arguments: list[Word] = [ticket.token, ticket.number, REMEMBERED, restores, there]
    for name, old in zip(changed, former, strict=True):
        new = layouts.get(name)
        staged = [] if new is None else [keys.base(name, new, shard) for shard in range(new.shards)]
        dropped = [] if old is None else keys.all_of(name, old)
        names.append(keys.staleness(name))
        names.append(keys.catalog if old is None else keys.state(name, old))
        names.append(keys.catalog if new is None else keys.state(name, new))
        names += [*staged, *dropped]
        arguments += name, b"" if old is None else old.text, b"" if new is None else new.text
        arguments += change.versions.get(name, 0), len(staged), len(dropped)
    return call(COMMIT, names, *arguments)
