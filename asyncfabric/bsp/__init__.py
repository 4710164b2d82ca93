"""Bulk-synchronous work over objects: inputs in chunks, and stages that exchange by key.

counts = await fabric.map(count_words, af.bsp.chunks("s3://bucket/books"))
"""

from asyncfabric_runtime._bsp._chunk import Chunk as Chunk
from asyncfabric_runtime._bsp._piece import Piece as Piece
from asyncfabric_runtime._bsp._sorting import Part as Part

from ._chunks import Chunks as Chunks
from ._chunks import chunks as chunks
from ._shuffle import Shuffle as Shuffle
from ._shuffle import shuffle as shuffle
from ._sort import Sorted as Sorted
from ._sort import Validation as Validation
from ._sort import sort as sort
from ._sort import validate as validate
from ._sort_by import sort_by as sort_by
from ._tasks import ShuffleStats as ShuffleStats

__all__ = [
    "Chunk",
    "Chunks",
    "Part",
    "Piece",
    "Shuffle",
    "ShuffleStats",
    "Sorted",
    "Validation",
    "chunks",
    "shuffle",
    "sort",
    "sort_by",
    "validate",
]
