"""What calls report of their progress reaches the driver at its simulated time."""

import asyncio
from collections.abc import Callable

import pytest

import asyncfabric as af
from asyncfabric._dispatch import Dispatcher
from asyncfabric.testing import Pareto, Profile, SimulatedCloud, Spread, spend

from .programs import CALM, run

Seen = list[tuple[float, int, float]]


def steps(_: int) -> None:
    for step in range(1, 5):
        spend(2.0)
        af.current().progress(step / 4)


def often(_: int) -> None:
    for step in range(1, 101):
        spend(0.1)
        af.current().progress(step / 100)


async def waits(_: int) -> None:
    for step in range(1, 5):
        await asyncio.sleep(2.0)
        af.current().progress(step / 4)


def wrong(_: int) -> str:
    said: list[str] = []
    for fraction in (-0.1, 1.5):
        try:
            af.current().progress(fraction)
        except ValueError as error:
            said.append(str(error))
    return " ".join(said)


def reports(
    monkeypatch: pytest.MonkeyPatch,
    profile: Profile,
    chunksize: int = 1,
    *,
    function: Callable[[int], object] = steps,
    interval: float = 0.0,
) -> Seen:
    profile = profile.but(heartbeat=Spread(0.1, 0.1), heartbeat_seconds=interval)
    cloud = SimulatedCloud(1, profile)
    seen: Seen = []

    def note(dispatcher: Dispatcher, flight: int, position: int, fraction: float) -> None:
        seen.append((dispatcher.now(), position, fraction))

    monkeypatch.setattr(Dispatcher, "on_progress", note)

    async def use(fabric: af.Fabric) -> None:
        await fabric.map(function, range(chunksize), chunksize=chunksize)

    run(cloud, use, retry=None)
    return seen


def test_reports_come_when_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = reports(monkeypatch, CALM)
    assert [fraction for _, _, fraction in seen] == [0.25, 0.5, 0.75]  # then the answer is there
    assert [now for now, _, _ in seen] == pytest.approx([2.62, 4.62, 6.62])


def test_a_slow_environment_reports_late(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = reports(monkeypatch, CALM.but(slow=1.0, slowness=Pareto(3.0, 1e9, 3.0)))
    assert [now for now, _, _ in seen] == pytest.approx([6.62, 12.62, 18.62])


def test_calls_of_one_invocation_report_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = reports(monkeypatch, CALM, chunksize=2)
    assert [position for _, position, _ in seen] == [0, 0, 0, 0, 1, 1, 1]
    assert [now for now, _, _ in seen] == pytest.approx([2.62 + 2 * n for n in range(7)])


def test_reports_come_no_more_often_than_a_worker_sends_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = reports(monkeypatch, CALM, function=often, interval=2.0)
    # The first at once, then the newest every two seconds.
    assert [now for now, _, _ in seen] == pytest.approx([0.72, 2.72, 4.72, 6.72, 8.72])
    assert [share for _, _, share in seen] == pytest.approx(
        [0.01, 0.21, 0.41, 0.61, 0.81], abs=0.011
    )


def test_a_profiles_own_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Profile.default().heartbeat_seconds >= 2.0
    seen = reports(monkeypatch, CALM, function=often, interval=Profile.default().heartbeat_seconds)
    assert 0 < len(seen) <= 1 + 10 / Profile.default().heartbeat_seconds


def test_coroutine_calls_report_while_they_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = reports(monkeypatch, CALM, function=waits)
    assert [now for now, _, _ in seen] == pytest.approx([2.62, 4.62, 6.62])
    assert [share for _, _, share in seen] == [0.25, 0.5, 0.75]


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
