"""The long form: drivers killed at every step, at every request, at random times; and the rest.

python -m tests.chaos                                    # everything
python -m tests.chaos --place file --shape map           # a part of it
python -m tests.chaos --place file --shape map --replay driver:17:self driver:3:all
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from random import Random
from typing import Literal, get_args

from asyncfabric.testing import Faults
from tests.cloud.fixtures import Cloud, make_bucket
from tests.cloud.servers import running

from .blows import blow_of
from .campaign import (
    CREDENTIALS,
    FILE,
    INLINE,
    Trials,
    at_a_full_disk,
    at_any_time,
    at_every_request,
    at_every_step,
    left_to_events,
    on_lambda,
    on_s3,
    racing,
)
from .nursery import Nursery
from .program import Shape
from .steps import Deed, Role
from .trial import BrokenError, Place, Trial

Name = Literal["inline", "file", "s3", "lambda"]
SHAPES: tuple[Shape, ...] = ("map", "errors", "stream", "generator")
DEEDS: tuple[tuple[Place, Role, Deed], ...] = (
    (INLINE, "driver", "self"),
    (FILE, "driver", "self"),
    (FILE, "worker", "driver"),
    (FILE, "driver", "all"),
)
_SECONDS = 1.5
"""After which a program has ended, mostly."""
_SHARE = 0.15
"""Of requests that meet with trouble, where some do."""
_FAULTS = {
    "throttled": 0.05,
    "errors": 0.05,
    "reset": 0.05,
    "lost": 0.1,
    "duplicated": 0.15,
    "dropped": 0.1,
}


class Report:
    """Counts trials, and tells of those that broke a law."""

    def __init__(self) -> None:
        self.trials = self.kills = self.runs = 0
        self.broken: list[str] = []
        self._began = time.perf_counter()

    async def take(self, what: str, trials: AsyncIterator[Trial], most: int | None = None) -> None:
        """Have trials take place, and say what they came to."""
        before = self.trials, self.kills
        try:
            for number in count(1):
                if most is not None and number > most:
                    break
                trial = await anext(trials)
                self.trials += 1
                self.kills += trial.kills
                self.runs += trial.runs
        except StopAsyncIteration:
            pass
        except BrokenError as error:
            self.broken.append(what)
            print(f"{error}\n", flush=True)
        print(
            f"{what}: {self.trials - before[0]} trials, {self.kills - before[1]} kills; in all "
            f"{self.kills} kills in {time.perf_counter() - self._began:.0f} s",
            flush=True,
        )


async def campaign(options: argparse.Namespace, trials: Trials, report: Report) -> None:
    """Run all that is asked for."""
    chance = Random(f"chaos:{options.seed}")
    shapes: tuple[Shape, ...] = SHAPES if options.shape is None else (options.shape,)
    names: tuple[Name, ...] = get_args(Name) if options.place is None else (options.place,)
    here = {"inline": INLINE, "file": FILE}
    async with AsyncExitStack() as stack:
        cloud = None
        if {"s3", "lambda"} & set(names):
            os.environ.update(CREDENTIALS)
            cloud = Cloud("ministack", stack.enter_context(running("ministack")))
        for name in names:
            for shape in shapes:
                if name in here:
                    for place, role, deed in DEEDS:
                        if place is not here[name]:
                            continue
                        what = f"{place.name}, {shape}, {deed} killed at steps of the {role}"
                        steps = at_every_step(
                            trials, shape, place, role, deed, chance, options.every
                        )
                        await report.take(what, steps)
                    writer: Role = "driver" if name == "inline" else "worker"
                    full = at_a_full_disk(trials, shape, here[name], writer, options.every)
                    await report.take(f"{name}, {shape}, a full disk", full)
                    await at_times(options, report, trials, shape, here[name], chance)
                else:
                    assert cloud is not None
                    await on_a_cloud(options, report, trials, cloud, name, shape, chance)
                trials.tidy()


async def on_a_cloud(
    options: argparse.Namespace,
    report: Report,
    trials: Trials,
    cloud: Cloud,
    name: Name,
    shape: Shape,
    chance: Random,
) -> None:
    """Run all that there is for one shape on S3, with local workers or those of a Lambda."""
    for share in (0.0, _SHARE):
        seed = chance.getrandbits(32)
        faults = Faults(seed=seed, **_FAULTS) if share else None
        bucket = make_bucket(cloud)
        async with (
            on_s3(bucket, seed=seed, share=share)
            if name == "s3"
            else on_lambda(bucket, seed=seed, share=share, faults=faults)
        ) as (place, proxy):
            if not share:
                for phase in ("before", "after"):
                    what = f"{name}, {shape}, killed {phase} requests"
                    requests = at_every_request(trials, shape, place, phase, chance, options.every)
                    await report.take(what, requests)
            await at_times(options, report, trials, shape, place, chance)
            if name == "lambda":
                what = f"{name}, {shape}, launchers killed{', much going wrong' if share else ''}"
                launched = left_to_events(trials, shape, place, chance)
                await report.take(what, launched, options.times)
            if share:
                print(f"the store's trouble: {dict(proxy.met)}")


async def at_times(
    options: argparse.Namespace,
    report: Report,
    trials: Trials,
    shape: Shape,
    place: Place,
    chance: Random,
) -> None:
    """Kill at random times; have drivers race."""
    trouble = ", the store doing wrong" if place.tries > 1 else ""
    what = f"{place.name}, {shape}, killed at random times{trouble}"
    await report.take(what, at_any_time(trials, shape, place, _SECONDS, chance), options.times)
    what = f"{place.name}, {shape}, drivers that race{trouble}"
    await report.take(what, racing(trials, shape, place, _SECONDS, chance), options.races)


async def replay(options: argparse.Namespace, trials: Trials) -> None:
    """Repeat one trial; raise what it raises."""
    blows = [blow_of(text) for text in options.replay]
    if options.place in {"file", "inline"}:
        place = FILE if options.place == "file" else INLINE
        await trials.strike(options.shape, blows, place)
        return
    with running("ministack") as url:
        os.environ.update(CREDENTIALS)
        bucket = make_bucket(Cloud("ministack", url))
        there = on_s3(bucket) if options.place == "s3" else on_lambda(bucket)
        async with there as (place, _):
            await trials.strike(options.shape, blows, place)


async def run(options: argparse.Namespace) -> int:
    """Run what is asked for; return the status to exit with."""
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as folder,
        contextlib.closing(Nursery()) as nursery,
    ):
        async with nursery:
            trials = Trials(nursery, Path(folder))
            if options.replay:
                await replay(options, trials)
                return 0
            report = Report()
            await campaign(options, trials, report)
    print(f"{report.trials} trials, {report.runs} programs run, {report.kills} of them killed")
    print(f"laws were broken: {report.broken}" if report.broken else "no law was broken")
    return 1 if report.broken else 0


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--place", choices=get_args(Name), help="where; by default everywhere")
    parser.add_argument("--shape", choices=SHAPES, help="how the job is used; by default in all")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn by chance")
    parser.add_argument("--every", type=int, default=1, help="only every so manieth step")
    parser.add_argument("--times", type=int, default=25, help="trials at random times, of a kind")
    parser.add_argument("--races", type=int, default=10, help="trials of drivers that race")
    parser.add_argument("--replay", nargs="*", metavar="BLOW", help="repeat one trial")
    options = parser.parse_args()
    if options.replay is not None and None in {options.place, options.shape}:
        parser.error("--replay needs --place and --shape")
    return asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())
