"""Pushes as they stand in a shard's log: one entry of raw bytes each.

    dense   0x00, then an element for each of the shard's
    sparse  0x01, then elements, then for each its position in the shard (u4)

All little-endian; what comes first is filled up to 8 bytes, so that elements are where numpy reads
them fastest. Entries are applied in the order of the log, each element by one addition in the
parameter's own precision: whoever applies the same entries to the same bytes gets the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ._layout import FloatArray, Layout

_HEAD: Final = 8
_DENSE: Final = b"\x00" * _HEAD
_SPARSE: Final = b"\x01".ljust(_HEAD, b"\x00")


@dataclass(frozen=True, slots=True)
class Cut:
    """Indices by the shard that they are in.

    Attributes:
        order: which of the given ones comes where, so that those of a shard are together; a slice
            of all if they are together as they are.
        inside: their positions in their shards, in this order.
        runs: shard, start and end of its own in `inside`.
    """

    order: NDArray[np.int64] | slice
    inside: NDArray[np.int64]
    runs: Sequence[tuple[int, int, int]]

    @classmethod
    def of(cls, layout: Layout, indices: NDArray[np.int64]) -> Cut:
        """Cut indices that were checked."""
        import numpy as np

        if layout.shards == 1 or not indices.size:
            return cls(slice(None), indices, [(0, 0, indices.size)] if indices.size else [])
        order: NDArray[np.int64] | slice = slice(None)
        where, inside = np.divmod(indices, layout.shard)
        if (where[1:] < where[:-1]).any():
            # A stable order: an index given twice is added to in the order given.
            order = np.argsort(where, kind="stable")
            where, inside = where[order], inside[order]
        starts: list[int] = np.flatnonzero(np.diff(where, prepend=-1)).tolist()
        runs = [(int(where[start]), start, end) for start, end in pairwise([*starts, where.size])]
        return cls(order, inside, runs)


def dense_entries(
    layout: Layout, shards: Sequence[int], delta: FloatArray
) -> Iterator[tuple[int, bytes]]:
    """Cut a delta, one element for each of those shards', into entries: (shard, entry)."""
    flat = delta.reshape(-1).astype(layout.code, copy=False)
    start = 0
    for shard in shards:
        end = start + layout.length(shard)
        yield shard, _DENSE + flat[start:end].tobytes()
        start = end


def sparse_entries(
    layout: Layout, indices: NDArray[np.int64], values: FloatArray
) -> Iterator[tuple[int, bytes]]:
    """Cut a delta at some indices into entries: (shard, entry)."""
    cut = Cut.of(layout, indices)
    values = values.astype(layout.code, copy=False)[cut.order]
    for shard, start, end in cut.runs:
        yield shard, _sparse(layout, shard, cut.inside[start:end], values[start:end])


def _sparse(layout: Layout, shard: int, positions: NDArray[np.int64], values: FloatArray) -> bytes:
    length = layout.length(shard)
    if values.nbytes + 4 * values.size > length * layout.itemsize:
        import numpy as np

        # Larger than all of the shard: positions that come again and again.
        whole: FloatArray = np.zeros(length, layout.code)
        np.add.at(whole, positions, values)
        return _DENSE + whole.tobytes()
    return b"".join([_SPARSE, values.tobytes(), positions.astype("<u4").tobytes()])


def apply(layout: Layout, shard: FloatArray, entries: Sequence[bytes]) -> None:
    """Add entries to a shard's elements, in their order."""
    import numpy as np

    # What others pushed may overflow; that isn't for each of its readers to be warned of.
    with np.errstate(over="ignore", invalid="ignore"):
        for kind, group in groupby(entries, _kind):
            if kind == _DENSE:
                for entry in group:
                    shard += np.frombuffer(entry, layout.code, offset=_HEAD)
            else:
                # All at once: a hundred small entries cost little more than one large one.
                parts = [_read(layout, entry) for entry in group]
                if len(parts) == 1:
                    ((positions, values),) = parts
                else:
                    positions = np.concatenate([each for each, _ in parts])
                    values = np.concatenate([each for _, each in parts])
                # One after another, an index that comes twice included.
                np.add.at(shard, positions.astype(np.intp), values)


def _read(layout: Layout, entry: bytes) -> tuple[NDArray[np.uint32], FloatArray]:
    import numpy as np

    count = (len(entry) - _HEAD) // (layout.itemsize + 4)
    values: FloatArray = np.frombuffer(entry, layout.code, count, _HEAD)
    positions: NDArray[Any] = np.frombuffer(entry, "<u4", count, _HEAD + count * layout.itemsize)
    return positions, values


def _kind(entry: bytes) -> bytes:
    return entry[:_HEAD]
