"""Writing a shard's base anew, with its log so far in it: what keeps logs short."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ._errors import ParameterError
from ._pull import read_shards
from ._scripts import FOLD
from ._steps import Only, call

if TYPE_CHECKING:
    from ._layout import FloatArray, Layout
    from ._place import Place
    from ._steps import Steps

_folding: set[tuple[str, str, int]] = set()
"""Server, generation and shard of what is being folded."""


def fold_if_possible(place: Place, name: str, layout: Layout, shard: int) -> Steps[None]:
    """Fold, unless this process is at it already.

    An error isn't the push's, which was applied; the next to push comes by here again.
    """
    key = place.server, layout.generation, shard
    if key in _folding:
        return
    try:
        _folding.add(key)
        with suppress(ParameterError):
            yield from fold(place, name, layout, shard)
    finally:
        _folding.discard(key)


def fold(place: Place, name: str, layout: Layout, shard: int) -> Steps[None]:
    """Write a shard's base anew.

    Any process may do that at any time, and several at once: all that have the shard as of the same
    entry have the same bytes, and Redis takes the first.
    """
    found: list[tuple[int, bytes]] = []
    # A server that comes back without the last pushes mustn't get a base that has them: what was
    # read from the one that answers here, or from a later one, is only sent to this one.
    incarnation = (yield ()).incarnation

    def read(_: int, at: int, elements: FloatArray) -> None:
        found[:] = [(at, elements.tobytes())]

    version = yield from read_shards(place, name, layout, [shard], read)
    if version is None:
        return
    ((at, elements),) = found
    keys = place.keys
    names = [keys.catalog, keys.state(name, layout), keys.base(name, layout, shard)]
    names.append(keys.log(name, layout, shard))
    yield Only(incarnation, call(FOLD, names, name, layout.text, shard, at, elements))
