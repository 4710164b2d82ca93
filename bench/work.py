"""The functions the workers run. Importable by name, so that every peer pickles them alike."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

MIB = 1 << 20


def identity(x: int) -> int:
    """Return `x`: the trivial call, so that all that is measured is the fabric."""
    return x


def length(data: bytes) -> int:
    """Return the length of `data`: a large argument, a small result."""
    return len(data)


def make_array(fill: int) -> Array:
    """Return 1 MiB of float64, all `fill`: a small argument, a large result."""
    import numpy as np  # the other works must not wait for it

    return np.full(MIB // 8, float(fill))


def last_item(array: Array) -> float:
    """Return the last item of `array`: a large array as the argument, a small result."""
    return float(array[-1])


def cpu_since_start(_: int) -> float:
    """Return this process' own CPU seconds: what starting a worker up to user code has cost."""
    return time.process_time()


async def read_object(key: str) -> tuple[int, float]:
    """Read an object of the Fabric's store; return its size and this process' CPU seconds."""
    import asyncfabric  # user code names it so; no other work may wait for it

    data = await asyncfabric.current().store.get(key)
    return len(data), time.process_time()


async def identity_async(x: int) -> int:
    """`identity` for the peers that only run coroutine functions."""
    return x


async def length_async(data: bytes) -> int:
    """`length` for the peers that only run coroutine functions."""
    return len(data)


async def make_array_async(fill: int) -> Array:
    """`make_array` for the peers that only run coroutine functions."""
    return make_array(fill)


async def last_item_async(array: Array) -> float:
    """`last_item` for the peers that only run coroutine functions."""
    return last_item(array)


async def cpu_since_start_async(_: int) -> float:
    """`cpu_since_start` for the peers that only run coroutine functions."""
    return time.process_time()
