"""What nobody needs any more: of discarded jobs and old notes, of executions that did not win.

What stages left for one another is the same, once no job needs it.

No key is needed. Whoever can mislead this by changing objects could delete them as well.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric._exceptions import IntegrityError, ObjectNotFound, StorageError
from asyncfabric_storage import _job_places as places
from asyncfabric_storage._commits import MAX_RECORD_BYTES
from asyncfabric_storage._sealed import FAILED, FIXED_BYTES, Sealed, read_sealed

from ._between import unowned
from ._manifest import MAX_MANIFEST_BYTES

if TYPE_CHECKING:
    from asyncfabric_storage import ObjectInfo, ObjectStore

GRACE = timedelta(days=1)
"""What is younger may belong to work under way: no attempt on Lambda outlives 15 minutes."""

_UNREADABLE = "?"


class Collected(NamedTuple):
    """What was deleted.

    Attributes:
        areas: of jobs that are no more.
        leases: of earlier drivers.
        notes: of what earlier drivers have left to events, and which calls failed then.
        executions: whose data was not the result.
        exchanges: whose intermediate objects no job needs.
        objects: all in all.
        size: their bytes.
        unreadable: names of jobs whose manifest can't be read; nothing was deleted then but
            what a readable one has left.
    """

    areas: int
    leases: int
    notes: int
    executions: int
    exchanges: int
    objects: int
    size: int
    unreadable: tuple[str, ...]


async def collect(
    store: ObjectStore, *, grace: timedelta = GRACE, now: datetime | None = None
) -> Collected:
    """Delete what is orphaned and, where that can't be known otherwise, older than `grace`.

    Safe beside running jobs. Costs a LIST for each thousand objects, and a GET for each large
    result.

    Raises:
        StorageError: the store failed; what was deleted stays deleted.
    """
    before = (datetime.now(UTC) if now is None else now) - grace
    areas, names, unreadable = await _areas(store)
    walk = _Walk(store, areas, before, keep_unknown=bool(unreadable))
    async for info in store.list(f"{places.ROOT}/"):
        await walk.see(info)
    await walk.leave()
    async for between in unowned(store, names, before):
        walk.exchange(between)
    await store.delete_many(walk.doomed)
    return Collected(
        walk.orphaned,
        walk.leases,
        walk.notes,
        walk.executions,
        walk.exchanges,
        len(walk.doomed),
        walk.size,
        tuple(unreadable),
    )


async def _areas(store: ObjectStore) -> tuple[set[str], list[str], list[str]]:
    """Return the areas that jobs have, all names, and those of jobs whose area can't be known."""
    prefix = f"{places.ROOT}/"
    areas: set[str] = set()
    names: list[str] = []
    unreadable: list[str] = []
    async for info in store.list(f"{prefix}{places.NAMES}"):
        place = info.key[len(prefix) :]
        names.append(place[len(places.NAMES) :])
        try:
            record = await read_sealed(store, places.ROOT, place, MAX_MANIFEST_BYTES)
        except ObjectNotFound:
            continue  # discarded just now
        except StorageError:
            unreadable.append(names[-1])
        else:
            areas.add(record.nonce.hex())
    return areas, names, unreadable


class _Walk:
    """Goes through all objects in the order of their keys, and so through one area at a time."""

    def __init__(
        self, store: ObjectStore, areas: set[str], before: datetime, *, keep_unknown: bool
    ) -> None:
        self.doomed: list[str] = []
        self.orphaned = self.leases = self.notes = self.executions = 0
        self.exchanges = self.size = 0
        self._store = store
        self._areas = areas
        self._before = before
        self._keep_unknown = keep_unknown
        self._area = ""
        self._unowned: list[ObjectInfo] = []
        self._lease: ObjectInfo | None = None
        self._noted: list[tuple[int, ObjectInfo]] = []
        self._winner: tuple[int, str | None] = (-1, None)

    async def see(self, info: ObjectInfo) -> None:
        area, _, place = info.key[len(places.ROOT) + 1 :].partition("/")
        if area != self._area:
            await self.leave()
            self._area = area
        if not places.is_area(area):
            return
        if area not in self._areas:
            self._unowned.append(info)
        elif places.number_in(place, places.LEASE) is not None:
            if self._lease is not None:  # the newest stays: it tells the older drivers to stop
                self.leases += 1
                self._doom(self._lease)
            self._lease = info
        elif (epoch := places.noting_epoch(place)) is not None:
            self._noted.append((epoch, info))
        elif (found := places.execution_in(place)) is not None:
            await self._data(info, *found)

    async def leave(self) -> None:
        """Decide about the area that has been gone through."""
        unowned, self._unowned = self._unowned, []
        noted, self._noted = self._noted, []
        lease, self._lease = self._lease, None
        self._winner = -1, None
        # All of it must be old: a job is begun by writing its code before its manifest.
        if unowned and not self._keep_unknown and all(map(self._is_old, unowned)):
            self.orphaned += 1
            for info in unowned:
                self._doom(info)
        # Notes count for the newest driver alone. Whoever follows the job may not know it yet.
        if lease is not None and self._is_old(lease):
            place = lease.key.removeprefix(f"{places.ROOT}/{self._area}/")
            newest = places.number_in(place, places.LEASE) or 0
            for epoch, info in noted:
                if epoch < newest:
                    self.notes += 1
                    self._doom(info)

    def exchange(self, infos: list[ObjectInfo]) -> None:
        """Take what one exchange has left."""
        self.exchanges += 1
        for info in infos:
            self._doom(info)

    async def _data(self, info: ObjectInfo, index: int, execution: str) -> None:
        if self._winner[0] != index:
            self._winner = index, await self._winner_of(index)
        winner = self._winner[1]
        # Without a result, this may become it at any moment.
        if winner == _UNREADABLE:
            return
        if execution != winner and (winner is not None or self._is_old(info)):
            self.executions += 1
            self._doom(info)

    async def _winner_of(self, index: int) -> str | None:
        """Return whose execution is the result; None while there is none."""
        root = f"{places.ROOT}/{self._area}"
        try:
            record = await read_sealed(self._store, root, places.done(index), MAX_RECORD_BYTES)
        except ObjectNotFound:
            return None
        except IntegrityError:
            return _UNREADABLE
        return _execution(record)

    def _is_old(self, info: ObjectInfo) -> bool:
        return info.modified <= self._before

    def _doom(self, info: ObjectInfo) -> None:
        self.doomed.append(info.key)
        self.size += info.size


def _execution(record: Sealed) -> str:
    """Return the execution that a record names; nothing is verified."""
    if record.kind == FAILED:
        return ""
    try:
        head: Any = json.loads(record.body[FIXED_BYTES : FIXED_BYTES + record.head_bytes])
        return str(head["execution"])
    except (ValueError, RecursionError, TypeError, LookupError):
        return _UNREADABLE
