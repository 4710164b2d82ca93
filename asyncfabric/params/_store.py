"""Writing whole parameters: a change of any number of them is in force all at once, or not at all.

Elements are written beside what is there, under keys that expire; one script then puts the new
layouts into the catalog and drops what they replace.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ._layout import Layout
from ._scripts import COMMIT, REMEMBERED
from ._steps import BATCH_BYTES, ask, call, status

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
        versions: which the parameters' versions shall exceed.
        seen: which pushes are in these values, as Redis remembers them; None leaves that as it is.
    """

    values: Mapping[str, FloatArray]
    drop: Sequence[str] = ()
    versions: Mapping[str, int] = field(default_factory=dict[str, int])
    seen: Mapping[bytes, bytes] | None = None


def commit(place: Place, change: Change, ticket: Ticket) -> Steps[None]:
    """Put a change in force. Applied once for each ticket."""
    layouts = {name: Layout.of(values) for name, values in change.values.items()}
    names = [*change.values, *change.drop]
    while True:
        yield from _stage(place, change, layouts, ticket)
        while True:
            former = yield from place.look_up(names)
            answer = yield from ask(_command(place, change, layouts, former, ticket))
            said = status(answer.replies[0])
            if said != "changed":
                break
        for name in names:
            place.forget(name)
        if said == "again":
            yield from ask(*_unstage(place, layouts, ticket))
        if said != "gone":
            return


def _stage(
    place: Place, change: Change, layouts: Mapping[str, Layout], ticket: Ticket
) -> Steps[None]:
    for batch in _batches(_writes(place, change, layouts)):
        yield from ask(*batch)
    if change.seen is None:
        return
    key = place.keys.staged(ticket.token)
    remembered = [*change.seen.items(), (b"", b"0")]
    for start in range(0, len(remembered), _STAGED_PUSHES):
        some = remembered[start : start + _STAGED_PUSHES]
        fields = [word for pair in some for word in pair]
        yield from ask(("HSET", key, *fields), ("EXPIRE", key, _STAGED_SECONDS))


def _writes(place: Place, change: Change, layouts: Mapping[str, Layout]) -> Iterator[Command]:
    for name, layout in layouts.items():
        flat = change.values[name].reshape(-1).astype(layout.code, copy=False)
        for shard in range(layout.shards):
            start = shard * layout.shard
            elements = flat[start : start + layout.length(shard)].tobytes()
            yield ("SET", place.keys.base(name, layout, shard), elements, "EX", _STAGED_SECONDS)


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


def _unstage(place: Place, layouts: Mapping[str, Layout], ticket: Ticket) -> Iterator[Command]:
    yield ("UNLINK", place.keys.staged(ticket.token))
    for name, layout in layouts.items():
        for shard in range(layout.shards):
            yield ("UNLINK", place.keys.base(name, layout, shard))


def _command(
    place: Place,
    change: Change,
    layouts: Mapping[str, Layout],
    former: Sequence[Layout | None],
    ticket: Ticket,
) -> Command:
    keys = place.keys
    names = [keys.catalog, keys.seen, keys.seen_before, keys.staged(ticket.token)]
    restores = "0" if change.seen is None else "1"
    arguments: list[Word] = [ticket.token, ticket.number, REMEMBERED, restores]
    for name, old in zip([*change.values, *change.drop], former, strict=True):
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
