"""Bytes to be written: one buffer, or several that stand one after another."""

from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    import sys
    from collections.abc import Sequence

    if sys.version_info >= (3, 12):
        from collections.abc import Buffer as Buffer
    else:
        from typing_extensions import Buffer as Buffer

Data: TypeAlias = "Buffer | Sequence[Buffer]"
"""One buffer (bytes, bytearray, memoryview, numpy array, ...) or a sequence of buffers."""


def as_views(data: Data) -> list[memoryview]:
    """Return `data` as flat byte views in order, without copying what is contiguous.

    Raises:
        TypeError: `data` is neither a buffer nor a sequence of buffers.
    """
    pieces: Sequence[Buffer]
    if isinstance(data, (bytes, bytearray)):
        return [memoryview(data)] if data else []
    if isinstance(data, (list, tuple)):
        pieces = cast("Sequence[Buffer]", data)
    else:
        # Ask for the buffer before the items: arrays and memoryviews are sequences, too.
        try:
            pieces = [memoryview(cast("Buffer", data))]
        except TypeError:
            if isinstance(data, str):
                msg = "a store holds bytes, not str; encode the text first: text.encode()"
                raise TypeError(msg) from None
            try:
                pieces = list(cast("Sequence[Buffer]", data))
            except TypeError:
                msg = (
                    f"a store holds bytes, not {type(data).__name__}; "
                    "pass a buffer or a sequence of buffers"
                )
                raise TypeError(msg) from None
    return [_flat(view) for piece in pieces if (view := _view(piece)).nbytes]


def _view(piece: "Buffer") -> memoryview:
    try:
        return memoryview(piece)
    except TypeError:
        msg = (
            f"a store holds bytes: each piece must be a buffer, not {type(piece).__name__}; "
            "convert it first, for example with bytes(...) or text.encode()"
        )
        raise TypeError(msg) from None


def _flat(view: memoryview) -> memoryview:
    if view.c_contiguous:
        return view if view.format == "B" and view.ndim == 1 else view.cast("B")
    return memoryview(view.tobytes())
