"""Every store behaves as a dict does: a stateful test."""

import asyncio
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from asyncfabric_storage import (
    LocalStore,
    MemoryStore,
    ObjectNotFound,
    ObjectStore,
    StorageError,
    open_store,
)

# Few and related names, so that they meet; the long ones become several directories.
_NAMES = ["a", "b", "a-", "B", "é", "#1", "..a", "l" * 255, "l" * 256, "l" * 256 + "x"]
keys = st.lists(st.sampled_from(_NAMES), min_size=1, max_size=3).map("/".join)
contents = st.binary(max_size=20)


class StoreMachine(RuleBasedStateMachine):
    """A store beside a dict; subclasses say which store."""

    store: ObjectStore
    tree = False
    """Whether a name cannot be an object and the beginning of other keys."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, bytes] = {}
        self.runner = asyncio.Runner()

    def fits(self, key: str) -> bool:
        return not self.tree or not any(
            other.startswith(key + "/") or key.startswith(other + "/") for other in self.model
        )

    @rule(key=keys, data=contents)
    def put(self, key: str, data: bytes) -> None:
        try:
            self.runner.run(self.store.put(key, [data, data]))
        except StorageError:
            assert not self.fits(key)
        else:
            assert self.fits(key)
            self.model[key] = data + data

    @rule(key=keys, data=contents)
    def put_if_absent(self, key: str, data: bytes) -> None:
        try:
            created = self.runner.run(self.store.put_if_absent(key, data))
        except StorageError:
            assert not self.fits(key)
        else:
            assert self.fits(key)
            assert created is (key not in self.model)
            self.model.setdefault(key, data)

    @rule(key=keys)
    def delete(self, key: str) -> None:
        self.runner.run(self.store.delete(key))
        self.model.pop(key, None)

    @rule(key=keys, start=st.integers(0, 50), length=st.none() | st.integers(0, 50))
    def get(self, key: str, start: int, length: int | None) -> None:
        end = None if length is None else start + length
        expected = self.model.get(key)
        try:
            data = bytes(self.runner.run(self.store.get(key, start=start, end=end)))
        except ObjectNotFound:
            assert expected is None
        except StorageError:
            assert expected is not None
            assert start > len(expected)
        else:
            assert expected is not None
            assert data == expected[start:end]

    @rule(key=keys)
    def head(self, key: str) -> None:
        try:
            assert self.runner.run(self.store.head(key)).size == len(self.model[key])
        except ObjectNotFound:
            assert key not in self.model

    @rule(prefix=keys | st.just(""), cut=st.integers(0, 3))
    def list(self, prefix: str, cut: int) -> None:
        prefix = prefix[: len(prefix) - cut]

        async def found() -> dict[str, int]:
            return {info.key: info.size async for info in self.store.list(prefix)}

        expected = [key for key in sorted(self.model) if key.startswith(prefix)]
        sizes = self.runner.run(found())
        assert [*sizes.items()] == [(key, len(self.model[key])) for key in expected]

    @rule()
    def reopen(self) -> None:
        self.other = self.store  # a store in memory lives as long as someone holds it
        self.store = open_store(self.store.url)

    @invariant()
    def everything_is_there(self) -> None:
        async def found() -> dict[str, bytes]:
            return {key: bytes(data) async for key, data in self.store.get_many(self.model)}

        assert self.runner.run(found()) == self.model

    def teardown(self) -> None:
        self.runner.close()


class MemoryMachine(StoreMachine):
    @initialize()
    def open(self) -> None:
        self.store = MemoryStore()


class LocalMachine(StoreMachine):
    tree = True

    @initialize()
    def open(self) -> None:
        self.root = tempfile.mkdtemp()
        self.store = LocalStore(self.root)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.root)


_settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("machine", [MemoryMachine, LocalMachine])
def test_a_store_is_a_dict(machine: type[StoreMachine]) -> None:
    run_state_machine_as_test(machine, settings=_settings)
