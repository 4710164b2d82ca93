# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Heartbeats through the store: what running invocations tell, and what the driver makes of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric._receiving import Receiving
from asyncfabric.reporting import Event, InvocationLaunched
from asyncfabric.testing import LambdaFront
from tests.api.until import until
from tests.aws.backend.fronts import CountingStore, objects

pytestmark = pytest.mark.asyncio(loop_scope="module")

INTERVAL = 0.1
CALLS = 3
"""As many as there are workers, less one for a copy."""
EAGER = af.Hedge(least=0.05)
PATIENT = af.Hedge(least=5.0)
"""On a busy machine a worker may well be silent for a while."""
FORGED = (
    "junk",
    "1",
    "1.2.3",
    "a/b/c",
    "1.5.0.-1",
    "1.5.0.1e9",
    "1.5.0.5000.6000.1",
    "77.1.0.5000.1000.500000",  # no such invocation
    "2.9.44.5000.1000.500000",  # no such call
)


class Store(CountingStore):
    """Counts listings, too."""

    def list(self, prefix: str = "") -> Any:
        self._count("list")
        return super().list(prefix)


class Ears:
    """What the driver is told, and what it launches."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.began: list[int] = []
        self.told: list[tuple[int, int, float]] = []
        self.copies = 0
        self.on_copy: Any = None
        on_began, on_progress = Receiving.on_began, Receiving.on_progress

        def began(receiver: Any, flight: int, at: float) -> None:
            self.began.append(flight)
            on_began(receiver, flight, at)

        def progress(
            receiver: Any, flight: int, position: int, share: float, at: float | None = None
        ) -> None:
            assert at is not None
            assert at <= receiver.now()
            self.told.append((flight, position, share))
            on_progress(receiver, flight, position, share, at)

        patch.setattr(Receiving, "on_began", began)
        patch.setattr(Receiving, "on_progress", progress)

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, InvocationLaunched) and event.copy:
            self.copies += 1
            if self.on_copy is not None:
                self.on_copy()


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch) -> Ears:
    return Ears(monkeypatch)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store, with heartbeats that come soon."""
    module = "asyncfabric.backends.aws_lambda._heartbeats.INTERVAL_SECONDS"
    monkeypatch.setattr(module, INTERVAL)
    return Store(tmp_path / "store")


def fabric_of(front: LambdaFront, store: Store, ears: Ears, **options: Any) -> Any:
    """Return a Fabric whose workers have heartbeats."""
    options = {"max_concurrency": CALLS + 1, "hedge": EAGER, **options}
    fabric = af.Fabric(f"{front.backend}&heartbeats=store", storage=store, **options)
    fabric._core.observers.append(ears)
    return fabric


def prefix_of(fabric: Any) -> str:
    """Return where its workers write."""
    return str(fabric._core.backend.traits.heartbeats[0])


def steady(place: Path, slow: float = 1.0) -> Any:
    """Return a function that tells of its progress until it is let go.

    With a factor, the first execution of the call 0 is slower, and ends only after its copy, which
    returns at once.
    """
    directory = str(place)

    def work(x: int) -> tuple[int, str]:
        import os
        import time

        here = af.current()
        mark = os.path.join(directory, f"{x}.begun")  # noqa: PTH118
        try:
            open(mark, "x").close()  # noqa: PTH123
        except FileExistsError:
            open(os.path.join(directory, f"{x}.again"), "w").close()  # noqa: PTH118, PTH123
            return x, "again"
        began = time.monotonic()
        end = "0.again" if slow > 1 and x == 0 else "go"
        while not os.path.exists(os.path.join(directory, end)):  # noqa: PTH110, PTH118
            seconds = time.monotonic() - began
            assert seconds < 20, "it was never let go"
            here.progress(min(0.9, seconds / 60 / (slow if x == 0 else 1)))
            time.sleep(0.002)
        return x, "first"

    return work


async def test_a_straggler_is_copied_by_its_own_word(
    front: LambdaFront, store: Store, ears: Ears, tmp_path: Path
) -> None:
    """The calls end only when the copy has been launched: times of finished ones can't tell."""
    ears.on_copy = (tmp_path / "go").touch
    async with fabric_of(front, store, ears) as fabric:
        found = await fabric.map(steady(tmp_path, slow=100.0), range(CALLS), chunksize=1)
    assert found[1:] == [(1, "first"), (2, "first")]
    assert found[0][0] == 0  # of its two executions, either may come first now
    assert ears.copies >= 1
    assert [path.name for path in tmp_path.glob("*.again")] == ["0.again"]
    assert {flight for flight, _, _ in ears.told} == {1, 2, 3}
    assert sorted(ears.began) == [1, 2, 3]
    assert objects(Path(store.root)) == []


async def test_what_gets_on_is_not_copied(
    front: LambdaFront, store: Store, ears: Ears, tmp_path: Path
) -> None:
    async with fabric_of(front, store, ears, hedge=PATIENT) as fabric:
        running = asyncio.ensure_future(fabric.map(steady(tmp_path), range(CALLS), chunksize=1))
        await until(lambda: len(ears.told) >= 12)
        (tmp_path / "go").touch()
        assert await running == [(x, "first") for x in range(CALLS)]
    assert ears.copies == 0
    for flight in (1, 2, 3):
        shares = [share for each, _, share in ears.told if each == flight]
        assert shares == sorted(shares)
    assert objects(Path(store.root)) == []


async def test_one_listing_brings_all(
    front: LambdaFront, store: Store, ears: Ears, tmp_path: Path
) -> None:
    async with fabric_of(front, store, ears, hedge=PATIENT) as fabric:
        running = asyncio.ensure_future(fabric.map(steady(tmp_path), range(CALLS), chunksize=1))
        await until(lambda: len(ears.told) >= 12)
        (tmp_path / "go").touch()
        await running
    written = store.counts["delete"]
    # Of each heartbeat the first brings two marks, the others one.
    assert written >= len(ears.told) - CALLS
    assert "get" not in store.counts
    assert "head" not in store.counts


async def test_calls_that_say_nothing_tell_that_they_run(
    front: LambdaFront, store: Store, ears: Ears, tmp_path: Path
) -> None:
    directory = str(tmp_path)

    def wait(x: int) -> int:
        import os
        import time

        until = time.monotonic() + 20
        while time.monotonic() < until and not os.path.exists(directory + "/go"):  # noqa: PTH110
            time.sleep(0.005)
        return x

    async with fabric_of(front, store, ears, hedge=PATIENT) as fabric:
        running = asyncio.ensure_future(fabric.map(wait, range(CALLS), chunksize=1))
        await until(lambda: len(ears.began) == CALLS)
        (tmp_path / "go").touch()
        assert await running == list(range(CALLS))
    assert not ears.told
    assert store.counts["delete"] == CALLS  # it was news only once
    assert objects(Path(store.root)) == []


async def test_short_calls_cost_no_request(front: LambdaFront, store: Store, ears: Ears) -> None:
    def tell(x: int) -> int:
        af.current().progress(0.5)
        return x

    async with fabric_of(front, store, ears) as fabric:
        fabric._core.backend._heartbeats.seconds = 3600.0
        assert await fabric.map(tell, range(CALLS)) == list(range(CALLS))
    assert store.counts == {}
    assert not ears.told
    assert not ears.began


async def test_without_the_option_there_are_none(
    front: LambdaFront, store: Store, ears: Ears, tmp_path: Path
) -> None:
    def tell(x: int) -> list[str]:
        import threading

        af.current().progress(0.5)
        return [each.name for each in threading.enumerate()]

    async with af.Fabric(front.backend, storage=store, max_concurrency=2) as fabric:
        assert fabric._core.backend.traits.heartbeats is None
        names = await fabric.submit(tell, 1)
    assert not [name for name in names if "heartbeat" in name]
    assert store.counts == {}


async def test_a_store_that_refuses(
    front: LambdaFront, store: Store, ears: Ears, tmp_path: Path
) -> None:
    """A file is where the directory would be: workers can't write, nor the driver list."""
    Path(store.root).mkdir()
    (Path(store.root) / "progress").write_bytes(b"")
    async with fabric_of(front, store, ears, hedge=PATIENT) as fabric:
        running = asyncio.ensure_future(fabric.map(steady(tmp_path), range(CALLS), chunksize=1))
        await until(lambda: store.counts.get("list", 0) >= 3)
        (tmp_path / "go").touch()
        assert await running == [(x, "first") for x in range(CALLS)]
    assert not ears.told
    assert not ears.began


async def test_forged_heartbeats_change_nothing(
    front: LambdaFront, store: Store, ears: Ears, tmp_path: Path
) -> None:
    directory = str(tmp_path)

    def wait(x: int) -> int:
        import os
        import time

        until = time.monotonic() + 20
        while time.monotonic() < until and not os.path.exists(directory + "/go"):  # noqa: PTH110
            time.sleep(0.005)
        return x

    async with fabric_of(front, store, ears, hedge=PATIENT) as fabric:
        running = asyncio.ensure_future(fabric.map(wait, range(CALLS), chunksize=1))
        await until(lambda: len(ears.began) == CALLS)
        prefix = prefix_of(fabric)
        for name in FORGED:
            await store.put(f"{prefix}/{name}", b"\x80\x05junk" * 100)
        await until(lambda: store.counts.get("delete") == CALLS + len(FORGED))
        (tmp_path / "go").touch()
        assert await running == list(range(CALLS))
    assert not ears.told
    assert ears.copies == 0


async def test_a_program_that_ends_early_leaves_little(
    front: LambdaFront, store: Store, ears: Ears, tmp_path: Path
) -> None:
    """What was written by then is deleted, though nobody waits for the calls."""
    fabric = fabric_of(front, store, ears)
    running = fabric.map(steady(tmp_path), range(CALLS), chunksize=1)
    running.start()
    await until(lambda: len(list(tmp_path.glob("*.begun"))) == CALLS and ears.told)
    (tmp_path / "go").touch()
    await front.until(lambda counters: counters.running == 0)
    await fabric.aclose()
    assert objects(Path(store.root)) == []
