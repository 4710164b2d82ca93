"""Following a job that another process drives, or drove: what is done, as it gets done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncfabric._exceptions import ObjectNotFound
from asyncfabric_storage import _job_places as places
from asyncfabric_storage._sealed import read_sealed

from ._indices import Indices
from ._inputs import read_ended
from ._job import MAX_FINISHED_BYTES, read_code, read_finished
from ._listing import no_such_job
from ._manifest import read_manifest
from ._results import read_payload, read_result

if TYPE_CHECKING:
    from asyncfabric_storage import ObjectStore

    from ._keys import JobKey, KeySource
    from ._manifest import Manifest
    from ._results import Committed

BLOCK = 1000
"""Results are listed by the thousand, as stores list them."""
_EMPTY = 4
"""How many blocks without any result are looked into before the rest is left for another time."""


class Follower:
    """A job as it is seen from outside; it never takes the job over.

    Attributes:
        manifest: what it was begun with.
        done: the inputs that were seen to be done.
        total: how many inputs there are; None while nobody has read them to their end.
    """

    def __init__(self, store: ObjectStore, manifest: Manifest, key: JobKey) -> None:
        self.manifest = manifest
        self.done = Indices()
        self.total: int | None = None
        self._store = store
        self._key = key

    @property
    def complete(self) -> bool:
        """Whether every input was seen to be done."""
        return self.total is not None and len(self.done) >= self.total

    async def look(self) -> list[int]:
        """Return the inputs that have got done since the last look, in order.

        Costs a LIST for each thousand inputs that are not all done, a few more, and a GET.

        Raises:
            IntegrityError: the record of how many inputs there are was changed.
            StorageError: the store failed.
        """
        root = self.manifest.root
        if self.total is None:
            # Before the results: those of inputs that are read meanwhile come with the next look.
            ended = await read_ended(self._store, root, self._key)
            self.total = None if ended is None else ended.total
        news: list[int] = []
        block, empty = self.done.first_missing() // BLOCK, 0
        while empty < _EMPTY and (self.total is None or block * BLOCK < self.total):
            found = await self._list(block)
            news += [index for index in found if self.done.add(index)]
            empty = 0 if found else empty + 1
            block = max(block + 1, self.done.first_missing((block + 1) * BLOCK) // BLOCK)
        return news

    async def result(self, index: int) -> Committed:
        """Return what an input has come to, verified. Raises as `read_result` does."""
        return await read_result(self._store, self.manifest.root, self._key, index)

    async def payload(self, result: Committed) -> memoryview:
        """Return a result's bytes. Raises as `read_payload` does."""
        return await read_payload(self._store, self.manifest.root, result)

    async def code(self, name: str) -> memoryview:
        """Return stored code of the job, by digest. Raises as `read_code` does."""
        return await read_code(self._store, self.manifest.root, name)

    async def finished(self) -> bool:
        """Tell whether its driver noted that all inputs are done. Raises `IntegrityError`."""
        try:
            record = await read_sealed(
                self._store, self.manifest.root, places.FINISHED, MAX_FINISHED_BYTES
            )
        except ObjectNotFound:
            return False
        read_finished(record, self._key)
        return True

    async def _list(self, block: int) -> list[int]:
        prefix = f"{self.manifest.root}/"
        # A block's keys have all digits but the last three in common.
        listed = self._store.list(f"{prefix}{places.done(block * BLOCK)[:-3]}")
        found = [places.number_in(info.key[len(prefix) :], places.DONE) async for info in listed]
        return [index for index in found if index is not None]


async def follow(store: ObjectStore, source: KeySource, name: str) -> Follower:
    """Return a follower of a job.

    Raises:
        ConfigurationError: there is no such job.
        IntegrityError: its manifest was changed, or made with another key.
    """
    found = await read_manifest(store, source, name)
    if found is None:
        raise no_such_job(name, store)
    return Follower(store, *found)
