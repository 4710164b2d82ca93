"""What workers note of failures when nobody waits for them, and what a launcher says at its end."""

import pytest

from asyncfabric import IntegrityError, ObjectNotFound
from asyncfabric.jobs._job import Job
from asyncfabric.jobs._keys import JobKey, job_key
from asyncfabric.jobs._listing import summarize
from asyncfabric.jobs._notes import leave, list_notes, read_left, read_note
from asyncfabric_storage import MemoryStore, ObjectStore
from asyncfabric_storage import _job_places as places
from asyncfabric_storage._commits import Attempt
from asyncfabric_storage._notes import LONGEST_TEXT, MOST_PICKLED, note
from tests.jobs.programs import KEY, attempt, opened, run_call, subject


async def _key(job: Job) -> JobKey:
    return await job_key(KEY, job.manifest.name, job.manifest.area)


async def _note(store: ObjectStore, tried: Attempt, message: str = "no") -> None:
    await note(
        store,
        tried,
        kind="user",
        type_name="ValueError",
        message=message,
        traceback="Traceback ...",
        pickled=b"an exception",
    )


async def test_a_note_is_read_back(store: ObjectStore) -> None:
    job = await opened(store)
    await _note(store, attempt(job, 3, 3, number=2))
    assert await list_notes(store, job.root, 2) == [3]
    noted = await read_note(store, job.root, await _key(job), 3, 2)
    assert (noted.at, noted.epoch) == (3, 2)
    assert noted.failed == ("user", "ValueError", "no", "Traceback ...", b"an exception", 2)
    with pytest.raises(ObjectNotFound):
        await read_note(store, job.root, await _key(job), 3, 1)


async def test_a_note_is_no_result(store: ObjectStore) -> None:
    """The call may be run again, and then it is done."""
    job = await opened(store)
    await _note(store, attempt(job, 0, 0))
    assert len((await opened(store)).done) == 0
    assert (await run_call(store, attempt(job, 0, 0, number=2))).verdict == "won"
    assert list((await opened(store)).done) == [0]


async def test_notes_of_other_launches_are_not_listed(store: ObjectStore) -> None:
    job = await opened(store)
    for index, number in ((5, 1), (2, 2), (7, 2), (2, 1)):
        await _note(store, attempt(job, index, index, number=number))
    await store.put(f"{job.root}/failed/odd", b"")
    assert await list_notes(store, job.root, 1) == [2, 5]
    assert await list_notes(store, job.root, 2) == [2, 7]


async def test_the_first_note_stays(store: ObjectStore) -> None:
    """An event that is delivered twice may fail in two ways."""
    job = await opened(store)
    for message in ("first", "second"):
        await _note(store, attempt(job, 0, 0), message)
    assert (await read_note(store, job.root, await _key(job), 0, 1)).failed.message == "first"


async def test_long_texts_are_cut(store: ObjectStore) -> None:
    job = await opened(store)
    text = "\n" * LONGEST_TEXT + "end"
    await note(
        store,
        attempt(job, 0, 0),
        kind="user",
        type_name="E",
        message=text,
        traceback=text,
        pickled=b"x" * (MOST_PICKLED + 1),
    )
    failed = (await read_note(store, job.root, await _key(job), 0, 1)).failed
    assert len(failed.message) == len(failed.traceback) == LONGEST_TEXT
    assert failed.traceback.endswith("end")
    assert failed.pickled == b""


@pytest.mark.parametrize(("index", "number"), [(1, 1), (0, 2)])
async def test_a_note_of_another_call(index: int, number: int) -> None:
    store = MemoryStore()
    job = await opened(store)
    await _note(store, attempt(job, 0, 0))
    here = f"{job.root}/{places.note(0, 1)}"
    await store.put(f"{job.root}/{places.note(index, number)}", await store.get(here))
    with pytest.raises(IntegrityError):
        await read_note(store, job.root, await _key(job), index, number)


async def test_a_note_that_was_changed() -> None:
    store = MemoryStore()
    job = await opened(store)
    await _note(store, attempt(job, 0, 0))
    place = f"{job.root}/{places.note(0, 1)}"
    body = bytes(await store.get(place))
    for bad in (body[:-1] + b"x", body[:-1], b"", body.replace(b"no", b"so")):
        await store.put(place, bad)
        with pytest.raises(IntegrityError):
            await read_note(store, job.root, await _key(job), 0, 1)


async def test_a_result_in_the_place_of_a_note() -> None:
    store = MemoryStore()
    job = await opened(store)
    await run_call(store, attempt(job, 0, 0))
    record = await store.get(f"{job.root}/{places.done(0)}")
    await store.put(f"{job.root}/{places.note(0, 1)}", record)
    with pytest.raises(IntegrityError):
        await read_note(store, job.root, await _key(job), 0, 1)


async def test_that_all_was_left(store: ObjectStore) -> None:
    job = await opened(store)
    key = await _key(job)
    assert await read_left(store, job.root, key, 1) is None
    await leave(store, job.root, key, 1, 17)
    assert await read_left(store, job.root, key, 1) == 17
    assert await read_left(store, job.root, key, 2) is None
    place = f"{job.root}/{places.left(1)}"
    await store.put(f"{job.root}/{places.left(2)}", await store.get(place))
    with pytest.raises(IntegrityError):
        await read_left(store, job.root, key, 2)


async def test_how_far_a_launched_job_is(store: ObjectStore) -> None:
    """It has no driver that could be gone, and is finished when all is done."""
    job = await opened(store)
    await job.inputs.add([subject(index) for index in range(3)])
    await job.inputs.end()
    await run_call(store, attempt(job, 0, 0))
    for index in (0, 1):
        await _note(store, attempt(job, index, index))
    assert not (await summarize(store, KEY, "prices")).launched
    await leave(store, job.root, await _key(job), 1, 3)
    seen = await summarize(store, KEY, "prices")
    assert (seen.launched, seen.done, seen.noted) == (True, 1, 1)
    assert (seen.finished, seen.driver_gone) == (False, False)
    for index in (1, 2):
        await run_call(store, attempt(job, index, index))
    seen = await summarize(store, KEY, "prices")
    assert (seen.finished, seen.noted, seen.failed) == (True, 0, None)
