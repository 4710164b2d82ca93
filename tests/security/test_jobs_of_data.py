"""A job that was begun with `trust="data"` is one for whoever reads it, by whatever he reads it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

import asyncfabric as af
from asyncfabric.jobs._results import Failed
from asyncfabric_runtime import _commits
from asyncfabric_runtime._packing import pack_object
from asyncfabric_storage import LocalStore
from asyncfabric_storage._commits import INLINE_BYTES
from asyncfabric_storage._commits import commit as store_commit
from asyncfabric_storage._notes import note
from tests.jobs.programs import attempt, opened, subject
from tests.security.gadgets import Gadget, gadget, no_pickles

JOB = "prices"
Way = Literal["url", "store", "pickle", "data"]
WAYS: list[Way] = ["url", "store", "pickle", "data"]


@pytest.fixture(autouse=True)
def _master_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCFABRIC_KEY", (b"k" * 32).hex())  # that of `tests.jobs.programs`


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def ten(x: int) -> int:
    """Return ten times as much, or fail."""
    if x == 1:
        raise LookupError("why")
    return 10 * x


@asynccontextmanager
async def _where(way: Way, store: LocalStore) -> AsyncGenerator[Any]:
    if way in {"url", "store"}:
        yield store.url if way == "url" else store
        return
    trust: Any = way
    async with af.Fabric("inline://", storage=store, trust=trust) as fabric:
        yield fabric


async def _attach(way: Way, store: LocalStore) -> list[Any]:
    async with _where(way, store) as where:
        return await af.jobs.attach(where, JOB, return_exceptions=True)


async def _run(trust: Any, store: LocalStore) -> list[Any]:
    async with af.Fabric("inline://", storage=store, trust=trust) as fabric:
        return await fabric.map(ten, range(3), job=JOB, version="1", return_exceptions=True)


@pytest.mark.parametrize("way", WAYS)
async def test_it_is_attached_to_without_a_pickle(store: LocalStore, way: Way) -> None:
    await _run("data", store)
    with no_pickles():
        zero, failed, twenty = await _attach(way, store)
    assert (zero, twenty) == (0, 20)
    assert (type(failed), failed.type_name) == (af.RemoteError, "LookupError")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("codec", ["pickle", "data"])
@pytest.mark.parametrize("more", [0, INLINE_BYTES])
async def test_a_pickle_that_a_worker_committed_is_refused(
    store: LocalStore, canary: Path, way: Way, codec: str, more: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its tokens allow it any result of its own inputs."""

    async def commit(self: Any, position: int, _: Any) -> bool:
        pieces = pack_object([Gadget(canary), "x" * more])
        await store_commit(store, self._attempt(position), codec, pieces)
        return True

    with monkeypatch.context() as patch:
        patch.setattr(_commits.Commits, "commit", commit)
        await _run("data", store)
    with no_pickles():
        with pytest.raises(af.IntegrityError, match="is a pickle"):
            await _attach(way, store)
        with pytest.raises(af.IntegrityError):
            await _run("data", store)
    assert not canary.exists()


@pytest.mark.parametrize("way", WAYS)
async def test_failures_with_a_pickle_are_told_by_their_text(
    store: LocalStore, canary: Path, way: Way
) -> None:
    """One by the driver's word, and one that a worker noted where nobody waited for it."""
    job = await opened(store, data_results=True)
    await job.inputs.add([subject(0), subject(1)])
    await job.fail(0, 1, subject(0), Failed("user", "Own", "drawn", "Trace", gadget(canary), 0))
    tried = attempt(job, 1, 1, number=job.lease.epoch)
    await note(
        store,
        tried,
        kind="user",
        type_name="Own",
        message="noted",
        traceback="Trace",
        pickled=gadget(canary),
    )
    await job.inputs.end()
    await job.leave(1)
    with no_pickles():
        found = await _attach(way, store)
    assert [(type(each), str(each)) for each in found] == [
        (af.RemoteError, "Own: drawn"),
        (af.RemoteError, "Own: noted"),
    ]
    assert not canary.exists()


@pytest.mark.parametrize(("begun", "now"), [("data", "pickle"), ("pickle", "data")])
async def test_another_trust_does_not_go_on(
    store: LocalStore, begun: Literal["data", "pickle"], now: Literal["data", "pickle"]
) -> None:
    before = await _run(begun, store)
    said = f"begun by a Fabric of trust='{begun}', and this one has trust='{now}'"
    with pytest.raises(af.ConfigurationError, match=said) as caught:
        await _run(now, store)
    assert f"asyncfabric jobs discard {JOB}" in str(caught.value)
    assert (await _run(begun, store))[::2] == before[::2] == [0, 20]


async def test_who_takes_data_attaches_to_no_job_of_pickles(store: LocalStore) -> None:
    await _run("pickle", store)
    with no_pickles(), pytest.raises(af.ConfigurationError, match="begun by a Fabric of trust='p"):
        await _attach("data", store)
    ways: list[Way] = ["url", "pickle"]
    for way in ways:
        zero, failed, twenty = await _attach(way, store)
        assert (zero, twenty, type(failed)) == (0, 20, LookupError)
