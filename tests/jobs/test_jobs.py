"""Jobs that are begun, gone on with, refused, taken over, listed and discarded, on every store."""

from typing import Any

import pytest

from asyncfabric import ConfigurationError, IntegrityError, ObjectNotFound
from asyncfabric.jobs._job import Wanted, open_job
from asyncfabric.jobs._lease import TakenOver
from asyncfabric.jobs._listing import discard, job_names, summarize
from asyncfabric.jobs._results import LONGEST_TEXT, MOST_PICKLED, Failed, read_payload
from asyncfabric_storage import LocalStore, ObjectStore, digest
from asyncfabric_storage._commits import INLINE_BYTES
from tests.jobs.programs import (
    FUNCTION,
    KEY,
    OTHER_KEY,
    Counting,
    attempt,
    keys_of,
    opened,
    run_all,
    run_call,
    subject,
    wanted,
)

FAILURE = Failed("user", "ValueError", "no", "Traceback ...", b"pickled", 0)


def _square(value: int) -> bytes:
    return str(value * value).encode()


async def test_a_job_from_its_beginning_to_its_end(store: ObjectStore) -> None:
    job = await opened(store)
    assert (job.resumed, list(job.done), job.lease.epoch) == (False, [], 1)
    await run_all(store, job, range(5), _square)
    found = await job.result(3, subject(3))
    assert (bytes(found.payload), found.codec, found.number, found.failed) == (
        b"9",
        "pickle",
        1,
        None,
    )
    summary = await summarize(store, KEY, "prices")
    assert (summary.done, summary.total, summary.failed) == (5, 5, 0)
    assert summary.finished
    assert summary.release == "0.1.0"


async def test_what_is_done_is_not_run_again(store: ObjectStore) -> None:
    first = await opened(store)
    for index in (0, 3):
        await run_call(store, attempt(first, index, index), b"first")
    second = await opened(store)
    assert (second.resumed, list(second.done), second.lease.epoch) == (True, [0, 3], 2)
    await run_all(store, second, range(5), lambda _: b"second")
    payloads = [bytes((await second.result(index, subject(index))).payload) for index in range(5)]
    assert payloads == [b"first", b"second", b"second", b"first", b"second"]


async def test_the_stored_code_is_what_runs(store: ObjectStore) -> None:
    version = {"version='1'": ""}
    first = await opened(store, parts=version)
    again = await open_job(store, KEY, wanted(parts=version, code=b"other bytes"))
    assert again.manifest.code == first.manifest.code
    assert await again.code(again.manifest.code.function) == FUNCTION


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "code": (
        {"parts": {"function price: its global RATE": "2"}},
        "function price: its global RATE changed",
    ),
    "a version": ({"parts": {"version='2'": ""}}, "version='2' is new"),
    "python": ({"python": "3.12", "parts": {"x": "y"}}, "it was Python 3.11 and is 3.12"),
    "convention": ({"convention": "star"}, "inputs became arguments by 'one', not 'star'"),
    "results": ({"by_reference": True}, "results= was 'value', is 'ref'"),
    "seed": ({"seed": 2}, "seed= is another one"),
    "shared": ({"shared": {"market": "b"}}, "the shared value 'market' is another one"),
    "no shared": ({"shared": {}}, "the shared value 'market' is another one"),
}
BEGUN: dict[str, Any] = {
    "parts": {"function price: its global RATE": "1"},
    "seed": 1,
    "shared": {"market": "a"},
}


def _wanted(terms: dict[str, Any]) -> Wanted:
    changed: Any = {**BEGUN, **terms}
    return wanted(**changed)


@pytest.mark.parametrize(("terms", "line"), REFUSED.values(), ids=REFUSED)
async def test_another_program_is_refused(
    store: ObjectStore, terms: dict[str, Any], line: str
) -> None:
    await opened(store, **BEGUN)
    before = await keys_of(store)
    with pytest.raises(ConfigurationError) as raised:
        await open_job(store, KEY, _wanted(terms))
    assert line in str(raised.value)
    assert str(raised.value).endswith("asyncfabric jobs discard prices")
    assert await keys_of(store) == before
    assert (await open_job(store, KEY, _wanted({"seed": None}))).manifest.seed == 1


async def test_of_many_differences_some_are_named(store: ObjectStore) -> None:
    await opened(store, parts={f"file f{number}.py": "a" for number in range(50)})
    with pytest.raises(ConfigurationError, match=r"file f0\.py changed.*and 42 more"):
        await opened(store, parts={f"file f{number}.py": "b" for number in range(50)})


async def test_a_program_of_too_many_parts_is_told_so(store: ObjectStore) -> None:
    with pytest.raises(ConfigurationError, match="version='1'"):
        await opened(store, parts={f"file {number}": "a" * 32 for number in range(60_000)})


async def test_a_job_needs_the_key_that_it_was_made_with(store: ObjectStore) -> None:
    await opened(store)
    for wrong in (open_job(store, OTHER_KEY, wanted()), summarize(store, OTHER_KEY, "prices")):
        with pytest.raises(IntegrityError, match="ASYNCFABRIC_KEY"):
            await wrong


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "-a", ".a", "a b", "ä", "a" * 101, "a\n", "a\0", None, 3]
)
async def test_names_that_no_job_can_have(store: ObjectStore, name: Any) -> None:
    with pytest.raises(ConfigurationError, match="a job can't be called"):
        await open_job(store, KEY, wanted(name))
    assert await keys_of(store) == []


async def test_a_temporary_directory_is_refused() -> None:
    store = LocalStore.temporary()
    with pytest.raises(ConfigurationError, match="storage='file:///a/directory'"):
        await opened(store)
    await store.aclose()


async def test_the_older_of_two_drivers_stops(store: ObjectStore) -> None:
    first = await opened(store)
    await first.check()
    second = await opened(store)
    await second.check()
    with pytest.raises(TakenOver, match="has taken over job 'prices'"):
        await first.check()
    third = await opened(store)
    for older in (first, second):
        with pytest.raises(TakenOver):
            await older.check()
    await third.check()
    assert [job.lease.epoch for job in (first, second, third)] == [1, 2, 3]


async def test_what_workers_of_an_older_driver_commit_counts(store: ObjectStore) -> None:
    first = await opened(store)
    second = await opened(store)
    assert (await run_call(store, attempt(first, 0, "x"), b"older")).verdict == "won"
    lost = await run_call(store, attempt(second, 0, "x", nonce=b"2"), b"newer")
    assert lost.verdict == "lost"
    assert bytes((await second.result(0, subject("x"))).payload) == b"older"


async def test_the_first_of_two_results_counts(store: ObjectStore) -> None:
    job = await opened(store)
    large = b"x" * (INLINE_BYTES + 1)
    verdicts = [
        (await run_call(store, attempt(job, 0, "x", number=number), payload)).verdict
        for number, payload in ((1, large), (2, b"small"), (1, large), (3, large))
    ]
    # Even of the same attempt, delivered twice: the second one's data is its own.
    assert verdicts == ["won", "lost", "lost", "lost"]
    found = await job.result(0, subject("x"))
    assert await read_payload(store, job.root, found) == large
    assert len(await keys_of(store, f"{job.root}/data/")) == 3


@pytest.mark.parametrize("size", [0, 1, INLINE_BYTES, INLINE_BYTES + 1, 3 * 1024 * 1024])
async def test_results_of_every_size(store: ObjectStore, size: int) -> None:
    job = await opened(store)
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    pieces: Any = [payload[: size // 2], memoryview(payload)[size // 2 :]]
    await run_call(store, attempt(job, 0, "x"), pieces)
    found = await job.result(0, subject("x"))
    assert await read_payload(store, job.root, found) == payload
    assert len(await keys_of(store, f"{job.root}/data/")) == (size > INLINE_BYTES)


async def test_a_failure_is_what_an_input_has_come_to(store: ObjectStore) -> None:
    first = await opened(store)
    await opened(store)
    driver = await opened(store)
    found = await driver.fail(0, 3, subject("x"), FAILURE)
    assert found.failed == FAILURE._replace(epoch=3)
    assert (await run_call(store, attempt(first, 0, "x"))).verdict == "lost"
    assert (await driver.result(0, subject("x"))).failed == FAILURE._replace(epoch=3)
    assert list(driver.done) == [0]


async def test_a_failure_that_comes_too_late(store: ObjectStore) -> None:
    job = await opened(store)
    await run_call(store, attempt(job, 0, "x"), b"result")
    found = await job.fail(0, 3, subject("x"), FAILURE)
    assert (found.failed, bytes(found.payload)) == (None, b"result")


async def test_long_failures_are_cut(store: ObjectStore) -> None:
    job = await opened(store)
    long = FAILURE._replace(
        message="ä" * LONGEST_TEXT + "m", traceback="t" + "ä" * LONGEST_TEXT, pickled=b"x" * 200_000
    )
    found = (await job.fail(0, 1, subject("x"), long)).failed
    assert found is not None
    assert found.message == found.traceback == "ä" * LONGEST_TEXT
    assert found.pickled == b""
    assert len(long.pickled) > MOST_PICKLED


async def test_another_input_at_an_index_is_refused(store: ObjectStore) -> None:
    job = await opened(store)
    await run_call(store, attempt(job, 1_000, "x"))
    again = await opened(store)
    with pytest.raises(ConfigurationError, match="input 1,000 is another one"):
        await again.result(1_000, subject("y"))
    with pytest.raises(ObjectNotFound):
        await again.result(0, subject("x"))


# lists


async def test_jobs_are_listed_and_shown(store: ObjectStore) -> None:
    assert await job_names(store) == []
    for name in ("b", "a-2", "a.1"):
        await opened(store, name)
    assert await job_names(store) == ["a-2", "a.1", "b"]
    job = await opened(store, "b")
    await run_call(store, attempt(job, 7, "x"))
    summary = await summarize(store, KEY, "b")
    assert (summary.done, summary.total, summary.failed, summary.drivers) == (1, None, None, 2)
    assert not summary.finished
    assert summary.pid == job.lease.pid
    with pytest.raises(ConfigurationError, match="there is no job 'c'"):
        await summarize(store, KEY, "c")


async def test_a_discarded_job_is_gone(store: ObjectStore) -> None:
    kept = await opened(store, "kept")
    await run_all(store, kept, range(2), _square)
    before = await keys_of(store)
    job = await opened(store)
    straggler = attempt(job, 2, "x")
    await run_all(store, job, range(2), _square)
    await discard(store, "prices")
    assert await keys_of(store) == before
    with pytest.raises(TakenOver, match="discarded"):
        await job.check()
    with pytest.raises(ConfigurationError, match="there is no job"):
        await discard(store, "prices")
    again = await opened(store, code=b"other")
    assert not again.resumed
    # What still runs for the old one does not meet the new one.
    assert (await run_call(store, straggler, b"old")).verdict == "won"
    assert list((await opened(store, code=b"other")).done) == []
    with pytest.raises(TakenOver, match="discarded"):
        await job.check()


async def test_a_driver_whose_job_lost_its_name_stops(store: ObjectStore) -> None:
    """Whoever discarded it died after the first step; its area is still there."""
    job = await opened(store)
    await store.delete("jobs/names/prices")
    with pytest.raises(TakenOver, match="discarded"):
        await job.check()
    assert not (await opened(store)).resumed
    with pytest.raises(TakenOver, match="discarded"):
        await job.check()


async def test_a_job_that_cannot_be_read_can_be_discarded(store: ObjectStore) -> None:
    await opened(store)
    await store.put("jobs/names/prices", b"rubbish")
    with pytest.raises(IntegrityError, match="discard"):
        await opened(store)
    await discard(store, "prices")
    assert not (await opened(store)).resumed


# what it costs


async def test_the_requests_of_a_job() -> None:
    """What the design record says, counted."""
    from asyncfabric_storage import MemoryStore

    store = Counting(MemoryStore())
    job = await opened(store)
    assert (len(store.puts), len(store.gets), len(store.lists)) == (3, 1, 1)
    store.puts.clear()
    for index in range(300):
        await run_call(store, attempt(job, index, index))
    assert len(store.puts) == 300
    await run_call(store, attempt(job, 300, 300), b"x" * (INLINE_BYTES + 1))
    assert len(store.puts) == 302
    store.puts.clear()
    store.gets.clear()
    await job.inputs.add([subject(index) for index in range(301)])
    await job.finish(await job.inputs.end(), 0)
    assert (len(store.puts), len(store.gets)) == (3, 0)
    store.puts.clear()
    store.lists.clear()
    again = await opened(store)
    assert len(again.done) == 301
    # The manifest, the newest lease, the end of the inputs; LIST: leases, inputs, results.
    assert (len(store.puts), len(store.gets), len(store.lists)) == (1, 3, 3)
    store.lists.clear()
    store.gets.clear()
    await again.check()
    assert (len(store.gets), len(store.lists)) == (2, 1)


async def test_the_code_is_whole(store: ObjectStore) -> None:
    job = await opened(store)
    name = digest(FUNCTION)
    await store.put(f"{job.root}/code/{name}", b"other")
    with pytest.raises(IntegrityError, match="not what was stored"):
        await job.code(name)
