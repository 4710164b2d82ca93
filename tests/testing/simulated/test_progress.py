"""What calls report of their progress reaches the driver when and as the real carrier brings it."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

import asyncfabric as af
from asyncfabric._dispatch import Dispatcher
from asyncfabric.backends.aws_lambda._heartbeats import INTERVAL_SECONDS
from asyncfabric.testing import Pareto, Profile, SimulatedCloud, Spread, StoreProfile, spend

from .programs import CALM, run

STORE = StoreProfile(read=Spread(0.1, 0.1), write=Spread(0.1, 0.1), stalls=0, lost=0, conflicts=0)
BEGIN = 0.52
"""When the first invocation begins."""


def steps(_: int) -> None:
    for step in range(1, 9):
        spend(2.0)
        af.current().progress(step / 8)


async def waits(x: int) -> None:
    for step in range(1, 9):
        await asyncio.sleep(2.0 + x)
        af.current().progress(step / 8)


def silent(_: int) -> None:
    spend(16.0)


def wrong(_: int) -> str:
    said: list[str] = []
    for fraction in (-0.1, 1.5):
        try:
            af.current().progress(fraction)
        except ValueError as error:
            said.append(str(error))
    return " ".join(said)


class Reports:
    """What the driver is told: when, of which call, how far it was, and at what time that was."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        profile: Profile = CALM,
        chunksize: int = 1,
        *,
        function: Callable[[int], object] = steps,
        interval: float = 5.0,
        heartbeats: bool = True,
    ) -> None:
        self.cloud = SimulatedCloud(1, profile.but(store=STORE, heartbeat_seconds=interval))
        self.told: list[tuple[float, int, float, float]] = []
        self.began: list[tuple[float, float]] = []

        def progress(
            dispatcher: Dispatcher, _: int, position: int, fraction: float, at: float | None = None
        ) -> None:
            now = dispatcher.now()
            self.told.append((now, position, fraction, now if at is None else at))

        def began(dispatcher: Dispatcher, _: int, at: float) -> None:
            self.began.append((dispatcher.now(), at))

        monkeypatch.setattr(Dispatcher, "on_progress", progress)
        monkeypatch.setattr(Dispatcher, "on_began", began)

        async def use(fabric: af.Fabric) -> None:
            await fabric.map(function, range(chunksize), chunksize=chunksize)

        run(self.cloud, use, retry=None, hedge=None, heartbeats=heartbeats)


def test_reports_are_written_and_found_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports(monkeypatch)
    # Written 5, 10.1 and 15.2 s after the begin, each in 0.1 s; the driver looks every 2.5 s.
    looks = [7.6, 12.6, 17.6]
    # The first mark and the newest one; then only what is new. After 16 s the answer is there.
    assert [fraction for _, _, fraction, _ in reports.told] == [1 / 8, 2 / 8, 5 / 8]
    assert [now for now, _, _, _ in reports.told] == pytest.approx([looks[0], looks[0], looks[1]])
    assert reports.cloud.ledger.requests["put"] == 3
    # Between the marks passes the worker's own time.
    times = [at for _, _, _, at in reports.told]
    assert [later - at for at, later in pairwise(times)] == pytest.approx([2, 6])
    assert all(at <= now for now, _, _, at in reports.told)


def test_a_call_that_says_nothing_is_known_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports(monkeypatch, function=silent)
    assert reports.told == []
    assert [now for now, _ in reports.began] == pytest.approx([7.6])
    assert reports.began[0][1] == pytest.approx(7.6 - 5.0)  # as late as that became known
    assert reports.cloud.ledger.requests["put"] == 1


def test_who_didnt_ask_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports(monkeypatch, heartbeats=False)
    assert not reports.told
    assert not reports.began
    assert not reports.cloud.ledger.requests["put"]


def test_short_calls_have_no_time_for_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports(monkeypatch, interval=16.0)
    assert not reports.told
    assert not reports.cloud.ledger.requests["put"]


def test_it_is_no_kinder_than_the_real_carrier() -> None:
    assert Profile.default().heartbeat_seconds >= INTERVAL_SECONDS


def test_a_slow_environment_reports_late(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = CALM.but(slow=1.0, slowness=Pareto(3.0, 1e9, 3.0))
    reports = Reports(monkeypatch, slow, interval=8.0)
    times = [at for _, _, _, at in reports.told]
    assert [fraction for _, _, fraction, _ in reports.told][:3] == [1 / 8, 2 / 8, 4 / 8]
    assert times[1] - times[0] == pytest.approx(6.0)


def test_calls_of_one_invocation_report_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports = Reports(monkeypatch, chunksize=2)
    assert [position for _, position, _, _ in reports.told] == sorted(
        position for _, position, _, _ in reports.told
    )
    assert {position for _, position, _, _ in reports.told} == {0, 1}
    for place in (0, 1):
        fractions = [part for _, position, part, _ in reports.told if position == place]
        assert fractions == sorted(fractions)


def test_coroutine_calls_report_while_they_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports(monkeypatch, chunksize=2, function=waits)
    # The one that is behind is told of: it waits longer.
    assert {position for _, position, _, _ in reports.told[1:]} == {1}
    assert reports.told[-1][0] < BEGIN + 8 * 3.0
    assert len(reports.told) >= 4


def test_a_share_that_makes_no_sense() -> None:
    async def use(fabric: af.Fabric) -> str:
        return await fabric.submit(wrong, 1)

    said = run(SimulatedCloud(1, CALM), use)
    assert said.count("from 0 to 1") == 2


def test_where_nobody_listens_it_does_nothing() -> None:
    async def main() -> int:
        async with af.Fabric("inline://") as fabric:
            return await fabric.submit(steps_at_once, 3)

    assert asyncio.run(main()) == 3


def steps_at_once(x: int) -> int:
    af.current().progress(0.5)
    return x
