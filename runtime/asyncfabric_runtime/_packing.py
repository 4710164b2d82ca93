"""One stored object: a value in one run of bytes, named by its digest.

"AFO1" is a pickle and its large buffers, "AFD1" a text and its buffers (see `_data`); `_layout` has
the rest. Functions, `shared=` values, `Fabric.put` and results by reference are stored this way.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from ._data import MAGIC as DATA_MAGIC
from ._data_reading import BadDataError, unpack_data
from ._layout import lay_out, parts_of
from ._values import dump

if TYPE_CHECKING:
    from asyncfabric_storage._buffers import Buffer

    from ._data_reading import MakeRef

_MAGIC = b"AFO1"


def pack_object(value: object, limit: int | None = None) -> list[Buffer]:
    """Lay a value out as the pieces of one stored object; large buffers are not copied.

    Raises whatever the value's reduction raises, and `TooLargeError` past `limit` pickled bytes.
    """
    data, buffers = dump(value, limit)
    return lay_out(_MAGIC, [data, *buffers])


def unpack_object(
    data: Buffer,
    *,
    writable: bool = False,
    as_data: bool = False,
    make_ref: MakeRef | None = None,
) -> Any:  # noqa: ANN401 - the user's value
    """Read a stored object. A pickle runs code: check its digest first, or read only `as_data`.

    Large buffers (numpy arrays) are views of `data`, read-only unless they may be `writable`.
    Raises `ValueError` for bytes that are no stored object, `BadDataError` for a pickle where data
    was asked for, and whatever the value's own reconstruction raises.
    """
    view = memoryview(data) if writable else memoryview(data).toreadonly()
    if bytes(view[:4]) == DATA_MAGIC:
        return unpack_data(view, make_ref)
    parts = parts_of(view, _MAGIC)
    if as_data:
        raise BadDataError("it is a pickle, where only data is taken")
    return pickle.loads(parts[0], buffers=parts[1:])
