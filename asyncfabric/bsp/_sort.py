"""`sort` and `validate`: records of one width, from objects to objects."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric._exceptions import ConfigurationError, StorageError
from asyncfabric_runtime._bsp._keys import MOST_PARTITIONS
from asyncfabric_runtime._bsp._mapper import Written
from asyncfabric_runtime._bsp._regrouper import Regrouper
from asyncfabric_runtime._bsp._rows import numpy
from asyncfabric_runtime._bsp._sorting import Dealer, Format, Inspector, Part, Sampler, Seen, Sorter

from ._chunks import chunks
from ._host import Scratch, check_fabric, check_reachable, places, to_the_end
from ._regroup import Regrouping
from ._shuffle import TASKS_A_PLACE, TWO_LEVELS_READS
from ._sizes import parse_size
from ._sort_plan import names, planned, single, splitters
from ._sources import close, open_source
from ._tasks import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncfabric._fabric import Fabric
    from asyncfabric_runtime._bsp._chunk import Chunk
    from asyncfabric_runtime._bsp._sorting import Order
    from asyncfabric_runtime._bsp._task import Task

    from ._sort_plan import Planned

LEAST_MEMORY = 1024 * 1024
LEAST_PARTITION_BYTES = 1024 * 1024
SAMPLED_CHUNKS = 64
_MOST_PARTITIONS = min(MOST_PARTITIONS, 2**16 - 1)


class Sorted(NamedTuple):
    """What a sort made.

    Attributes:
        records: how many.
        bytes: of them all.
        parts: the objects, in order; a partition without records has none.
    """

    records: int
    bytes: int
    parts: tuple[Part, ...]


class Validation(NamedTuple):
    """What records are like, in the order of the objects' keys.

    Attributes:
        records: how many there are.
        ordered: no key is below the one before it.
        duplicates: records with the same key as the one before them.
        checksum: 64 bits that depend on the records and not on their order: what is lost, doubled
            or changed on the way shows in it.
    """

    records: int
    ordered: bool
    duplicates: int
    checksum: int


async def sort(
    fabric: Fabric,
    source: str | Iterable[str],
    destination: str,
    *,
    record: int = 100,
    key: int = 10,
    memory: int | str = "256MiB",
) -> Sorted:
    """Sort the records of some objects by the keys that they begin with, as bytes compare.

    Records with equal keys keep their order. The objects `part-00000`, `part-00001`, ... are in the
    order of the keys, and so are the records in each.

        await af.bsp.sort(fabric, "s3://bucket/unsorted", "s3://bucket/sorted")
        assert (await af.bsp.validate(fabric, "s3://bucket/sorted")).ordered

    Args:
        fabric: where it runs. What workers write for one another goes to its store, and is deleted
            at the end.
        source: as for `chunks`. Compressed objects are read whole, whatever the memory.
        destination: the URL of a store, or a prefix, without objects. After an error or a
            cancellation there are none again.
        record: bytes of each record.
        key: bytes of its key.
        memory: of a worker; data that is more is sorted in parts.

    Raises:
        ConfigurationError: an argument makes no sense, there is no NumPy, or there are objects at
            the destination.
        ObjectNotFound, StorageError: the source is not there, or a store failed.
    """
    check_fabric(fabric)
    numpy()
    form, limit = _form(record, key), _limit(memory)
    await _check_destination(fabric, destination)
    pieces = await chunks(source, size=max(record, limit // 4), records=record)
    work = _Sort(fabric, form, destination, limit)
    try:
        parts = await work.run(pieces)
    except BaseException:
        await work.clean(done=False)
        raise
    await work.clean(done=True)
    return Sorted(sum(p.records for p in parts), sum(p.bytes for p in parts), parts)


class _Sort:
    def __init__(self, fabric: Fabric, form: Format, destination: str, memory: int) -> None:
        self._fabric = fabric
        self._form = form
        self._destination = destination
        self._memory = memory
        self._prefix = f"sort/{os.urandom(16).hex()}/"
        self._scratch = Scratch(fabric, self._prefix)
        self._outputs: list[str] = []

    async def run(self, pieces: list[Chunk]) -> tuple[Part, ...]:
        """Sample, deal out, sort."""
        fabric, form, prefix, memory = self._fabric, self._form, self._prefix, self._memory
        chosen = await _splitters(fabric, form, pieces, memory)
        dealer = Dealer(form, chosen, prefix, memory)
        told = await self._scratch.watch(fabric.map(dealer, pieces, chunksize=1))
        layout = Layout([Written(name, ends) for name, ends, _ in told], len(chosen) + 1)
        sums = {name: each for name, _, each in told}
        tasks = await self._tasks(layout)
        parts = planned(tasks, sums, single(chosen), max(1, memory // 8))
        sorter = Sorter(form, prefix, self._destination, memory)
        most = len(layout.sizes) + 16 * sum(layout.sizes) // memory
        orders = (self._order(part, name) for part, name in zip(parts, names(most), strict=False))
        sorted_ = await self._scratch.watch(fabric.map(sorter, orders, chunksize=1))
        return tuple(Part(*each) for each in sorted_)

    async def _tasks(self, layout: Layout) -> Iterable[Task]:
        """Return a task for each partition that has something."""
        spans = [(number, number + 1) for number, size in enumerate(layout.sizes) if size]
        if len(layout.objects) * len(spans) < TWO_LEVELS_READS:
            return (layout.task(*span) for span in spans)
        regrouping = Regrouping(layout, spans)
        regrouper = Regrouper(self._prefix, self._memory)
        regrouped = self._fabric.map(regrouper, regrouping.packed(), chunksize=1)
        return regrouping.tasks(await self._scratch.watch(regrouped))

    def _order(self, part: Planned, name: str) -> Order:
        self._outputs.append(name)
        return part.order(name)

    async def clean(self, *, done: bool) -> None:
        """Delete what lies in between, and the parts of a sort that isn't done."""
        await self._scratch.clean()
        if not done and self._outputs:
            await to_the_end(self._withdraw())

    async def _withdraw(self) -> None:
        store = open_source(self._destination)
        try:
            await store.delete_many(self._outputs)
        except StorageError as error:  # there is another one on its way to the user
            msg = f"parts of a sort that failed may be left in {self._destination}: {error}"
            warnings.warn(msg, RuntimeWarning, stacklevel=2)
        finally:
            await close(store)


async def validate(
    fabric: Fabric,
    source: str | Iterable[str],
    *,
    record: int = 100,
    key: int = 10,
    memory: int | str = "256MiB",
) -> Validation:
    """Look at records as they stand: how many, whether in order, and a checksum of all.

    Two sets of objects with the same records in any order have the same `records` and `checksum`.

    Args:
        fabric: where it runs.
        source: as for `chunks`; objects are looked at in the order of their keys.
        record: bytes of each record.
        key: bytes of its key.
        memory: of a worker.

    Raises as `sort` does.
    """
    check_fabric(fabric)
    numpy()
    form, limit = _form(record, key), _limit(memory)
    pieces = await chunks(source, size=max(record, limit // 4), records=record)
    records = duplicates = checksum = 0
    ordered, last = True, b""
    async with fabric.map(Inspector(form, limit), pieces) as found:
        async for each in found:
            seen = Seen(*each)
            if records and seen.records:
                ordered = ordered and last <= seen.first
                duplicates += last == seen.first
            ordered = ordered and seen.ordered
            records += seen.records
            duplicates += seen.duplicates
            checksum += seen.checksum
            last = seen.last if seen.records else last
    return Validation(records, ordered, duplicates, checksum % 2**64)


async def _splitters(
    fabric: Fabric, form: Format, pieces: list[Chunk], memory: int
) -> tuple[bytes, ...]:
    """Sample the keys, and return those at which partitions of equal size begin."""
    size = sum(chunk.size for chunk in pieces)
    most = max(1, size // LEAST_PARTITION_BYTES)
    count = max(-(-size * 8 // memory), min(most, TASKS_A_PLACE * places(fabric)))
    count = min(count, _MOST_PARTITIONS)
    if count == 1:
        return ()
    step = max(1, len(pieces) // max(SAMPLED_CHUNKS, count // 8))
    keys: list[bytes] = []
    for some in await fabric.map(Sampler(form), pieces[::step]):
        keys += [some[at : at + form.key] for at in range(0, len(some), form.key)]
    return splitters(keys, count) if keys else ()


def _form(record: int, key: int) -> Format:
    given: dict[str, Any] = {"record": record, "key": key}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            msg = f"{name}={value!r:.80} makes no sense; give the number of its bytes"
            raise ConfigurationError(msg)
    if key > record:
        msg = f"key={key} is longer than record={record}, of which it is the beginning"
        raise ConfigurationError(msg)
    return Format(record, key)


def _limit(memory: int | str) -> int:
    limit = parse_size("memory", memory)
    if limit < LEAST_MEMORY:
        msg = f"memory={memory!r} is too little to work with; give at least '1MiB'"
        raise ConfigurationError(msg)
    return limit


async def _check_destination(fabric: Fabric, destination: str) -> None:
    given: Any = destination
    if not isinstance(given, str) or given.lower().rstrip("/") == "memory:":
        msg = (
            f"destination={given!r:.80} is no URL of a place that lasts; give for example "
            "'s3://bucket/sorted' or 'file:///some/dir'"
        )
        raise ConfigurationError(msg)
    await check_reachable(fabric, destination)
    store = open_source(destination)
    try:
        await store.open()
        async for info in store.list():
            msg = (
                f"there are objects at {destination} already, such as {info.key}; they would "
                "be taken for sorted ones: delete them, or give another destination"
            )
            raise ConfigurationError(msg)
    finally:
        await close(store)
