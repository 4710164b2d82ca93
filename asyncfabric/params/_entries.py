"""Pushes as they stand in a shard's log: one entry of raw bytes each.

    dense   0x00, then an element for each of the shard's
    sparse  0x01, then records: position in the shard (u4), element

All little-endian. Entries are applied in the order of the log, each element by one addition in the
parameter's own precision: whoever applies the same entries to the same bytes gets the same bytes.
"""

from __future__ import annotations

from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ._layout import FloatArray, Layout

_DENSE = b"\x00"
_SPARSE = b"\x01"


@cache
def _record(code: str) -> np.dtype[np.void]:
    """Return the type of a sparse entry's records."""
    import numpy as np

    return np.dtype([("at", "<u4"), ("by", code)])


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
    import numpy as np

    if not indices.size:
        return
    records = np.empty(indices.size, _record(layout.code))
    records["by"] = values
    if layout.shards == 1:
        records["at"] = indices
        yield 0, _SPARSE + records.tobytes()
        return
    where, records["at"] = np.divmod(indices, layout.shard)
    # A stable order: an index given twice is added to in the order given.
    order = np.argsort(where, kind="stable")
    where, records = where[order], records[order]
    touched, starts = np.unique(where, return_index=True)
    for shard, part in zip(touched.tolist(), np.split(records, starts[1:]), strict=True):
        yield shard, _SPARSE + part.tobytes()


def apply(layout: Layout, shard: FloatArray, entries: Sequence[bytes]) -> None:
    """Add entries to a shard's elements, in their order."""
    import numpy as np

    for kind, group in groupby(entries, _kind):
        if kind == _DENSE:
            for entry in group:
                shard += np.frombuffer(entry, layout.code, offset=1)
        else:
            # All at once: a hundred small entries cost little more than one large one.
            joined = b"".join([entry[1:] for entry in group])
            records: NDArray[Any] = np.frombuffer(joined, _record(layout.code))
            # One after another, an index that comes twice included.
            np.add.at(shard, records["at"], records["by"])


def _kind(entry: bytes) -> bytes:
    return entry[:1]
