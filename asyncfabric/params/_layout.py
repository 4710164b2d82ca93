"""How a parameter lies in Redis: its type, its shape, and the shards it is cut into."""

from __future__ import annotations

import json
import math
import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from ._checks import whole_number
from ._errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.floating[Any]]

DType: TypeAlias = Literal["float32", "float64"]

SHARD_BYTES: Final = 512 * 1024
"""Size of every shard but the last. A push costs the server a few microseconds for each shard that
it touches, and a worker that meets a shard for the first time fetches all of it: 64 KB were slower
for sparse models of a million weights, and 4 MB hold up a Redis that serves others too."""


@dataclass(frozen=True)
class Layout:
    """One parameter's place. It changes only when the parameter is put anew.

    Attributes:
        dtype: `float32` or `float64`, kept in little-endian order.
        shape: of the whole array.
        shard: elements in every shard but the last.
        generation: random text, another one after each `put`.
    """

    dtype: DType
    shape: tuple[int, ...]
    shard: int
    generation: str

    @classmethod
    def of(cls, array: FloatArray) -> Layout:
        """Return a new place for an array."""
        kind = array.dtype.name
        if kind not in get_args(DType):
            msg = f"parameters are float32 or float64, not {kind}: convert it with .astype(float)"
            raise TypeError(msg)
        dtype: DType = "float32" if kind == "float32" else "float64"
        shard = SHARD_BYTES // array.dtype.itemsize
        return cls(dtype, array.shape, shard, secrets.token_hex(8))

    @classmethod
    def read(cls, text: bytes) -> Layout:
        """Return the layout that `text` is. Raises `ParameterError` if it is none."""
        try:
            dtype, shape, shard, generation = json.loads(text)
            return cls(dtype, tuple(shape), shard, generation)
        except (TypeError, ValueError):
            raise ParameterError(
                "Redis holds something else in this server's catalog of parameters; nothing was "
                "changed. Choose another name= or prefix=, or delete that key"
            ) from None

    @cached_property
    def text(self) -> bytes:
        """What stands for it in the catalog: equal layouts have equal text."""
        return json.dumps([self.dtype, self.shape, self.shard, self.generation]).encode()

    @cached_property
    def size(self) -> int:
        """Elements in the whole array."""
        return math.prod(self.shape)

    @cached_property
    def shards(self) -> int:
        """How many shards there are; an empty array has one."""
        return max(1, -(-self.size // self.shard))

    @cached_property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return 4 if self.dtype == "float32" else 8

    @cached_property
    def code(self) -> str:
        """Numpy's name for an element as it lies in Redis."""
        return "<f4" if self.dtype == "float32" else "<f8"

    def length(self, shard: int) -> int:
        """Elements of one shard."""
        return min(self.shard, self.size - shard * self.shard)

    def chosen(self, shards: Sequence[int] | None) -> list[int]:
        """Check numbers of shards; None chooses all of them."""
        if shards is None:
            return list(range(self.shards))
        chosen = [whole_number(each, "the number of a shard") for each in shards]
        if not all(0 <= each < self.shards for each in chosen) or len({*chosen}) != len(chosen):
            msg = f"shards={chosen}: give each number at most once, from 0 to {self.shards - 1}"
            raise ValueError(msg)
        return chosen
