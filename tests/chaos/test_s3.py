"""Drivers killed at requests to S3, an S3 that does wrong, workers that go on without a driver."""

from dataclasses import replace

import pytest

from asyncfabric.testing import Faults
from tests.cloud.fixtures import Bucket

from .blows import Moment, Shot
from .campaign import Trials, on_lambda, on_s3, spread

pytestmark = pytest.mark.parametrize("cloud", ["ministack"], indirect=True)


async def test_killed_at_requests(trials: Trials, bucket: Bucket) -> None:
    async with on_s3(bucket) as (place, _):
        blows = [
            Shot(request, "before" if request % 2 else "after") for request in spread(20, 5, 0)
        ]
        inline = replace(place, backend="inline://")
        trial = await trials.strike("errors", blows, inline, again=True)
        assert trial.kills >= 3  # a program that goes on sends fewer


async def test_an_s3_that_does_wrong(trials: Trials, bucket: Bucket) -> None:
    async with on_s3(bucket, seed=3, share=0.2) as (place, proxy):
        await trials.strike("map", [Shot(12, "after"), Moment(0.5)], place)
        assert len(proxy.met) > 4


async def test_a_lambda_that_loses_replies_and_runs_twice(trials: Trials, bucket: Bucket) -> None:
    faults = Faults(seed=1, throttled=0.05, errors=0.05, reset=0.05, lost=0.15, duplicated=0.2)
    async with on_lambda(bucket, seed=2, share=0.1, faults=faults) as (place, proxy):
        trial = await trials.make("map", place)
        (trial.folder / "traps" / "1").touch()
        for blow in (Shot(9, "after"), Shot(14, "before")):
            await trial.run(blow)
        await trial.finish()
        assert trial.kills
        assert proxy.met


async def test_a_job_that_is_launched(trials: Trials, bucket: Bucket) -> None:
    """By programs that are killed, with events that get lost; a driver runs what is left."""
    faults = Faults(seed=4, lost=0.2, duplicated=0.2, dropped=0.2)
    async with on_lambda(bucket, faults=faults) as (place, _):
        trial = await trials.make("errors", place)
        await trial.run(Shot(6, "after"), shape="launch")
        assert trial.kills
        assert await trial.run(shape="launch") == 0
        await trial.finish()
