"""Drivers killed at some steps of the protocol; `python -m tests.chaos` kills them at all."""

import pytest

from .campaign import FILE, INLINE, Trials, spread
from .gates import Gates
from .program import Shape
from .steps import Deed, Fate, Role
from .trial import Place


@pytest.mark.parametrize("shape", ["map", "errors", "stream", "generator"])
async def test_killed_at_any_step(trials: Trials, shape: Shape) -> None:
    """And killed again when it goes on; each time what was done stays done."""
    steps = (await trials.known(shape)).steps["driver"]
    kills = 0
    for step in spread(steps, 3, len(shape)):
        fates = [Fate("driver", step, "self"), Fate("driver", steps // 3, "self")]
        trial = await trials.strike(shape, fates, INLINE)
        kills += trial.kills
    assert kills >= 3


@pytest.mark.parametrize(("role", "deed"), [("worker", "driver"), ("driver", "all")])
async def test_workers_left_alone(trials: Trials, role: Role, deed: Deed) -> None:
    """Workers whose driver is killed at a step of theirs; or they are, too, at one of its own."""
    steps = (await trials.known("map", FILE)).steps[role]
    fates = [Fate(role, step, deed) for step in spread(steps, 2, len(deed))]
    trial = await trials.strike("map", fates, again=role == "worker")
    assert trial.kills


async def test_workers_killed_at_their_steps(trials: Trials) -> None:
    """Nobody notices."""
    steps = (await trials.known("map", FILE)).steps["worker"]
    for step in spread(steps, 2, 1):
        trial = await trials.make()
        assert await trial.run(Fate("worker", step, "self")) == 0
        await trial.check_end()


async def test_workers_killed_from_within_and_from_outside(trials: Trials) -> None:
    trial = await trials.make("stream")
    for index in (0, 4):
        (trial.folder / "traps" / f"{index}").touch()
    assert await trial.run(Fate("driver", 20, "worker")) == 0
    assert not list((trial.folder / "traps").iterdir())
    await trial.check_end()


@pytest.mark.parametrize(
    ("place", "role"), [(INLINE, "driver"), (FILE, "worker")], ids=["driver", "worker"]
)
async def test_a_full_disk(trials: Trials, place: Place, role: Role) -> None:
    """The program fails and says why; with room again, it goes on."""
    steps = (await trials.known("map", place)).steps[role]
    trial = await trials.make(place=place)
    for step in (1,) if role == "worker" else (1, steps // 3, steps // 2):
        assert await trial.run(Fate(role, step, "full")) == 1
        assert "free some space" in trial.said()
    await trial.finish()


async def test_a_disk_that_takes_small_files_only(trials: Trials) -> None:
    trial = await trials.make(place=INLINE)
    assert await trial.run(limit=100_000) == 1
    assert "File too large" in trial.said()
    await trial.finish()


async def test_of_two_drivers_the_older_stops(trials: Trials) -> None:
    trial = await trials.make()
    with Gates(trial.folder, trial.work.count) as gates:
        older = await trial.start()
        await gates.reached()
        newer = await trial.start()
        assert await older.over() == 1
        assert "has taken over job 'chaos'" in trial.said(1)
    assert await trial.end(newer) == 0
    await trial.finish()


async def test_drivers_that_race(trials: Trials) -> None:
    """All at once, so that several begin the job; those that fail were overtaken."""
    for place, pauses in ((INLINE, [0.0] * 4), (FILE, [0.0, 0.1])):
        trial = await trials.make("stream", place)
        await trial.race(pauses)
        await trial.finish()
