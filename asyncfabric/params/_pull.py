"""Reading parameters."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from ._checks import index_array
from ._replica import REPLICAS, Pulled
from ._scripts import PULL
from ._steps import ask, batches, call, gone, status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ._layout import FloatArray, Layout
    from ._place import Place
    from ._steps import Command, Steps, Word

    Reader = Callable[[int, int, FloatArray], None]
    """Takes a shard's number, the entry it is as of, and its elements, to be read at once."""


class Pull(NamedTuple):
    """What a pull returns.

    Attributes:
        values: an array of the caller's own.
        version: how many times the parameter had been pushed to or put; hand it to the push that
            is computed from these values.
    """

    values: FloatArray
    version: int


def pull(
    place: Place, name: str, indices: object = None, shards: Sequence[int] | None = None
) -> Steps[Pull]:
    """Read a parameter, or some of it."""
    if indices is not None and shards is not None:
        msg = "give indices= or shards=, not both"
        raise ValueError(msg)
    while True:
        layout = yield from place.layout(name)
        if indices is None:
            found = yield from _pull_shards(place, name, layout, layout.chosen(shards))
        else:
            found = yield from _pull_at(place, name, layout, index_array(layout, indices))
        if found is None:
            continue
        if indices is None and shards is None:
            return Pull(found.values.reshape(layout.shape), found.version)
        return found


def _pull_shards(
    place: Place, name: str, layout: Layout, shards: Sequence[int]
) -> Steps[Pull | None]:
    import numpy as np

    ends = list(accumulate(layout.length(shard) for shard in shards))
    starts = dict(zip(shards, [0, *ends], strict=False))
    values: FloatArray = np.empty(ends[-1] if ends else 0, layout.dtype)

    def read(shard: int, _: int, elements: FloatArray) -> None:
        values[starts[shard] : starts[shard] + elements.size] = elements

    version = yield from read_shards(place, name, layout, shards, read)
    return None if version is None else Pull(values, version)


def _pull_at(
    place: Place, name: str, layout: Layout, indices: NDArray[np.int64]
) -> Steps[Pull | None]:
    import numpy as np

    values: FloatArray = np.empty(indices.size, layout.dtype)
    where, inside = np.divmod(indices, layout.shard)

    def read(shard: int, _: int, elements: FloatArray) -> None:
        mine = where == shard
        values[mine] = elements[inside[mine]]

    version = yield from read_shards(place, name, layout, np.unique(where).tolist(), read)
    return None if version is None else Pull(values, version)


def read_shards(
    place: Place, name: str, layout: Layout, shards: Sequence[int], read: Reader
) -> Steps[int | None]:
    """Bring shards up to date and read them; returns the parameter's version, or None: look again.

    Up to 64 shards and about 4 MB are read at one moment, more of them part by part.
    """
    version: int | None = None
    incarnation = (yield ()).incarnation
    sizes = [
        layout.length(shard) * layout.itemsize
        if REPLICAS.at(place.server, layout, shard, incarnation) < 0
        else 0
        for shard in shards
    ]
    for part in batches(sizes):
        some = [shards[at] for at in part]
        while True:
            command = pull_command(place, name, layout, some, incarnation)
            answer = yield from ask(command)
            reply = answer.replies[0]
            if status(reply) == "changed":
                place.forget(name)
                return None
            if status(reply) == "gone":
                raise gone(name)
            if version is None:
                version = int(reply[1])
            pulled = Pulled(place.server, layout, some, answer.incarnation)
            if REPLICAS.update(pulled, reply[2:], read):
                break
            incarnation = answer.incarnation
    return version


def pull_command(
    place: Place, name: str, layout: Layout, shards: Sequence[int], incarnation: str
) -> Command:
    """Return the command that reads shards, or what is new in those that are known."""
    keys = [place.keys.catalog, place.keys.state(name, layout)]
    arguments: list[Word] = [name, layout.text]
    for shard in shards:
        keys += place.keys.base(name, layout, shard), place.keys.log(name, layout, shard)
        arguments += shard, REPLICAS.at(place.server, layout, shard, incarnation)
    return call(PULL, keys, *arguments)


def version(place: Place, name: str) -> Steps[int]:
    """Read a parameter's version."""
    while True:
        layout = yield from place.layout(name)
        found = yield from read_shards(place, name, layout, [], _nothing_to_read)
        if found is not None:
            return found


def _nothing_to_read(*_: object) -> None:
    """Of no shards there is nothing to read."""
