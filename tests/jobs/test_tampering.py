"""Somebody else writes to the store: nothing of theirs is believed, and nothing is unpickled."""

import json
import pickle
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import pytest

from asyncfabric import IntegrityError, StorageError
from asyncfabric.jobs._follow import follow
from asyncfabric.jobs._job import Job, open_job
from asyncfabric.jobs._listing import summarize
from asyncfabric.jobs._results import Failed, read_payload
from asyncfabric_storage import MemoryStore, ObjectStore
from asyncfabric_storage._commits import INLINE_BYTES
from asyncfabric_storage._sealed import DONE, FIXED_BYTES, seal
from tests.jobs.programs import (
    KEY,
    attempt,
    keys_of,
    opened,
    run_all,
    run_call,
    subject,
    wanted,
)

INPUTS = list(range(300))


class Gadget:
    """A pickle that runs code when it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., NoReturn], tuple[str]]:
        return _caught, ("a pickle of somebody else's was loaded",)


def _caught(text: str) -> NoReturn:
    raise AssertionError(text)


GADGET = pickle.dumps(Gadget())


async def _job(store: ObjectStore) -> Job:
    """A finished job with a small, a large and a failed result."""
    job = await opened(store)
    await job.fail(1, 1, subject(1), Failed("user", "E", "m", "t", b"pickled", 0))
    await run_call(store, attempt(job, 2, 2), b"x" * (INLINE_BYTES + 1))
    await run_all(store, job, INPUTS, lambda value: str(value).encode())
    return job


async def _read_all(store: ObjectStore) -> None:
    """Read everything of the job: as a driver that goes on with it, and as a follower."""
    job = await open_job(store, KEY, wanted())
    await job.inputs.add([subject(each) for each in INPUTS])
    await job.inputs.end()
    for index in (0, 1, 2):
        await read_payload(store, job.root, await job.result(index, subject(index)))
    await job.code(job.manifest.code.function)
    await job.check()
    assert (await summarize(store, KEY, "prices")).finished


async def _follow_all(store: ObjectStore) -> None:
    seen = await follow(store, KEY, "prices")
    for index in (await seen.look())[:3]:
        await seen.payload(await seen.result(index))
    assert await seen.finished()
    await seen.code(seen.manifest.code.function)


def test_the_gadget_would_run() -> None:
    with pytest.raises(AssertionError, match="was loaded"):
        pickle.loads(GADGET)


PLACES = [
    "names/prices",
    "lease/00000001",
    "done/000000000000",
    "done/000000000001",
    "inputs/00000000",
    "inputs/ended",
    "finished",
    "data",
    "code",
]


async def _key_of(store: ObjectStore, job: Job, place: str) -> str:
    if place.startswith("names/"):
        return f"jobs/{place}"
    return (await keys_of(store, f"{job.root}/{place}"))[0]


@pytest.mark.parametrize("place", PLACES)
async def test_every_byte_of_every_object_counts(place: str) -> None:
    store = MemoryStore()
    job = await _job(store)
    key = await _key_of(store, job, place)
    whole = bytes(await store.get(key))
    reads = [_read_all] if place.startswith(("lease", "inputs/0")) else [_read_all, _follow_all]
    # The first bytes, which tell what it is; of the rest some.
    spots = [*range(min(FIXED_BYTES + 40, len(whole))), len(whole) // 2, len(whole) - 1]
    for at in spots:
        changed = bytearray(whole)
        changed[at] ^= 1
        for read in reads:
            await store.put(key, changed)
            for lease in await keys_of(store, f"{job.root}/lease/"):
                if lease != key and not lease.endswith("/00000001"):
                    await store.delete(lease)
            with pytest.raises(StorageError):
                await read(store)
    await store.put(key, whole)
    await _read_all(store)
    await _follow_all(store)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rubbish", [b"", GADGET, b"AFJ", b"AFJ\x01" + GADGET, b"x" * 3_000_000])
async def test_other_bytes_are_refused(place: str, rubbish: bytes) -> None:
    store = MemoryStore()
    job = await _job(store)
    await store.put(await _key_of(store, job, place), rubbish)
    with pytest.raises(IntegrityError):
        await _read_all(store)


Forge = Callable[[MemoryStore, Job], Awaitable[None]]


async def _copied_result(store: MemoryStore, job: Job) -> None:
    """Another input's result."""
    await store.put(
        f"{job.root}/done/000000000000", await store.get(f"{job.root}/done/000000000003")
    )


async def _replayed_result(store: MemoryStore, job: Job) -> None:
    """The same input's result, of another job with the same key."""
    other = await opened(store, "other")
    await run_call(store, attempt(other, 0, 0), b"other")
    await store.put(
        f"{job.root}/done/000000000000", await store.get(f"{other.root}/done/000000000000")
    )


async def _replayed_data(store: MemoryStore, job: Job) -> None:
    """The data of an execution that lost."""
    await run_call(store, attempt(job, 2, 2, nonce=b"2"), b"y" * (INLINE_BYTES + 1))
    first, second = await keys_of(store, f"{job.root}/data/")
    one, two = bytes(await store.get(first)), bytes(await store.get(second))
    await store.put(first, two)
    await store.put(second, one)


async def _result_as_failure(store: MemoryStore, job: Job) -> None:
    """A worker that tells of its input as only the driver may."""
    body = bytearray(await store.get(f"{job.root}/done/000000000000"))
    body[4] = 4
    await store.put(f"{job.root}/done/000000000000", body)


async def _forged_by_a_worker(store: MemoryStore, job: Job) -> None:
    """A worker that seals another input's result with its own token."""
    tried = attempt(job, 7, 7)
    head = {"codec": "pickle", "size": len(GADGET), "digest": "", "execution": "0" * 32}
    body = seal(
        tried._token,
        "done/000000000000",
        DONE,
        head,
        GADGET,
        nonce=tried.nonce,
        subject=subject(0),
        index=0,
        number=1,
    )
    await store.put(f"{job.root}/done/000000000000", body)


async def _own_result_elsewhere(store: MemoryStore, job: Job) -> None:
    """A worker that puts its own result, sealed as it should be, in another input's place."""
    tried = attempt(job, 7, 7)
    head = {"codec": "pickle", "size": len(GADGET), "digest": "", "execution": "0" * 32}
    body = seal(
        tried._token,
        "done/000000000000",
        DONE,
        head,
        GADGET,
        nonce=tried.nonce,
        subject=tried.subject,
        index=7,
        number=1,
    )
    await store.put(f"{job.root}/done/000000000000", body)


async def _forged_manifest(store: MemoryStore, job: Job) -> None:
    """The manifest of another job, under this one's name."""
    await opened(store, "other")
    await store.put("jobs/names/prices", await store.get("jobs/names/other"))


async def _moved_lease(store: MemoryStore, job: Job) -> None:
    """A lease under a higher number, to stop every driver."""
    await store.put(f"{job.root}/lease/99999999", await store.get(f"{job.root}/lease/00000001"))


async def _shorter_end(store: MemoryStore, job: Job) -> None:
    """A segment in the place of the end."""
    await store.put(f"{job.root}/inputs/ended", await store.get(f"{job.root}/inputs/00000000"))


async def _gadget_as_code(store: MemoryStore, job: Job) -> None:
    """Code that would run."""
    await store.put(f"{job.root}/code/{job.manifest.code.function}", GADGET)


async def _no_data(store: MemoryStore, job: Job) -> None:
    """Data that is gone."""
    for key in await keys_of(store, f"{job.root}/data/"):
        await store.delete(key)


FORGERIES = [
    _copied_result,
    _replayed_result,
    _replayed_data,
    _result_as_failure,
    _forged_by_a_worker,
    _own_result_elsewhere,
    _forged_manifest,
    _moved_lease,
    _shorter_end,
    _gadget_as_code,
    _no_data,
]


@pytest.mark.parametrize("forge", FORGERIES, ids=[each.__name__[1:] for each in FORGERIES])
async def test_forgeries_are_refused(forge: Forge) -> None:
    store = MemoryStore()
    job = await _job(store)
    await _read_all(store)
    await forge(store, job)
    with pytest.raises(IntegrityError):
        await _read_all(store)


async def test_a_forged_record_of_ones_own_attempt_is_seen_by_the_worker() -> None:
    store = MemoryStore()
    job = await opened(store)
    tried = attempt(job, 0, "x")
    head = {"codec": "pickle", "size": len(GADGET), "digest": "", "execution": "0" * 32}
    for key in (b"?" * 32, attempt(job, 1, "x")._token):
        body = seal(
            key,
            "done/000000000000",
            DONE,
            head,
            GADGET,
            nonce=tried.nonce,
            subject=tried.subject,
            number=1,
        )
        await store.put(f"{job.root}/done/000000000000", body)
        with pytest.raises(IntegrityError):
            await run_call(store, tried)


@pytest.mark.parametrize(
    "lie",
    [
        {"size": 1},
        {"size": -1},
        {"digest": "0" * 64},
        {"digest": "x"},
        {"execution": "../../other"},
        {"execution": ""},
        {"more": 1},
        {"codec": 1},
    ],
    ids=json.dumps,
)
async def test_what_a_worker_seals_badly_is_refused(lie: dict[str, Any]) -> None:
    """It has the token, so the MAC is right; what it says must make sense all the same."""
    store = MemoryStore()
    job = await opened(store)
    tried = attempt(job, 0, "x")
    head = {"codec": "pickle", "size": 7, "digest": "", "execution": "0" * 32, **lie}
    await store.put(f"{job.root}/done/000000000000", tried.sealed(head, b"payload").body)
    with pytest.raises(IntegrityError):
        await job.result(0, tried.subject)


async def test_no_key_reaches_the_store() -> None:
    """Nor does anything that could be one: no object holds the keys' bytes, as such or as hex."""
    store = MemoryStore()
    job = await _job(store)
    tried = attempt(job, 0, 0)
    secrets = [b"k" * 32, job._key.driver, job._key._attempts, tried._token]
    spelt = [text for secret in secrets for text in (secret, secret.hex().encode())]
    for key in await keys_of(store):
        data = bytes(await store.get(key))
        assert not [text for text in spelt if text in data or text.decode("latin1") in key]
