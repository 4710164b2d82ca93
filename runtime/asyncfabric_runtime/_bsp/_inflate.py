"""Compressed objects, read as what they hold."""

from __future__ import annotations

import contextlib
import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from asyncfabric_storage import ConfigurationError, StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

SUFFIXES = {".gz": "gz", ".zst": "zst", ".zstd": "zst"}
"""What the end of a key says of the object."""
_OUTPUT_BYTES = 4 * 1024 * 1024
"""Bytes decompressed at a time: what a block expands to has no bound."""


class _Stream(Protocol):
    """What `zlib` and `compression.zstd` have in common: one member, or frame, of several."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def wants(self) -> bool: ...
    def decompress(self, data: Any, size: int) -> bytes: ...  # noqa: ANN401 - a buffer


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    @property
    def wants(self) -> bool:
        return not self._stream.unconsumed_tail

    def decompress(self, data: Any, size: int) -> bytes:  # noqa: ANN401
        return self._stream.decompress(data or self._stream.unconsumed_tail, size)


class _Zstandard:
    def __init__(self) -> None:
        self._stream = _zstd().ZstdDecompressor()

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def unused_data(self) -> bytes:
        unused: bytes = self._stream.unused_data
        return unused

    @property
    def wants(self) -> bool:
        return bool(self._stream.needs_input)

    def decompress(self, data: Any, size: int) -> bytes:  # noqa: ANN401
        output: bytes = self._stream.decompress(data, size)
        return output


_STREAMS: dict[str, Callable[[], _Stream]] = {"gz": _Gzip, "zst": _Zstandard}


def check_codec(codec: str) -> None:
    """See that objects so compressed can be read here. Raises `ConfigurationError`."""
    if codec:
        _STREAMS[codec]()


async def inflated(
    blocks: AsyncIterator[memoryview], codec: str, name: str
) -> AsyncGenerator[bytes]:
    """Yield what compressed blocks hold, at most 4 MiB at a time.

    Members that stand one behind the other are one, as `cat a.gz b.gz` makes them.

    Raises:
        StorageError: the object is damaged, or is not so compressed.
    """
    members = _Members(codec)
    try:
        async for block in blocks:
            for output in members.feed(block):
                yield output
    except (zlib.error, OSError, ValueError, EOFError) as error:
        raise StorageError(_damaged(name, codec, str(error))) from error
    except Exception as error:
        if type(error).__name__ != "ZstdError":
            raise
        raise StorageError(_damaged(name, codec, str(error))) from error
    if members.within:
        raise StorageError(_damaged(name, codec, "it ends in the middle"))


class _Members:
    """One member, or frame, after another."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._stream: _Stream | None = None
        self._ended = 0

    @property
    def within(self) -> bool:
        """Whether a member has begun and not ended."""
        return self._stream is not None

    def feed(self, block: memoryview) -> Iterator[bytes]:
        """Yield what a block holds."""
        data: bytes | memoryview = block
        while data or (self._stream is not None and not self._stream.wants):
            if self._stream is None:
                if self._ended and self._codec == "gz":
                    data = bytes(data).lstrip(b"\0")  # padding, which gzip takes, too
                    if not data:
                        return
                self._stream = _STREAMS[self._codec]()
            output = self._stream.decompress(data, _OUTPUT_BYTES)
            data = b""
            if self._stream.eof:
                data, self._stream = self._stream.unused_data, None
                self._ended += 1
            if output:
                yield output


def _damaged(name: str, codec: str, why: str) -> str:
    return f"{name} can't be read as .{codec}: {why}; it was damaged, or its name is misleading"


def _zstd() -> Any:  # noqa: ANN401 - a module
    for name in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            return import_module(name)
    msg = (
        "objects compressed by zstd need Python 3.14 or the package backports.zstd, here and at "
        "the workers: pip install 'asyncfabric[zstd]'"
    )
    raise ConfigurationError(msg)
