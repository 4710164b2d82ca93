"""Blocks: what partitions are made of on their way from a mapper to a reducer.

    length   u64, little-endian: bytes of the payload
    codec    u8: how it is compressed
    form     u8: what it is, once decompressed
    MAC      16 bytes: HMAC-SHA-256, cut, over all else and the block's place
    payload

The key of the MAC comes to both sides over the invocation channel, so what is in the store is
checked before any of it is decoded: who can write there can't run code by it.
"""

from __future__ import annotations

import hmac
import struct
from typing import TYPE_CHECKING

from asyncfabric_storage import IntegrityError

from ._compression import choose, decompress
from ._groups import Groups, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncfabric_storage._buffers import Buffer

    from ._compression import Codec

HEADER = struct.Struct("<QBB16s")
_SIGNED = struct.Struct("<QBBIQ")


class Seal:
    """Writes and reads the blocks of one object.

    Args:
        key: of the MACs.
        name: of the object.
    """

    def __init__(self, key: bytes, name: str) -> None:
        self._key = key
        self._name = name
        self._bound = name.encode()

    def write(self, groups: Groups, partition: int, place: int, codec: Codec | None) -> bytes:
        """Return a block.

        Args:
            groups: what it holds.
            partition: its partition.
            place: how many blocks of that partition come before it in the object.
            codec: to compress it by, where that pays.

        Raises:
            SerializationError: a value can't be pickled.
        """
        form, payload = encode(groups)
        number, payload = choose(codec, payload)
        mac = self._mac(payload, number, form, partition, place)
        return HEADER.pack(len(payload), number, form, mac) + payload

    def read(self, data: memoryview, partition: int, place: int) -> tuple[Groups, int] | None:
        """Check and decode the block that some bytes begin with; return its end, too.

        None where the bytes don't hold all of it.

        Raises:
            IntegrityError: it is not what was written there.
        """
        if len(data) < HEADER.size:
            return None
        length, number, form, mac = HEADER.unpack_from(data)
        end = HEADER.size + length
        if len(data) < end:
            return None
        payload = data[HEADER.size : end]
        if not hmac.compare_digest(mac, self._mac(payload, number, form, partition, place)):
            raise IntegrityError(self.damaged(partition))
        return decode(form, decompress(number, payload)), end

    def damaged(self, partition: int) -> str:
        """Say that a partition isn't what was written."""
        return (
            f"partition {partition} of the intermediate object {self._name} holds other bytes than "
            "its mapper wrote: it was changed or damaged; run the shuffle again, and see who else "
            "writes to this store"
        )

    def _mac(self, payload: Buffer, codec: int, form: int, partition: int, place: int) -> bytes:
        size = memoryview(payload).nbytes
        mac = hmac.new(self._key, self._bound, "sha256")
        mac.update(_SIGNED.pack(size, codec, form, partition, place))
        mac.update(payload)
        return mac.digest()[:16]


class Reader:
    """The blocks of one partition in one object, from bytes that come in pieces."""

    def __init__(self, seal: Seal, partition: int) -> None:
        self._seal = seal
        self._partition = partition
        self._place = 0
        self._parts: list[memoryview] = []
        self._bytes = 0
        self._wanted = HEADER.size

    def feed(self, data: memoryview) -> Iterator[Groups]:
        """Yield what is complete by these bytes."""
        self._parts.append(data)
        self._bytes += len(data)
        if self._bytes < self._wanted:
            return  # joined once, however many pieces a block comes in
        view = memoryview(b"".join(self._parts)) if len(self._parts) > 1 else data
        while (block := self._seal.read(view, self._partition, self._place)) is not None:
            groups, end = block
            self._place += 1
            view = view[end:]
            yield groups
        self._parts, self._bytes = ([view] if view else []), len(view)
        self._wanted = HEADER.size
        if self._bytes >= HEADER.size:
            self._wanted += HEADER.unpack_from(view)[0]

    def end(self) -> None:
        """Know that there is no more. Raises `IntegrityError` in the middle of a block."""
        if self._bytes:
            raise IntegrityError(self._seal.damaged(self._partition))
