"""What a Fabric tells of all its calls."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

import asyncfabric as af
from asyncfabric.reporting import Report
from tests.api.test_hedging import CALLS, EAGER, HOURS, LOCAL, SLOW, hang_at_first
from tests.api.until import until
from tests.api.work import odd_fails, square


def _fails_at_first(x: int) -> int:
    if af.current().attempt == 1:
        raise ConnectionError
    return x


@pytest.mark.parametrize("backend", [LOCAL, "inline://"])
async def test_maps_and_submits_add_up(backend: str) -> None:
    fabric = af.Fabric(backend, hedge=None)
    assert fabric.report() == Report()
    async with fabric:
        await fabric.map(square, range(100))
        await asyncio.gather(*[fabric.submit(square, x) for x in range(10)])
        failing = fabric.map(odd_fails, range(4), return_exceptions=True)
        await failing
        stubborn = fabric.with_options(retry=af.Retry(on=(ConnectionError,), base=0.0))
        repeated = stubborn.map(_fails_at_first, range(3))
        await repeated
        assert (failing.stats.failed, repeated.stats.repeated) == (2, 3)
        report = stubborn.report()
        assert report.calls == af.MapStats(
            read=117, finished=115, failed=2, attempts=120, repeated=3
        )
        assert report == fabric.report()
        assert report.invocations >= 5
        assert (report.throttled, report.limit, report.rate) == (0, None, None)
    assert fabric.report() == report
    assert str(report).startswith("115 calls finished, 2 failed, 0 at the workers; 120 attempts, 3")


async def test_a_map_that_goes_on_is_counted_once() -> None:
    async with af.Fabric("inline://") as fabric:
        mapped = fabric.map(odd_fails, range(10), chunksize=1)
        with pytest.raises(ValueError, match="odd"):
            await mapped
        with pytest.raises(ValueError, match="odd"):
            await mapped.retry()
        assert fabric.report().calls == mapped.stats


async def test_limits_are_told() -> None:
    async with af.Fabric("inline://", max_concurrency=3) as fabric:
        assert "at most 3 at a time" in str(fabric.report())


async def test_copies_are_told(tmp_path: Path) -> None:
    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        mapped = fabric.map(partial(hang_at_first, str(tmp_path), HOURS), range(CALLS))
        await mapped
        stats = mapped.stats
        assert stats.finished == CALLS
        assert len(SLOW) <= stats.copies_won <= stats.copies
        assert stats.attempts == CALLS + stats.copies
        # Their workers are stopped, and others take their places.
        await until(lambda: fabric.report().lost >= len(SLOW))


async def test_cold_starts_are_told() -> None:
    async with af.Fabric("local://?processes=1") as fabric:
        assert [await fabric.submit(square, x) for x in range(3)] == [0, 1, 4]
        report = fabric.report()
        assert (report.invocations, report.cold) == (3, 1)
