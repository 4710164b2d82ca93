"""Reading parameters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from ._checks import index_array, parameter_name
from ._entries import Cut
from ._replica import REPLICAS, Pulled
from ._scripts import PULL
from ._steps import ask, batches, call, gone, status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ._layout import FloatArray, Layout
    from ._place import Place
    from ._steps import Command, Steps

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
    parameter_name(name)
    if indices is not None and shards is not None:
        msg = "give indices= or shards=, not both"
        raise ValueError(msg)
    while True:
        layout = yield from place.layout(name)
        wanted = Wanted.of(layout, indices, shards)
        version = yield from read_shards(place, name, layout, wanted.shards, wanted.read)
        if version is not None:
            return wanted.pulled(version)


@dataclass(slots=True)
class Wanted:
    """What a pull is to return, filled shard by shard.

    Attributes:
        shards: which it needs.
        values: the array that becomes the pull's.
        shape: of that, in the end.
        read: takes over what is wanted of a shard.
        indices: which elements, if not whole shards.
    """

    shards: Sequence[int]
    values: FloatArray
    shape: tuple[int, ...]
    read: Reader
    indices: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, layout: Layout, indices: object, shards: Sequence[int] | None) -> Wanted:
        """Return what is wanted of a parameter: all, some indices, or some shards."""
        import numpy as np

        if indices is not None:
            return cls._at(layout, index_array(layout, indices))
        chosen = layout.chosen(shards)
        ends = list(accumulate(layout.length(shard) for shard in chosen))
        starts = dict(zip(chosen, [0, *ends], strict=False))
        values: FloatArray = np.empty(ends[-1] if ends else 0, layout.dtype)

        def read(shard: int, _: int, elements: FloatArray) -> None:
            values[starts[shard] : starts[shard] + elements.size] = elements

        return cls(chosen, values, layout.shape if shards is None else values.shape, read)

    @classmethod
    def _at(cls, layout: Layout, indices: NDArray[np.int64]) -> Wanted:
        import numpy as np

        values: FloatArray = np.empty(indices.size, layout.dtype)
        cut = Cut.of(layout, indices)
        if layout.shards == 1:

            def read_only(_: int, __: int, elements: FloatArray) -> None:
                # Checked before: "clip" is what numpy doesn't check again.
                elements.take(indices, out=values, mode="clip")

            return cls([0] if indices.size else [], values, values.shape, read_only, indices)
        runs = {shard: slice(start, end) for shard, start, end in cut.runs}

        def read(shard: int, _: int, elements: FloatArray) -> None:
            mine = runs[shard]
            where = mine if isinstance(cut.order, slice) else cut.order[mine]
            values[where] = elements.take(cut.inside[mine], mode="clip")

        return cls([*runs], values, values.shape, read, indices)

    def pulled(self, version: int) -> Pull:
        """Return the pull, once all shards were read."""
        return Pull(self.values.reshape(self.shape), version)


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
            if REPLICAS.update(pulled, reply[2], read):
                break
            incarnation = answer.incarnation
    return version


def pull_command(
    place: Place, name: str, layout: Layout, shards: Sequence[int], incarnation: str
) -> Command:
    """Return the command that reads shards, or what is new in those that are known."""
    keys, known = to_read(place, name, layout, shards, incarnation)
    first = [place.keys.catalog, place.keys.state(name, layout)]
    return call(PULL, [*first, *keys], name, layout.text, *known)


def to_read(
    place: Place, name: str, layout: Layout, shards: Sequence[int], incarnation: str | None
) -> tuple[list[str], list[int]]:
    """Return the keys and the arguments that tell a script what to read."""
    keys: list[str] = []
    known: list[int] = []
    for shard in shards:
        keys += place.keys.base(name, layout, shard), place.keys.log(name, layout, shard)
        known += shard, REPLICAS.at(place.server, layout, shard, incarnation)
    return keys, known


def version(place: Place, name: str) -> Steps[int]:
    """Read a parameter's version."""
    parameter_name(name)
    while True:
        layout = yield from place.layout(name)
        found = yield from read_shards(place, name, layout, [], nothing_to_read)
        if found is not None:
            return found


def nothing_to_read(*_: object) -> None:
    """Bring copies up to date only."""
