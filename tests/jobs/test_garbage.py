"""What is collected, and what must stay."""

from datetime import UTC, datetime, timedelta

from asyncfabric.jobs._garbage import collect
from asyncfabric.jobs._keys import job_key
from asyncfabric.jobs._listing import discard
from asyncfabric.jobs._notes import leave, list_notes, read_left
from asyncfabric.jobs._results import Failed, read_payload
from asyncfabric_storage import MemoryStore, ObjectStore
from asyncfabric_storage._commits import INLINE_BYTES
from asyncfabric_storage._notes import note
from tests.jobs.programs import (
    KEY,
    attempt,
    keys_of,
    objects_of,
    opened,
    run_all,
    run_call,
    subject,
)

LARGE = b"x" * (INLINE_BYTES + 1)
LATER = datetime.now(UTC) + timedelta(days=2)
FAILURE = Failed("user", "ValueError", "no", "Traceback ...", b"", 0)


async def test_nothing_of_a_job_under_way_is_collected(store: ObjectStore) -> None:
    job = await opened(store)
    await job.inputs.add([subject(index) for index in range(3)])
    await run_call(store, attempt(job, 0, 0), LARGE)
    await run_call(store, attempt(job, 1, 1), b"small")
    await store.put(
        f"{job.root}/data/000000000002/{'0' * 32}-{'1' * 32}", LARGE
    )  # about to be committed
    before = await objects_of(store)
    assert (await collect(store)).objects == 0
    assert await objects_of(store) == before


async def test_data_that_is_not_the_result(store: ObjectStore) -> None:
    job = await opened(store)
    for number in (1, 2, 3):
        await run_call(store, attempt(job, 0, 0, number=number), LARGE)
    await job.fail(1, 1, subject(1), FAILURE)
    await run_call(store, attempt(job, 1, 1), LARGE)
    await run_call(store, attempt(job, 2, 2), b"small")
    await run_call(store, attempt(job, 2, 2, number=2), LARGE)
    done = await collect(store)
    assert (done.executions, done.objects, done.size) == (4, 4, 4 * len(LARGE))
    assert await read_payload(store, job.root, await job.result(0, subject(0))) == LARGE
    assert len(await keys_of(store, f"{job.root}/data/")) == 1


async def test_data_of_a_worker_that_died_is_kept_for_a_day(store: ObjectStore) -> None:
    job = await opened(store)
    await store.put(f"{job.root}/data/000000000002/{'0' * 32}-{'1' * 32}", LARGE)
    assert (await collect(store)).objects == 0
    assert (await collect(store, now=LATER)).executions == 1


async def test_older_leases(store: ObjectStore) -> None:
    jobs = [await opened(store) for _ in range(5)]
    assert (await collect(store)).leases == 4
    await jobs[-1].check()
    assert (await opened(store)).lease.epoch == 6


async def test_notes_of_earlier_launches(store: ObjectStore) -> None:
    """Only those for the newest driver are ever read."""
    job = await opened(store)
    key = await job_key(KEY, "prices", job.manifest.area)
    for epoch in (1, 2):
        for index in (0, 7):
            await note(
                store,
                attempt(job, index, index, number=epoch),
                kind="user",
                type_name="ValueError",
                message="no",
                traceback="Traceback ...",
                pickled=b"",
            )
        await leave(store, job.root, key, epoch, 2)
    await opened(store)
    assert (await collect(store)).notes == 0  # somebody may read them just now
    done = await collect(store, now=LATER)
    assert (done.notes, done.leases, done.objects) == (3, 0, 3)  # the lease went before
    assert await list_notes(store, job.root, 2) == [0, 7]
    assert await read_left(store, job.root, key, 2) == 2
    await opened(store)
    assert (await collect(store, now=LATER)).notes == 3
    assert not await keys_of(store, f"{job.root}/failed/")


async def test_what_stragglers_of_a_discarded_job_wrote(store: ObjectStore) -> None:
    job = await opened(store)
    await discard(store, "prices")
    await run_call(store, attempt(job, 0, 0), LARGE)
    other = await opened(store)
    await run_all(store, other, range(3), lambda _: LARGE)
    kept = await objects_of(store)
    assert (await collect(store)).objects == 0  # it may be a job that is being begun
    done = await collect(store, now=LATER)
    assert (done.areas, done.objects) == (1, 2)
    assert await objects_of(store) == {
        key: data for key, data in kept.items() if not key.startswith(job.root)
    }


async def test_beside_a_manifest_that_cannot_be_read_no_area_is_collected() -> None:
    store = MemoryStore()
    job = await opened(store)
    await opened(store, "other")
    await store.put("jobs/names/prices", b"rubbish")
    before = await objects_of(store)
    done = await collect(store, now=LATER)
    assert (done.objects, done.unreadable) == (0, ("prices",))
    await store.put(f"{job.root}/done/000000000000", b"rubbish")
    assert (await collect(store, now=LATER)).objects == 0
    assert before.keys() < (await objects_of(store)).keys()


async def test_data_beside_a_result_that_cannot_be_read_stays(store: ObjectStore) -> None:
    job = await opened(store)
    await run_call(store, attempt(job, 0, 0), LARGE)
    await store.put(f"{job.root}/done/000000000000", b"rubbish")
    assert (await collect(store, now=LATER)).objects == 0


async def test_what_is_not_ours_stays(store: ObjectStore) -> None:
    await opened(store)
    odd = ["jobs/mine", "jobs/readme/x", "objects/abc", f"jobs/{'g' * 32}/done/0"]
    for key in odd:
        await store.put(key, b"")
    assert (await collect(store, now=LATER)).objects == 0
    assert set(odd) < set(await keys_of(store))
