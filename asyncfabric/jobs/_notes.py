"""Jobs that are left to events: what their workers note of failures, and that they were left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric._exceptions import IntegrityError, ObjectNotFound
from asyncfabric_storage import _job_places as places
from asyncfabric_storage._commits import MAX_RECORD_BYTES, create
from asyncfabric_storage._sealed import (
    LEFT,
    NONCE_BYTES,
    NOTED,
    check_fields,
    parse,
    read_sealed,
    seal,
)

from ._results import Failed

if TYPE_CHECKING:
    from asyncfabric_storage import ObjectStore

    from ._indices import Indices
    from ._keys import JobKey
    from ._lease import Lease

_MAX_LEFT_BYTES = 4096
_NOTE_FIELDS: dict[str, type] = {"kind": str, "message": str, "traceback": str, "type": str}
_LEFT_FIELDS: dict[str, type] = {"calls": int}


class Noted(NamedTuple):
    """A failure by its worker's word.

    Attributes:
        at: which input.
        epoch: of the driver that left the call to an event.
        failed: why.
    """

    at: int
    epoch: int
    failed: Failed

    @property
    def size(self) -> int:
        """Bytes of a value: there is none."""
        return 0


async def list_notes(store: ObjectStore, root: str, epoch: int) -> list[int]:
    """Return the inputs of which a driver's events failed, in order: a LIST for each thousand."""
    prefix = f"{root}/"
    found: list[int] = []
    async for info in store.list(f"{prefix}{places.NOTES}"):
        noted = places.noted_in(info.key[len(prefix) :])
        if noted is not None and noted[1] == epoch:
            found.append(noted[0])
    return found


async def read_note(store: ObjectStore, root: str, key: JobKey, index: int, epoch: int) -> Noted:
    """Read and verify a note: one GET.

    Raises:
        ObjectNotFound: there is none.
        IntegrityError: it was changed, or belongs to another call or job.
        StorageError: the store failed.
    """
    record = await read_sealed(store, root, places.note(index, epoch), MAX_RECORD_BYTES)
    head, payload = record.open(key.token_of(record))
    check_fields(record.place, head, _NOTE_FIELDS)
    if record.kind != NOTED or (record.index, record.number) != (index, epoch):
        raise IntegrityError(f"the object {record.place} of a job makes no sense; discard the job")
    fields: Any = head
    failed = Failed(
        fields["kind"],
        fields["type"],
        fields["message"],
        fields["traceback"],
        bytes(payload),
        epoch,
    )
    return Noted(index, epoch, failed)


async def leave(store: ObjectStore, root: str, key: JobKey, epoch: int, calls: int) -> None:
    """Say that a driver has left all calls to events: so many. Raises `StorageError`."""
    place = places.left(epoch)
    body = seal(
        key.driver, place, LEFT, {"calls": calls}, nonce=bytes(NONCE_BYTES), index=epoch
    )  # fmt: skip
    await create(store, root, parse(place, body), most=_MAX_LEFT_BYTES)


async def read_left(store: ObjectStore, root: str, key: JobKey, epoch: int) -> int | None:
    """Return how many calls a driver has left to events; None if it hasn't, or not yet.

    Raises:
        IntegrityError: the record was changed.
    """
    try:
        record = await read_sealed(store, root, places.left(epoch), _MAX_LEFT_BYTES)
    except ObjectNotFound:
        return None
    head, payload = record.open(key.driver)
    check_fields(record.place, head, _LEFT_FIELDS)
    if record.kind != LEFT or record.index != epoch or payload:
        raise IntegrityError(f"the object {record.place} of a job makes no sense; discard the job")
    calls: int = head["calls"]
    return calls


class Notes:
    """What is noted of failures, where the job's latest driver has left it to events.

    Attributes:
        epoch: of that driver; 0 where the job is driven.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._known: set[int] = set()
        self._key: JobKey | None = None

    def __contains__(self, index: int) -> bool:
        return index in self._known

    async def left(self, store: ObjectStore, root: str, key: JobKey, lease: Lease) -> bool:
        """Tell whether a driver has left its job to events."""
        if self.epoch != lease.epoch:
            self._known.clear()  # whatever failed is run again
            there = await read_left(store, root, key, lease.epoch)
            self.epoch, self._key = (0, None) if there is None else (lease.epoch, key)
        return self.epoch != 0

    async def look(self, store: ObjectStore, root: str, done: Indices) -> list[int]:
        """Return the inputs that were noted to have failed since the last look, in order."""
        found = await list_notes(store, root, self.epoch)
        news = [at for at in found if at not in self._known and at not in done]
        self._known.update(news)
        return news

    async def read(self, store: ObjectStore, root: str, index: int) -> Noted:
        """Return a note, verified. Raises as `read_note` does."""
        assert self._key is not None  # noqa: S101 - there are no notes before
        return await read_note(store, root, self._key, index, self.epoch)
