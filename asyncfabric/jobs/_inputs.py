"""A job's inputs, remembered by their digests: a resume must bring the same ones.

Digests are kept in segments of 256, 512, ... 16,384 inputs, so that an endless input is remembered
as it goes, and a short one costs one object: the last, which tells how many there were. Segments
are what names a changed input early. That no result is taken for another input's does not rest upon
them: every result carries its input's digest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from asyncfabric._exceptions import ConfigurationError, IntegrityError, ObjectNotFound
from asyncfabric_storage import _job_places as places
from asyncfabric_storage._commits import create
from asyncfabric_storage._sealed import (
    ENDED,
    FIXED_BYTES,
    INPUTS,
    NONCE_BYTES,
    check_fields,
    parse,
    read_sealed,
    seal,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncfabric_storage import ObjectStore
    from asyncfabric_storage._sealed import Sealed

    from ._keys import JobKey
    from ._manifest import Manifest

FIRST_SEGMENT = 256
LARGEST_SEGMENT = 16_384
KEPT_BYTES = 16
"""Of each digest."""
MAX_SEGMENT_BYTES = FIXED_BYTES + 1024 + LARGEST_SEGMENT * KEPT_BYTES

_NOBODY = bytes(NONCE_BYTES)


def bounds(number: int) -> range:
    """Return the indices that a segment holds."""
    doublings = (LARGEST_SEGMENT // FIRST_SEGMENT).bit_length() - 1
    if number <= doublings:
        first = FIRST_SEGMENT * ((1 << number) - 1)
        return range(first, first + (FIRST_SEGMENT << number))
    first = FIRST_SEGMENT * ((1 << doublings) - 1) + (number - doublings) * LARGEST_SEGMENT
    return range(first, first + LARGEST_SEGMENT)


class Ended(NamedTuple):
    """How many inputs there were, and the digests of those in no whole segment."""

    total: int
    tail: bytes


class Inputs:
    """The digests of one job's inputs, as they are read.

    Attributes:
        least: inputs that earlier drivers have read at least.
    """

    def __init__(self, store: ObjectStore, manifest: Manifest, key: JobKey) -> None:
        self._store = store
        self._manifest = manifest
        self._key = key
        self._known: set[int] = set()
        self._ended: Ended | None = None
        self._number = 0
        self._digests = bytearray()
        self._expected: bytes | None = None
        self._loaded = False
        self.least = 0

    @property
    def count(self) -> int:
        """How many inputs have been read."""
        return bounds(self._number).start + len(self._digests) // KEPT_BYTES

    @property
    def total(self) -> int | None:
        """How many there are, where an earlier driver has read them to their end."""
        return None if self._ended is None else self._ended.total

    async def load(self) -> None:
        """Find out what earlier drivers have written: a LIST, and a GET if the inputs ended."""
        prefix = f"{self._manifest.root}/"
        async for info in self._store.list(f"{prefix}{places.INPUTS}"):
            number = places.number_in(info.key[len(prefix) :], places.INPUTS)
            if number is not None:
                self._known.add(number)
                self.least = max(self.least, bounds(number).stop)
        self._ended = await read_ended(self._store, self._manifest.root, self._key)

    async def add(self, digests: Sequence[bytes]) -> None:
        """Take the digests of the next inputs, compare or store them.

        Raises:
            ConfigurationError: an input is another than it was; the message names it.
        """
        left = list(digests)
        while left:
            if not self._loaded:
                self._expected = await self._segment()
                self._loaded = True
            held = bounds(self._number)
            room = held.stop - self.count
            part, left = left[:room], left[room:]
            self._compare(b"".join(each[:KEPT_BYTES] for each in part))
            if self.count == held.stop:
                await self._close()

    async def end(self) -> int:
        """Know that there are no more; return how many there were.

        Raises:
            ConfigurationError: there were more, or fewer.
        """
        mine = Ended(self.count, bytes(self._digests))
        if self._ended is None:
            if mine.total < self.least:
                self._differ(
                    f"there were at least {self.least:,} of them, and now there are {mine.total:,}"
                )
            commit = await create(
                self._store, self._manifest.root, self._sealed_end(mine), most=MAX_SEGMENT_BYTES
            )
            self._ended = _ended(commit.record, self._key)
        if self._ended.total != mine.total:
            self._differ(
                f"there were {self._ended.total:,} of them, and now there are {mine.total:,}"
            )
        self._check(mine.tail, self._ended.tail)
        return mine.total

    def _compare(self, digests: bytes) -> None:
        start = len(self._digests)
        self._digests += digests
        if self._ended is not None and self.count > self._ended.total:
            self._differ(f"there were {self._ended.total:,} of them, and now there are more")
        if self._expected is not None:
            self._check(bytes(self._digests), self._expected, start)

    def _check(self, mine: bytes, theirs: bytes, start: int = 0) -> None:
        if theirs.startswith(mine):
            return
        for place in range(start, len(mine), KEPT_BYTES):
            if mine[place : place + KEPT_BYTES] != theirs[place : place + KEPT_BYTES]:
                index = bounds(self._number).start + place // KEPT_BYTES
                self._differ(f"input {index:,} is another one")

    def _differ(self, how: str) -> None:
        name = self._manifest.name
        raise ConfigurationError(
            f"the inputs of job {name!r} are not those that it was begun with: {how}. Give the "
            "same inputs in the same order, or the job another name, or forget what is done: "
            f"asyncfabric jobs discard {name}"
        )

    async def _segment(self) -> bytes | None:
        """Return what an earlier driver wrote of the segment that begins now."""
        if self._number in self._known:
            place = places.segment(self._number)
            record = await read_sealed(
                self._store, self._manifest.root, place, MAX_SEGMENT_BYTES
            )  # fmt: skip
            return _digests(record, self._number, self._key)
        ended = self._ended
        if ended is not None and self.count == ended.total - len(ended.tail) // KEPT_BYTES:
            return ended.tail
        return None

    async def _close(self) -> None:
        """Store the segment that is full, unless it is there."""
        if self._number not in self._known:
            place = places.segment(self._number)
            body = seal(
                self._key.driver,
                place,
                INPUTS,
                {},
                bytes(self._digests),
                nonce=_NOBODY,
                index=self._number,
            )
            commit = await create(
                self._store, self._manifest.root, parse(place, body), most=MAX_SEGMENT_BYTES
            )  # fmt: skip
            self._check(bytes(self._digests), _digests(commit.record, self._number, self._key))
        self._number += 1
        self._digests.clear()
        self._loaded = False

    def _sealed_end(self, ended: Ended) -> Sealed:
        body = seal(
            self._key.driver,
            places.ENDED,
            ENDED,
            {"total": ended.total},
            ended.tail,
            nonce=_NOBODY,
            index=ended.total,
        )
        return parse(places.ENDED, body)


async def read_ended(store: ObjectStore, root: str, key: JobKey) -> Ended | None:
    """Return how many inputs a job has; None while nobody has read them to their end.

    Raises:
        IntegrityError: the record was changed.
    """
    try:
        record = await read_sealed(store, root, places.ENDED, MAX_SEGMENT_BYTES)
    except ObjectNotFound:
        return None
    return _ended(record, key)


def _ended(record: Sealed, key: JobKey) -> Ended:
    head, payload = record.open(key.driver)
    check_fields(record.place, head, {"total": int})
    total: int = head["total"]
    tail, odd = divmod(len(payload), KEPT_BYTES)
    in_range = tail <= total <= places.MAX_INDEX + 1
    if record.kind != ENDED or odd or not in_range or not _begins_segment(total - tail):
        raise IntegrityError(f"the object {record.place} of a job makes no sense; discard the job")
    return Ended(total, bytes(payload))


def _begins_segment(index: int) -> bool:
    first = 0
    while bounds(first).stop <= index and len(bounds(first)) < LARGEST_SEGMENT:
        first += 1
    start = bounds(first).start
    return index >= start and (index - start) % len(bounds(first)) == 0


def _digests(record: Sealed, number: int, key: JobKey) -> bytes:
    head, payload = record.open(key.driver)
    check_fields(record.place, head, {})
    whole = len(bounds(number)) * KEPT_BYTES
    if record.kind != INPUTS or record.index != number or len(payload) != whole:
        raise IntegrityError(f"the object {record.place} of a job makes no sense; discard the job")
    return bytes(payload)
