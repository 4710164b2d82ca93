"""Records of one width for the tests of sorting."""

import random
from operator import itemgetter
from typing import Any

import pytest

from asyncfabric.bsp import _sort
from asyncfabric_storage import ObjectStore
from tests.bsp.counting import keys_of

WIDTH = 14


def numbered(keys: list[bytes], width: int = WIDTH) -> bytes:
    """Records whose rest tells where they stood."""
    return b"".join(
        key + number.to_bytes(width - len(key), "big") for number, key in enumerate(keys)
    )


def records_of(data: bytes, width: int = WIDTH) -> list[bytes]:
    return [data[at : at + width] for at in range(0, len(data), width)]


def in_order(data: bytes, width: int = 100) -> bytes:
    """The records as plain Python sorts them by their first 10 bytes."""
    records: list[bytes] = sorted(records_of(data, width), key=itemgetter(slice(10)))
    return b"".join(records)


def random_records(count: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(100 * count)


async def read_all(store: ObjectStore) -> bytes:
    return b"".join([bytes(await store.get(key)) for key in sorted(await keys_of(store))])


def allow_little(patch: pytest.MonkeyPatch) -> None:
    """Let little data have many partitions."""
    limits: dict[str, Any] = {"LEAST_PARTITION_BYTES": 100, "LEAST_MEMORY": 100}
    for name, value in limits.items():
        patch.setattr(_sort, name, value)
