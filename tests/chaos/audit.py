"""What must hold of a job in the store, whoever was killed on the way."""

from datetime import UTC, datetime, timedelta
from itertools import count, takewhile

from asyncfabric.jobs._garbage import collect
from asyncfabric.jobs._inputs import bounds
from asyncfabric.jobs._job import list_done
from asyncfabric.jobs._keys import KeySource
from asyncfabric.jobs._listing import summarize
from asyncfabric.jobs._manifest import read_manifest
from asyncfabric.jobs._results import read_payload, read_result
from asyncfabric_storage import IntegrityError, ObjectStore
from asyncfabric_storage import _job_places as places
from asyncfabric_storage._sealed import parse

from .program import NAME

LATER = timedelta(days=2)
"""After which `gc` takes whatever may be taken."""


async def committed(store: ObjectStore) -> dict[int, bytes]:
    """Return the records of the inputs that are done; none where the job is not begun."""
    async for info in store.list(f"{places.ROOT}/{places.NAMES}{NAME}"):
        record = parse(info.key, await store.get(info.key))
        root = f"{places.ROOT}/{record.nonce.hex()}"
        done = await list_done(store, root)
        return {index: bytes(await store.get(f"{root}/{places.done(index)}")) for index in done}
    return {}


async def check_end(store: ObjectStore, source: KeySource, total: int, fails: set[int]) -> None:
    """See that a finished job has one result for each input, and nothing else after `gc`."""
    later = datetime.now(UTC) + LATER
    await collect(store, now=later)
    found = await read_manifest(store, source, NAME)
    assert found is not None, "the manifest is gone"
    manifest, key = found
    root = manifest.root
    summary = await summarize(store, source, NAME)
    assert (summary.done, summary.total, summary.failed) == (total, total, len(fails)), summary
    named = (manifest.code.function, manifest.code.initializer, manifest.code.archive)
    expected = {manifest.place, f"{manifest.area}/{places.ENDED}", f"{manifest.area}/finished"}
    expected |= {f"{manifest.area}/{places.CODE}{name}" for name in named if name}
    expected.add(f"{manifest.area}/{places.lease(summary.drivers)}")
    segments = takewhile(lambda number: bounds(number).stop <= total, count())
    expected |= {f"{manifest.area}/{places.segment(number)}" for number in segments}
    for index in range(total):
        result = await read_result(store, root, key, index)
        expected.add(f"{manifest.area}/{places.done(index)}")
        assert (result.failed is not None) is (index in fails), f"input {index}: {result}"
        if result.digest:
            await read_payload(store, root, result)
            expected.add(f"{manifest.area}/{result.place}")
    # What else there may be, the bucket's rules let expire: envelopes, archives.
    there = {info.key async for info in store.list(f"{places.ROOT}/")}
    expected = {f"{places.ROOT}/{place}" for place in expected}
    assert there - expected == set(), f"orphaned: {sorted(there - expected)}"
    assert expected - there == set(), f"missing: {sorted(expected - there)}"
    assert (await collect(store, now=later)).objects == 0


async def describe(store: ObjectStore) -> list[str]:
    """Return a line for each object there is."""
    lines: list[str] = []
    async for info in store.list():
        what = ""
        try:
            record = parse(info.key, await store.get(info.key, start=0, end=info.size))
        except IntegrityError:
            pass
        else:
            what = f"kind {record.kind}, index {record.index}, attempt {record.number}"
        lines.append(f"{info.key}  {info.size} bytes  {what}".rstrip())
    return lines
