"""What a process keeps: values, initializers, environment."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from asyncfabric_runtime import Ref
from asyncfabric_runtime import _stores as stores
from asyncfabric_storage import MemoryStore, object_key
from tests.runtime.helpers import Worker, answers, packed


class CountingStore(MemoryStore):
    """Counts how often each object is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        self.reads.append(key)
        await asyncio.sleep(0)
        return await super().get(key, start=start, end=end)


URL = "memory://counted"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> CountingStore:
    """Give a store that the process finds by `URL`."""
    made = CountingStore()
    monkeypatch.setitem(stores._stores, URL, made)
    return made


async def _put(store: CountingStore, value: object) -> str:
    name, data = packed(value)
    await store.put(object_key(name), data)
    return name


def use(x: int, *, table: list[int]) -> int:
    return x + sum(table)


async def use_later(x: int, *, table: list[int]) -> int:
    return use(x, table=table)


@pytest.mark.parametrize("function", [use, use_later])
def test_shared_values_are_read_once(worker: Worker, store: CountingStore, function: Any) -> None:
    name = asyncio.run(_put(store, [1, 2, 3]))
    options = {"shared": {"table": name}, "store_url": URL, "is_async": function is use_later}
    outcome = worker.run(function, [0, 1], **options)
    assert answers(outcome) == {0: 6, 1: 7}
    assert outcome.phases.fetch >= 0
    asyncio.run(store.delete(object_key(name)))
    assert answers(worker.run(function, [2], **options)) == {0: 8}
    assert store.reads == [object_key(name)]


def test_invocations_side_by_side_share_one_read(worker: Worker, store: CountingStore) -> None:
    from asyncfabric_runtime._invocation import Invocation
    from tests.runtime.helpers import envelope_for

    name = asyncio.run(_put(store, [5]))
    found: list[Any] = []

    async def main() -> None:
        envelopes = [
            envelope_for(
                use_later, [x], shared={"table": name}, store_url=URL, is_async=True, flight=x
            )
            for x in range(10)
        ]
        runs = [Invocation(envelope, worker.process) for envelope in envelopes]
        await asyncio.gather(*(each.run_here(found.append, stream=False) for each in runs))

    worker.process.wait_for(main())
    assert sorted(answers(outcome)[0] for outcome in found) == [5 + x for x in range(10)]
    assert store.reads == [object_key(name)]


def test_refs_become_their_values(worker: Worker, store: CountingStore) -> None:
    name = asyncio.run(_put(store, [1, 2]))
    ref: Ref[Any] = Ref(name, 10, URL)
    outcome = worker.run(len, [ref, ref], refs=[name, name], store_url=URL)
    assert answers(outcome) == {0: 2, 1: 2}
    pair = worker.run(sum, [(ref, [0])], convention="star", refs=[name], store_url=URL)
    assert pair.failures[0].kind == "user"  # sum([1, 2], [0]): the list arrived
    assert store.reads == [object_key(name)]


def test_a_missing_or_changed_value_fails_its_calls(worker: Worker, store: CountingStore) -> None:
    name, data = packed([1])
    options: Any = {"shared": {"table": name}, "store_url": URL}
    failures = worker.run(use, [1, 2], **options).failures
    assert {failure.type_name for failure in failures.values()} == {"ObjectNotFound"}
    asyncio.run(store.put(object_key(name), data + b"x"))
    failures = worker.run(use, [1, 2], **options).failures
    assert {failure.type_name for failure in failures.values()} == {"IntegrityError"}
    asyncio.run(store.put(object_key(name), data))
    assert answers(worker.run(use, [1], **options)) == {0: 2}


def test_results_by_reference(worker: Worker, store: CountingStore) -> None:
    def make(x: int) -> Any:
        return (lambda: x) if x else open

    outcome = worker.run(make, [1, 0, 2], store_url=URL, by_reference=True)
    refs = answers(outcome)
    assert asyncio.run(refs[0].get())() == 1
    assert asyncio.run(refs[2].get())() == 2
    assert len(outcome.run) == 3


class BrokenStore(CountingStore):
    async def put(self, *_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")


def test_a_store_that_is_full_fails_the_call(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stores._stores, URL, BrokenStore())
    outcome = worker.run(abs, [1, 2], store_url=URL, by_reference=True)
    assert {failure.type_name for failure in outcome.failures.values()} == {"OSError"}
    assert answers(outcome) == {}


def test_the_initializer_runs_once(worker: Worker, tmp_path: Path) -> None:
    marks = tmp_path / "marks"

    def prepare() -> None:
        with marks.open("a") as file:
            file.write("x")

    for _ in range(3):
        assert answers(worker.run(abs, [-1], initializer=prepare)) == {0: 1}
    assert marks.read_text() == "x"


@pytest.mark.parametrize("error", ["ValueError('no licence')", "SystemExit(3)"])
def test_an_initializer_that_fails(worker: Worker, tmp_path: Path, error: str) -> None:
    marks = tmp_path / "marks"

    def prepare() -> None:
        with marks.open("a") as file:
            file.write("x")
        raise eval(error)

    for _ in range(3):
        failures = worker.run(abs, [-1, -2], initializer=prepare).failures
        assert {failure.kind for failure in failures.values()} == {"load"}
        assert set(failures) == {0, 1}
    assert marks.read_text() == "x"
    assert answers(worker.run(abs, [-3])) == {0: 3}


def test_environment(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AF_OLD", "old")
    monkeypatch.delenv("AF_NEW", raising=False)

    def look(_: int) -> Any:
        return os.environ.get("AF_OLD"), os.environ.get("AF_NEW")

    first = worker.run(look, [0], env={"AF_OLD": "1", "AF_NEW": "2"})
    assert answers(first) == {0: ("1", "2")}
    assert answers(worker.run(look, [0], env={"AF_NEW": "3"})) == {0: ("old", "3")}
    assert answers(worker.run(look, [0])) == {0: ("old", None)}


def test_the_environment_is_there_for_imports(worker: Worker) -> None:
    def prepare() -> None:
        assert os.environ["AF_EARLY"] == "yes"

    assert answers(worker.run(abs, [1], initializer=prepare, env={"AF_EARLY": "yes"})) == {0: 1}
    worker.run(abs, [1])
