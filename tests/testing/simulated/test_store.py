"""The simulated object store: an ObjectStore, with the faults of S3."""

import asyncio

import pytest

from asyncfabric.testing import Ledger, Profile, SimulatedCloud
from asyncfabric.testing._simulated._chances import Chances
from asyncfabric.testing._simulated._store import SimulatedStore
from asyncfabric_storage import ObjectInfo, ObjectStore
from tests.storage.conformance import StoreConformance


class _OnVirtualTime(StoreConformance):
    async def test_head(self, store: ObjectStore) -> None:
        """The date is a simulated one: the same for the same seed."""
        await store.put("a/k", b"12345")
        info = await store.head("a/k")
        assert info == ObjectInfo("a/k", 5, info.modified)
        assert info.modified.tzinfo is not None
        assert info.modified.year == 2026


class TestSimulatedStore(_OnVirtualTime):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return SimulatedStore(Profile.default().store, Chances(1), Ledger())


class TestOnABadDay(_OnVirtualTime):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return SimulatedStore(Profile.harsh().store, Chances(1), Ledger())


def test_one_of_many_creates_an_object_whatever_is_lost() -> None:
    profile = Profile.harsh()
    store = profile.store
    lossy = profile.but(store=type(store)(lost=0.3, conflicts=0.3, errors=0.3))
    puts = refused = 0
    for seed in range(20):
        cloud = SimulatedCloud(seed, lossy)

        async def main(cloud: SimulatedCloud = cloud) -> None:
            tried = [cloud.store.put_if_absent("k", b"%d" % each) for each in range(5)]
            won = await asyncio.gather(*tried)
            assert sum(won) == 1
            assert bytes(await cloud.store.get("k")) == b"%d" % won.index(True)

        cloud.run(main)
        puts += cloud.ledger.requests["put"]
        refused += cloud.ledger.refused["412"]
    assert puts > 2 * 5 * 20
    assert refused > 4 * 20
