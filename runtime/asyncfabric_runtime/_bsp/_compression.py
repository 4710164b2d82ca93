"""Compressing what travels, where a sample shows that it pays."""

from __future__ import annotations

import contextlib
import zlib
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncfabric_storage._buffers import Buffer

SAMPLE_BYTES = 64 * 1024
_SMALLEST = 256
_NONE, _ZLIB, _ZSTD = 0, 1, 2


class Codec(NamedTuple):
    """A way to compress.

    Attributes:
        number: what blocks name it by.
        worth: the share of its size that data may have left to be worth the time.
        compress: makes it smaller.
        decompress: undoes that.
    """

    number: int
    worth: float
    compress: Callable[[Buffer], bytes]
    decompress: Callable[[Buffer], bytes]


@cache
def best_codec() -> Codec:
    """Return zstd where there is one, else zlib, which is slow and has to save more."""
    for name in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            zstd = import_module(name)
            return Codec(_ZSTD, 0.8, partial(zstd.compress, level=1), zstd.decompress)
    return ZLIB


ZLIB = Codec(_ZLIB, 0.5, partial(zlib.compress, level=1), zlib.decompress)


def choose(codec: Codec | None, data: bytes) -> tuple[int, bytes]:
    """Compress data if that pays by a sample of it; return the codec's number and the bytes."""
    if codec is None or len(data) < _SMALLEST:
        return _NONE, data
    middle = max(0, (len(data) - SAMPLE_BYTES) // 2)
    sample = memoryview(data)[middle : middle + SAMPLE_BYTES]
    packed = codec.compress(sample)
    if len(packed) > codec.worth * len(sample):
        return _NONE, data
    return codec.number, packed if len(sample) == len(data) else codec.compress(data)


def decompress(number: int, data: Buffer) -> Buffer:
    """Undo what `choose` did."""
    if number == _NONE:
        return data
    return (ZLIB if number == _ZLIB else best_codec()).decompress(data)
