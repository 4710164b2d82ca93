"""`trust="data"`: whoever has the workers gets no code into the driver."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncfabric as af
from asyncfabric_runtime import Failure
from asyncfabric_runtime._data import DATA, DATA_PARTS, pack_data
from asyncfabric_runtime._packing import pack_object
from asyncfabric_runtime._ref import Ref
from asyncfabric_runtime._values import PICKLED, RAW, SEGMENTED, TUPLE
from asyncfabric_runtime._wire import OUTCOME, SPILLED, pack
from asyncfabric_storage import LocalStore, MemoryStore, digest, object_key
from tests.security.forging import Reply, answering, failures, results
from tests.security.gadgets import Gadget, gadget, no_pickles
from tests.security.work import OwnError, echo, fail, later, make_object, make_set, with_shared


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that a gadget touches."""
    return tmp_path / "canary"


async def _run(reply: Reply, store: Any = None, trust: Any = "data", **options: Any) -> Any:
    async with answering(reply) as made:
        fabric = af.Fabric(
            made.backend, storage=store or MemoryStoreElsewhere(), trust=trust, hedge=None
        )
        async with fabric:
            run: Any = fabric.map
            return await run(abs, [1], **options)


class MemoryStoreElsewhere(MemoryStore):
    """A store that the impostor could open, if it were to run anything.

    Attributes:
        objects: what the impostor has put there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        if key in self.objects:
            return memoryview(self.objects[key])[start:end]
        return await super().get(key, start=start, end=end)

    @property
    def shared(self) -> bool:
        return True

    @property
    def remote(self) -> bool:
        return True


async def test_the_gadget_works(canary: Path) -> None:
    """With `trust="pickle"` a worker can run what it likes in the driver, as documented."""
    await _run(results([PICKLED], [gadget(canary)]), trust="pickle")
    assert canary.exists()


@pytest.mark.parametrize("kind", [PICKLED, SEGMENTED, TUPLE])
async def test_a_pickled_result_is_refused(canary: Path, kind: int) -> None:
    data = gadget(canary)
    body: Any = {PICKLED: data, SEGMENTED: (0, 1), TUPLE: [(PICKLED, data)]}[kind]
    with no_pickles(), pytest.raises(af.IntegrityError, match="takes data only"):
        await _run(results([kind], [body], [data]))
    assert not canary.exists()


async def test_a_pickled_exception_is_told_by_its_text(canary: Path) -> None:
    failure = Failure("user", "OwnError", "what it said", "Traceback ...", gadget(canary))
    with no_pickles(), pytest.raises(af.RemoteError, match="OwnError: what it said") as caught:
        await _run(failures(failure))
    assert caught.value.type_name == "OwnError"
    assert "Traceback ..." in str(caught.value.__cause__)
    assert not canary.exists()


async def test_a_pickle_in_a_stored_answer_is_refused(canary: Path) -> None:
    store = MemoryStoreElsewhere()
    inner = results([PICKLED], [gadget(canary)])

    def reply(envelope: Any) -> list[Any]:
        frame = b"".join(bytes(memoryview(piece)) for piece in inner(envelope))
        store.objects["spill/x"] = frame
        return pack(SPILLED, ("spill/x", digest(frame), store.url, len(frame)))

    with no_pickles(), pytest.raises(af.IntegrityError, match="takes data only"):
        await _run(reply, store)
    assert not canary.exists()


async def test_a_head_that_names_code_is_refused(canary: Path) -> None:
    with no_pickles(), pytest.raises(af.VersionMismatch):
        await _run(lambda _: pack(OUTCOME, Gadget(canary)))
    assert not canary.exists()


async def test_a_ref_to_a_pickle_is_not_loaded(canary: Path) -> None:
    """The worker stores an object and returns its digest, so that is right."""
    store = MemoryStoreElsewhere()
    whole = b"".join(bytes(memoryview(piece)) for piece in pack_object(Gadget(canary)))
    name = digest(whole)
    await store.put(object_key(name), whole)
    text = b'{"$":"ref","v":["%s",%d]}' % (name.encode(), len(whole))
    with no_pickles():
        async with answering(results([DATA], [text])) as made:
            fabric = af.Fabric(made.backend, storage=store, trust="data", hedge=None)
            async with fabric:
                (ref,) = await fabric.map(abs, [1], results="ref")
                assert ref.store_url == store.url
                with pytest.raises(af.IntegrityError, match="a pickle"):
                    await ref.get()
    assert not canary.exists()


async def test_a_ref_reads_no_more_than_it_says() -> None:
    """Else a small answer would make the driver load whatever lies under a digest's name."""
    store = MemoryStoreElsewhere()
    whole = b"".join(bytes(memoryview(piece)) for piece in pack_data(b"x" * 100_000))
    name = digest(whole)
    await store.put(object_key(name), whole)
    async with af.Fabric("inline://", storage=store, trust="data") as fabric:
        good: Ref[Any] = Ref(name, len(whole), fabric.store.url, as_data=True)
        assert await good.get() == b"x" * 100_000
        small: Ref[Any] = Ref(name, 10, fabric.store.url, as_data=True)
        with pytest.raises(af.IntegrityError):
            await small.get()


async def test_one_part_is_not_many_results() -> None:
    async with answering(results([RAW, RAW], [0, 0], [b"x" * 1000])) as made:
        store = MemoryStoreElsewhere()
        async with af.Fabric(made.backend, storage=store, trust="data", hedge=None) as fabric:
            with pytest.raises(af.IntegrityError, match="in their turn"):
                await fabric.map(abs, [1, 2], chunksize=2)


@pytest.mark.parametrize("text", [b"[" * 1000, b'{"$":"array","v":0,"t":"O","s":[1]}'])
async def test_hostile_data_is_refused(text: bytes) -> None:
    with pytest.raises(af.IntegrityError, match="takes data only"):
        await _run(results([DATA_PARTS], [(0, 2)], [text, b"12345678"]))


BACKENDS = ["local://?processes=1", "inline://"]
VALUES: list[Any] = [1, "x", (1, b"y" * 100_000), {"a": [1.5, None], 2: {3}}, [b"small"]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("function", [echo, later])
async def test_programs_run_and_load_no_pickle(backend: str, function: Any) -> None:
    """Functions by name, so that inline:// unpickles none in its part as a worker either."""
    with no_pickles():
        async with af.Fabric(backend, trust="data", code="deployed") as fabric:
            assert await fabric.map(function, VALUES) == VALUES
            array = np.arange(200_000.0)
            (found,) = await fabric.map(function, [{"a": array}])
            assert np.array_equal(found["a"], array)
            refs = await fabric.map(function, VALUES, results="ref")
            assert [await ref.get() for ref in refs] == VALUES
            again: Any = refs
            assert await fabric.map(function, again) == VALUES
            put = await fabric.put({"k": {1}})
            assert await fabric.submit(function, put) == {"k": {1}}
            assert await put.get() == {"k": {1}}
            shared = {"table": [put.digest, {5}]}
            assert await fabric.map(with_shared, [1], shared=shared) == [[1, [put.digest, {5}]]]
            with pytest.raises(af.RemoteError) as caught:
                await fabric.map(fail, ["why"])
            assert caught.value.type_name == "OwnError"
            assert "raise OwnError(value)" in str(caught.value.__cause__)


async def test_results_of_shipped_functions_are_data_too() -> None:
    with no_pickles():
        async with af.Fabric("local://?processes=1", trust="data") as fabric:
            unpicklable = object  # names travel in pickles here: only results are data
            assert await fabric.map(lambda x: {x, str(unpicklable)}, [1]) == [{1, str(object)}]
            assert await fabric.map(make_set, [OwnError("an input may be anything")]) == [{1, 2}]


async def test_what_can_not_be_carried_is_the_calls_error() -> None:
    async with af.Fabric("local://?processes=1", trust="data") as fabric:
        with pytest.raises(af.SerializationError, match=r"trust='data'.*OwnError.*numpy arrays"):
            await fabric.map(make_object, [1])
        with pytest.raises(af.SerializationError, match="trust='data'"):
            await fabric.map(make_object, [1], results="ref")


async def test_retry_knows_the_users_errors_as_remote() -> None:
    retry = af.Retry(attempts=3, on=(af.RemoteError,), base=0.0)
    async with af.Fabric("inline://", trust="data", retry=retry) as fabric:
        call = fabric.submit(fail, 1)
        with pytest.raises(af.RemoteError):
            await call
        assert len(call.attempts) == 3


@pytest.mark.parametrize("given", [{"trust": "json"}, {"code": "none"}, {"trust": None}])
def test_other_words_are_refused(given: Any) -> None:
    with pytest.raises(af.ConfigurationError, match="makes no sense"):
        af.Fabric("inline://", **given)


async def test_a_store_of_files_is_the_same(tmp_path: Path) -> None:
    async with af.Fabric(
        "inline://", storage=LocalStore(tmp_path / "s"), trust="data", code="deployed"
    ) as fabric:
        (ref,) = await fabric.map(echo, [{1}], results="ref")
        whole = bytes(await fabric.store.get(object_key(ref.digest)))
        assert whole[:4] == b"AFD1"
