"""Whoever can write to the store: each attack is refused, and the pickle in it is not loaded.

On a durable job, whose driver was stopped in the middle and is run again; and on what Lambda's
workers and the driver hand each other through the store.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.testing import LambdaFront
from asyncfabric_runtime._packing import pack_object
from asyncfabric_storage import LocalStore
from asyncfabric_storage._commits import INLINE_BYTES
from asyncfabric_storage._sealed import FIXED_BYTES
from tests.security.gadgets import Gadget, gadget, no_pickles

JOB = "prices"
INPUTS = range(6)
LARGE = 1
"""The input whose result is stored apart."""


@pytest.fixture(autouse=True)
def _master_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCFABRIC_KEY", "5a" * 32)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def _pricing(mended: Path) -> Callable[[int], Any]:
    path = str(mended)

    def price(x: int) -> Any:
        import os

        if x == 4 and not os.path.exists(path):  # noqa: PTH110 - without imports of this module
            raise ValueError("not yet")
        return b"x" * 300_000 if x == 1 else x

    return price


async def _run(store: LocalStore, mended: Path, job: str = JOB, **options: Any) -> list[Any]:
    async with af.Fabric("inline://", storage=store, **options) as fabric:
        work: Any = fabric.map(_pricing(mended), INPUTS, job=job, version="1", chunksize=1)
        found: list[Any] = await work
        return found


async def _begun(store: LocalStore, mended: Path, job: str = JOB, **options: Any) -> None:
    """Run the job until an input fails: some results are there, and some inputs left."""
    with pytest.raises((ValueError, af.RemoteError), match="not yet"):
        await _run(store, mended, job, **options)
    mended.touch()


async def _keys(store: LocalStore, part: str) -> list[str]:
    return sorted([info.key async for info in store.list("jobs/") if part in info.key])


async def _result_of(store: LocalStore, index: int) -> str:
    (key,) = await _keys(store, f"/done/{index:012d}")
    return key


Attack = Callable[[LocalStore, Path, Path], Awaitable[None]]


async def _tampered_function(store: LocalStore, canary: Path, _: Path) -> None:
    """The function is another."""
    (key,) = await _keys(store, "/code/")
    await store.put(key, pack_object(Gadget(canary)))


async def _tampered_input(store: LocalStore, canary: Path, mended: Path) -> None:
    """The inputs are said to be others."""
    await _run(store, mended)  # a short input is written down when it has ended
    (key,) = await _keys(store, "/inputs/ended")
    whole = bytearray(await store.get(key))
    whole[-1] ^= 1
    await store.put(key, whole)


async def _pickle_for_input(store: LocalStore, canary: Path, mended: Path) -> None:
    await _run(store, mended)
    (key,) = await _keys(store, "/inputs/ended")
    await store.put(key, gadget(canary))


async def _tampered_result(store: LocalStore, canary: Path, _: Path) -> None:
    """A record with its head, and another payload."""
    key = await _result_of(store, 0)
    whole = bytes(await store.get(key))
    payload = b"".join(map(bytes, pack_object(Gadget(canary))))
    length = int.from_bytes(whole[100:104])
    await store.put(key, whole[: FIXED_BYTES + length] + payload)


async def _pickle_for_result(store: LocalStore, canary: Path, _: Path) -> None:
    await store.put(await _result_of(store, 0), gadget(canary))


async def _tampered_data(store: LocalStore, canary: Path, _: Path) -> None:
    """A large result, stored apart from its record."""
    (key,) = await _keys(store, "/data/")
    size = (await store.head(key)).size
    assert size > INLINE_BYTES
    payload = b"".join(map(bytes, pack_object(Gadget(canary))))
    await store.put(key, payload + bytes(size - len(payload)))


async def _tampered_manifest(store: LocalStore, canary: Path, _: Path) -> None:
    """One byte of what the job is."""
    key = f"jobs/names/{JOB}"
    whole = bytearray(await store.get(key))
    whole[-1] ^= 1
    await store.put(key, whole)


async def _pickle_for_manifest(store: LocalStore, canary: Path, _: Path) -> None:
    await store.put(f"jobs/names/{JOB}", gadget(canary))


async def _manifest_of_another_job(store: LocalStore, canary: Path, mended: Path) -> None:
    await _run(store, mended, "other")
    await store.put(f"jobs/names/{JOB}", await store.get("jobs/names/other"))


async def _replayed_result(store: LocalStore, canary: Path, _: Path) -> None:
    """Another input's result."""
    await store.put(await _result_of(store, 0), await store.get(await _result_of(store, 2)))


async def _result_of_another_job(store: LocalStore, canary: Path, mended: Path) -> None:
    """The same input's result, of the same program under the same key."""
    first = await _result_of(store, 0)
    await _run(store, mended, "other")
    (other,) = [key for key in await _keys(store, "/done/000000000000") if key != first]
    await store.put(first, await store.get(other))


async def _result_of_a_discarded_job(store: LocalStore, canary: Path, mended: Path) -> None:
    """The same input's result, of an earlier job of that name."""
    old = await store.get(await _result_of(store, 0))
    await af.jobs.discard(store, JOB)
    mended.unlink()
    await _begun(store, mended)
    await store.put(await _result_of(store, 0), old)


ATTACKS: list[Attack] = [
    _tampered_function,
    _tampered_input,
    _pickle_for_input,
    _tampered_result,
    _pickle_for_result,
    _tampered_data,
    _tampered_manifest,
    _pickle_for_manifest,
    _manifest_of_another_job,
    _replayed_result,
    _result_of_another_job,
    _result_of_a_discarded_job,
]


async def test_without_an_attack_it_goes_on(store: LocalStore, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    await _begun(store, mended)
    assert len(await _keys(store, "/done/")) >= 4
    assert await _run(store, mended) == [0, b"x" * 300_000, 2, 3, 4, 5]


@pytest.mark.parametrize("attack", ATTACKS, ids=[each.__name__[1:] for each in ATTACKS])
async def test_attacks_on_a_job(
    store: LocalStore, canary: Path, tmp_path: Path, attack: Attack
) -> None:
    mended = tmp_path / "mended"
    await _begun(store, mended)
    await attack(store, canary, mended)
    with pytest.raises(af.IntegrityError, match="job"):
        await _run(store, mended)
    assert not canary.exists()


async def test_without_an_attack_a_job_of_data_goes_on(store: LocalStore, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    await _begun(store, mended, trust="data")
    assert await _run(store, mended, trust="data") == [0, b"x" * 300_000, 2, 3, 4, 5]


async def test_results_of_pickles_are_refused_by_who_takes_data(
    store: LocalStore, canary: Path
) -> None:
    """A job of pickles is none for a driver that takes data only."""
    path = str(canary)

    def price(_: int) -> Any:
        return Gadget(Path(path))

    async with af.Fabric("inline://", storage=store) as fabric:
        await fabric.map(price, [1], job=JOB, version="1")
    canary.unlink()
    async with af.Fabric("inline://", storage=store, trust="data") as fabric:
        with pytest.raises(af.ConfigurationError, match="trust='pickle'"):
            await fabric.map(price, [1], job=JOB, version="1")
    assert not canary.exists()


async def test_failures_of_a_job_are_kept_as_text(store: LocalStore) -> None:
    def fail(x: int) -> int:
        if x:
            raise LookupError("why")
        raise LookupError

    for _ in range(2):
        with no_pickles():
            async with af.Fabric(
                "local://?processes=1", storage=store, trust="data", hedge=None
            ) as fabric:
                work = fabric.map(fail, [0, 1], job=JOB, version="1", return_exceptions=True)
                found = [(type(each), str(each), vars(each)["type_name"]) for each in await work]
                assert found == [
                    (af.RemoteError, "LookupError", "LookupError"),
                    (af.RemoteError, "LookupError: why", "LookupError"),
                ]


# -- through the store, without a job -------------------------------------------------------------


class Hostile(LocalStore):
    """A store whose objects of one folder somebody replaces."""

    def __init__(self, path: Path, folder: str, data: bytes) -> None:
        super().__init__(path)
        self.replaced: list[str] = []
        self._folder, self._data = folder, data

    def _other(self, key: str, data: Any) -> Any:
        if not key.startswith(self._folder):
            return data
        self.replaced.append(key)
        return self._data

    async def put(self, key: str, data: Any) -> None:
        await super().put(key, self._other(key, data))

    async def put_if_absent(self, key: str, data: Any) -> bool:
        return await super().put_if_absent(key, self._other(key, data))

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        return memoryview(self._other(key, await super().get(key, start=start, end=end)))


def _large(size: int) -> Callable[[Any], Any]:
    constant = b"y" * size

    def answer(wanted: Any) -> Any:
        return constant if wanted == "all" else len(wanted)

    return answer


@pytest.mark.parametrize(
    ("folder", "function", "value"),
    [
        ("objects/", _large(100_000), "x"),
        ("spill/", _large(10), b"x" * 400_000),
        ("spill/", _large(7_000), "all"),
    ],
    ids=["function", "input", "result"],
)
@pytest.mark.parametrize("trust", ["pickle", "data"])
async def test_attacks_on_invocations(
    tmp_path: Path, canary: Path, folder: str, function: Any, value: Any, trust: Any
) -> None:
    data = b"".join(map(bytes, pack_object(Gadget(canary))))
    store = Hostile(tmp_path / "store", folder, data)
    async with LambdaFront() as front:
        backend = f"{front.backend}&inline=5000" if value == "all" else front.backend
        async with af.Fabric(
            backend, storage=store, max_concurrency=1, hedge=None, retry=None, trust=trust
        ) as fabric:
            with pytest.raises((af.IntegrityError, af.RemoteError), match="other bytes") as caught:
                await fabric.submit(function, value)
    assert store.replaced
    assert "IntegrityError" in type(caught.value).__name__ + str(caught.value)
    assert not canary.exists()
