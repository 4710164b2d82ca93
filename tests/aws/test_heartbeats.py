"""The driver's side of heartbeats: when it looks, what it asks for, whom it believes.

On virtual time: the counts of requests are exact.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest

import asyncfabric as af
from asyncfabric.aws.deploy._bucket import lifecycle_rules
from asyncfabric.backends.aws_lambda._heartbeats import Heartbeats
from asyncfabric.backends.aws_lambda._held import Held
from asyncfabric.testing._simulated._loop import VirtualLoop
from asyncfabric_runtime import Envelope, Plan
from asyncfabric_runtime._heartbeat import name_of
from asyncfabric_runtime._progress import Mark, Report
from asyncfabric_runtime._values import Encoded
from asyncfabric_storage import MemoryStore, ObjectInfo, StorageError

T = TypeVar("T")
PLAN = Plan(job="job", function="f")
TOGETHER = Plan(job="job", function="f", is_async=True)


class Store(MemoryStore):
    """Counts requests, and refuses listings while it is to."""

    def __init__(self) -> None:
        super().__init__()
        self.lists: list[float] = []
        self.deleted = 0
        self.refuses = False

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        self.lists.append(asyncio.get_running_loop().time())
        if self.refuses:
            raise StorageError("no")
        async for info in super().list(prefix):
            yield info

    async def delete(self, key: str) -> None:
        self.deleted += 1
        await super().delete(key)

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        raise AssertionError(f"nothing has to be read, but {key} {start} {end}")


class Cloud:
    """Invocations that are held, workers that write, and a driver that is told."""

    def __init__(self, lanes: int = 100) -> None:
        self.held: dict[int, Held] = {}
        self.heartbeats = Heartbeats(self.held, lanes)
        self.store = Store()
        self.told: list[tuple[float, int, int, float]] = []
        self.began: list[tuple[float, int]] = []
        receiver: Any = self
        self.heartbeats.open(receiver, self.store)

    def on_began(self, flight: int, at: float) -> None:
        self.began.append((round(at, 3), flight))

    def on_progress(self, flight: int, position: int, share: float, at: float) -> None:
        self.told.append((round(at, 3), flight, position, share))

    def launch(self, flight: int, calls: int = 1, plan: Plan = PLAN) -> None:
        """Hold an invocation open."""
        inputs = Encoded(None, [0] * calls)
        envelope = Envelope(plan, flight, range(calls), 1, inputs, [], [])
        self.held[flight] = Held(envelope, asyncio.get_running_loop().time())
        self.heartbeats.launched()

    def land(self, flight: int) -> None:
        """Have it answered."""
        self.heartbeats.landed(self.held.pop(flight))

    async def beat(self, flight: int, number: int, report: Report) -> None:
        """Write as a worker does."""
        await self.put(name_of(flight, number, report))

    async def put(self, name: str) -> None:
        await self.store.put(f"{self.heartbeats.prefix}/{name}", b"")

    async def left(self) -> list[str]:
        """Return what is in the store."""
        return [info.key async for info in MemoryStore.list(self.store)]


def simulated(main: Callable[[], Awaitable[T]]) -> T:
    """Run a program on virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def test_one_listing_for_all_at_every_half_interval() -> None:
    async def main() -> None:
        cloud = Cloud()
        for flight in range(1, 51):
            cloud.launch(flight)
        await asyncio.sleep(5.2)
        for number in range(1, 13):  # a minute
            for flight in range(1, 51):
                report = Report(0, 5.0 * number, (Mark(1.0, 0.01), Mark(4.5, number / 100)))
                await cloud.beat(flight, number, report)
            await asyncio.sleep(5.0)
        assert cloud.store.lists == pytest.approx([5.5 + 2.5 * look for look in range(24)])
        assert cloud.store.deleted == 12 * 50
        assert len(cloud.began) == 50
        for flight in range(1, 51):
            cloud.land(flight)
        await asyncio.sleep(5.0)
        assert len(cloud.store.lists) == 25
        await cloud.heartbeats.aclose()
        assert len(cloud.store.lists) == 25
        assert await cloud.left() == []

    simulated(main)


def test_none_for_what_is_short() -> None:
    async def main() -> None:
        cloud = Cloud()
        for flight in range(1, 100):
            cloud.launch(flight)
            await asyncio.sleep(4.9)
            cloud.land(flight)
        await cloud.heartbeats.aclose()
        assert cloud.store.lists == []

    simulated(main)


def test_it_rests_when_nothing_runs_and_begins_again() -> None:
    async def main() -> None:
        cloud = Cloud()
        for _ in range(2):
            cloud.launch(1)
            await asyncio.sleep(6.0)
            cloud.land(1)
            await asyncio.sleep(3600.0)
        # Each time once while it ran, and once for what came after that.
        assert cloud.store.lists == pytest.approx([5.5, 8.0, 3611.5, 3614.0])
        await cloud.heartbeats.aclose()

    simulated(main)


def test_many_tell_more_rarely() -> None:
    assert Cloud(1000).heartbeats.seconds == 5.0
    assert Cloud(10_000).heartbeats.seconds == 50.0


def test_speed_goes_by_the_workers_clock() -> None:
    """How long a report was on its way changes nothing of the times between marks."""

    async def main() -> None:
        cloud = Cloud()
        cloud.launch(7)
        await asyncio.sleep(6.0)  # it began at 1.0
        await cloud.beat(7, 1, Report(0, 5.0, (Mark(0.5, 0.1), Mark(4.5, 0.5))))
        await asyncio.sleep(7.4)  # the second takes long
        await cloud.beat(7, 2, Report(0, 10.0, (Mark(0.5, 0.1), Mark(9.5, 0.9))))
        await asyncio.sleep(3.0)
        # Heard of at 8.0: it began 5 s before that at the latest.
        assert cloud.began == [(3.0, 7)]
        assert cloud.told == [(3.5, 7, 0, 0.1), (7.5, 7, 0, 0.5), (12.5, 7, 0, 0.9)]
        cloud.land(7)
        await cloud.heartbeats.aclose()

    simulated(main)


def test_no_call_began_before_its_launch() -> None:
    async def main() -> None:
        cloud = Cloud()
        cloud.launch(7)
        await asyncio.sleep(5.2)
        await cloud.beat(7, 1, Report(0, 3000.0, (Mark(2990.0, 0.5),)))
        await asyncio.sleep(1.0)
        assert cloud.began == [(0.0, 7)]
        assert cloud.told == [(5.5, 7, 0, 0.5)]  # nor has it told of what is to come
        await cloud.heartbeats.aclose()

    simulated(main)


def test_calls_in_turn_and_side_by_side() -> None:
    async def main() -> None:
        cloud = Cloud()
        cloud.launch(1, calls=3)
        cloud.launch(2, calls=3, plan=TOGETHER)
        await asyncio.sleep(5.2)
        await cloud.beat(1, 1, Report(1, 2.0))
        await cloud.beat(2, 1, Report(1, 5.0, (Mark(1.0, 0.1),)))
        await asyncio.sleep(5.0)
        await cloud.beat(1, 2, Report(2, 1.0, (Mark(0.5, 0.3),)))
        await cloud.beat(2, 2, Report(2, 10.0, (Mark(1.0, 0.2), Mark(9.0, 0.3))))
        await asyncio.sleep(5.0)
        # When the first call of invocation 1 began is not known.
        assert cloud.began == [(0.5, 2)]
        assert [each[1:] for each in cloud.told] == [
            (2, 1, 0.1), (1, 2, 0.3), (2, 2, 0.2), (2, 2, 0.3),
        ]  # fmt: skip
        await cloud.heartbeats.aclose()

    simulated(main)


def test_what_makes_no_sense_is_deleted_unheard() -> None:
    async def main() -> None:
        cloud = Cloud()
        cloud.launch(1)
        await asyncio.sleep(5.2)
        for name in (
            "junk",
            "a/b",
            "1.1.0",
            "1.1.1.5000.1.1",
            "2.1.0.5000.1.1",
            "1.1.0.5000.9999.1",
        ):
            await cloud.put(name)
        await asyncio.sleep(1.0)
        assert not cloud.told
        assert not cloud.began
        assert await cloud.left() == []
        await cloud.heartbeats.aclose()

    simulated(main)


def test_others_are_left_alone() -> None:
    async def main() -> None:
        cloud = Cloud()
        await cloud.store.put("progress/another/1.1.0.5000", b"")
        await cloud.store.put("jobs/precious", b"")
        cloud.launch(1)
        await asyncio.sleep(30.0)
        await cloud.heartbeats.aclose()
        assert await cloud.left() == ["jobs/precious", "progress/another/1.1.0.5000"]

    simulated(main)


def test_a_store_that_refuses_is_asked_three_times(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        cloud = Cloud()
        cloud.store.refuses = True
        for flight in range(1, 20):
            cloud.launch(flight)
            await asyncio.sleep(60.0)
            cloud.land(flight)
        assert len(cloud.store.lists) == 3
        await cloud.heartbeats.aclose()

    with caplog.at_level(logging.WARNING, "asyncfabric.backends"):
        simulated(main)
    (record,) = caplog.records
    assert "may list and delete" in record.getMessage()


def test_a_failure_in_passing_is_no_reason_to_stop() -> None:
    async def main() -> None:
        cloud = Cloud()
        cloud.launch(1)
        for _ in range(10):
            cloud.store.refuses = not cloud.store.refuses
            await asyncio.sleep(5.0)
        assert len(cloud.store.lists) > 15
        await cloud.heartbeats.aclose()

    simulated(main)


def test_the_end_deletes_what_is_left() -> None:
    async def main() -> None:
        cloud = Cloud()
        cloud.launch(1)
        await asyncio.sleep(5.2)
        await cloud.beat(1, 1, Report(0, 5.0))
        cloud.land(1)  # before the driver has looked at all
        await cloud.heartbeats.aclose()
        assert await cloud.left() == []
        assert len(cloud.store.lists) == 1
        assert cloud.began == []

    simulated(main)


def test_the_end_deletes_what_is_left_of_what_still_runs() -> None:
    async def main() -> None:
        cloud = Cloud()
        cloud.launch(1)
        await asyncio.sleep(6.0)
        await cloud.beat(1, 1, Report(0, 5.5))  # after the first look
        await cloud.heartbeats.aclose()
        assert await cloud.left() == []
        assert len(cloud.store.lists) == 2
        assert cloud.began == []

    simulated(main)


@pytest.mark.parametrize("wrong", ["yes", "redis", "s3"])
def test_options_that_make_no_sense(wrong: str) -> None:
    with pytest.raises(af.ConfigurationError, match="use 'store'"):
        af.Fabric(f"lambda://asyncfabric?heartbeats={wrong}", storage="s3://bucket/prefix")


def test_what_is_left_expires() -> None:
    rules = {rule["ID"]: rule for rule in lifecycle_rules("numbers", 30)}
    rule = rules["numbers/progress"]
    assert rule["Filter"] == {"Prefix": "numbers/progress/"}
    assert rule["Expiration"] == {"Days": 2}
