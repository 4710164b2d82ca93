"""The memory store."""

import gc
import os
import pickle

import pytest

from asyncfabric_storage import ConfigurationError, MemoryStore, ObjectStore, open_store

from .conformance import StoreConformance


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return MemoryStore()


async def test_each_is_private() -> None:
    one, two = open_store("memory://"), open_store("memory://")
    await one.put("k", b"1")
    assert [info async for info in two.list()] == []
    assert one.url != two.url
    assert not one.shared
    assert one.ephemeral


def test_its_url_ends_with_it() -> None:
    store = MemoryStore()
    url = store.url
    assert open_store(url) is store
    del store
    gc.collect()
    with pytest.raises(ConfigurationError, match="file:///"):
        open_store(url)


def test_it_does_not_travel() -> None:
    with pytest.raises(ConfigurationError, match="cannot travel"):
        pickle.dumps(MemoryStore())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_copy_is_not_the_same_store() -> None:
    store = MemoryStore()
    child = os.fork()
    if child == 0:
        try:
            open_store(store.url)
        except ConfigurationError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


async def test_nothing_is_copied_on_get() -> None:
    store = MemoryStore()
    data = bytes(1000)
    await store.put("k", data)
    assert (await store.get("k")).obj is (await store.get("k", start=10, end=20)).obj
