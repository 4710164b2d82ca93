"""`SimulatedCloud`: programs, clocks, and what is left of them."""

import asyncio
import gc
import re
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric import testing
from asyncfabric.testing import Profile, SimulatedCloud, spend
from asyncfabric_runtime._stores import _stores

from .programs import CALM, patient, run, stubborn, talk, too_long, two_seconds, uses_a_loop

# time


def test_calls_take_what_they_spend() -> None:
    cloud = SimulatedCloud(1, CALM)

    async def use(fabric: af.Fabric) -> list[int]:
        return await fabric.map(two_seconds, range(10))

    squares = run(cloud, use)
    assert squares == [x * x for x in range(10)]
    assert cloud.ledger.makespan == pytest.approx(0.02 + 0.5 + 2.0)
    assert cloud.now == pytest.approx(2.52)
    assert list(cloud.ledger.completed) == pytest.approx([2.52] * 10)


def test_warm_environments_are_used_again() -> None:
    cloud = SimulatedCloud(1, CALM)

    async def use(fabric: af.Fabric) -> None:
        for _ in range(3):
            await fabric.map(two_seconds, range(5), chunksize=1)
        await asyncio.sleep(700)
        await fabric.map(two_seconds, range(5), chunksize=1)

    run(cloud, use)
    assert cloud.ledger.total.cold_starts == 10
    assert cloud.now == pytest.approx(700 + 4 * 2.02 + 2 * 0.5)


def test_warm_starts_environments() -> None:
    cloud = SimulatedCloud(1, CALM)

    async def use(fabric: af.Fabric) -> None:
        await fabric.warm(5)
        assert cloud.now == pytest.approx(0.52)
        await fabric.map(two_seconds, range(5), chunksize=1)

    run(cloud, use)
    assert cloud.ledger.total.cold_starts == 5
    assert cloud.now == pytest.approx(0.52 + 2.02)


def test_coroutine_calls_wait_on_the_virtual_clock() -> None:
    cloud = SimulatedCloud(1, CALM)

    async def use(fabric: af.Fabric) -> list[int]:
        return await fabric.map(patient, range(4), chunksize=4)

    assert run(cloud, use) == [0, 1, 2, 3]
    # They wait together, and work one after another.
    assert cloud.ledger.makespan == pytest.approx(0.52 + 3.0 + 4 * 0.5)


def test_spend_sleeps_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    assert two_seconds(3) == 9
    assert slept == [2.0]
    with pytest.raises(ValueError, match="can't be given back"):
        spend(-1.0)


def test_an_attempt_that_outlives_its_timeout() -> None:
    cloud = SimulatedCloud(1, CALM)

    async def use(fabric: af.Fabric) -> None:
        with pytest.raises(af.AttemptTimeout, match="timeout=300 s"):
            await fabric.map(too_long, range(2))
        assert cloud.now == pytest.approx(300.52)
        with pytest.raises(af.AttemptTimeout):
            await fabric.map(stubborn, range(1))

    run(cloud, use)
    assert cloud.ledger.total.billed_seconds == pytest.approx(3 * 300 + 2 * 0.5)


def test_what_calls_print_is_kept_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    cloud = SimulatedCloud(1, CALM)

    async def use(fabric: af.Fabric) -> str:
        print("driver")
        call = fabric.submit(talk, 5)
        await call
        return call.logs

    assert run(cloud, use) == "call 5\n"
    assert capsys.readouterr().out == "driver\n"


def test_attempts_tell_simulated_times() -> None:
    cloud = SimulatedCloud(1, CALM)

    async def use(fabric: af.Fabric) -> af.Attempt:
        call = fabric.submit(two_seconds, 5)
        await call
        return call.attempts[-1]

    attempt = run(cloud, use)
    assert attempt.run == 2.0
    assert attempt.queue == pytest.approx(0.52)
    assert attempt.cold
    assert attempt.worker == "environment 1"


def test_plain_functions_are_outside_the_loop() -> None:
    cloud = SimulatedCloud(1, CALM)

    async def use(fabric: af.Fabric) -> list[int]:
        return await fabric.map(uses_a_loop, [4])

    assert run(cloud, use) == [4]


# runs


def test_runs_of_a_cloud_go_on_where_the_last_one_ended() -> None:
    cloud = SimulatedCloud(1, CALM)

    async def first() -> None:
        await cloud.store.put("k", b"v")
        async with cloud.fabric() as fabric:
            await fabric.map(two_seconds, range(3), chunksize=1)

    async def second() -> bytes:
        async with cloud.fabric() as fabric:
            await fabric.map(two_seconds, range(3), chunksize=1)
        return bytes(await cloud.store.get("k"))

    cloud.run(first)
    then = cloud.now
    assert then > 2.5
    assert cloud.run(second) == b"v"
    assert cloud.now > then + 2
    assert cloud.ledger.total.cold_starts == 3


def test_what_nobody_waits_for_is_billed_to_its_end() -> None:
    cloud = SimulatedCloud(1, CALM)

    async def use(fabric: af.Fabric) -> None:
        calls = [fabric.submit(two_seconds, number) for number in range(5)]
        await asyncio.wait(calls, timeout=1.0)

    run(cloud, use)
    assert cloud.ledger.total.billed_seconds == pytest.approx(5 * 2.5)


def test_a_failure_names_its_seed() -> None:
    cloud = SimulatedCloud(42)

    async def main() -> None:
        raise LookupError

    with pytest.raises(LookupError) as caught:
        cloud.run(main)
    assert any("SimulatedCloud(seed=42" in note for note in caught.value.__notes__)


def test_what_a_failure_says_replays_it() -> None:
    profile = Profile.harsh().but(failures=0.7)
    first = SimulatedCloud(7, profile, history=True)

    async def use(fabric: af.Fabric) -> None:
        await fabric.map(two_seconds, range(100), chunksize=1)

    with pytest.raises(af.InvocationError) as caught:
        run(first, use)
    said = next(note for note in caught.value.__notes__ if note.endswith(" replays this"))
    again: SimulatedCloud = eval(said.removesuffix(" replays this"), dict(vars(testing)))
    assert (again.seed, again.profile) == (7, profile)
    again = SimulatedCloud(again.seed, again.profile, history=True)
    with pytest.raises(af.InvocationError, match=re.escape(str(caught.value).split(" (")[0])):
        run(again, use)
    assert str(again.history) == str(first.history)
    assert again.ledger == first.ledger


def test_a_fabric_is_for_inside() -> None:
    with pytest.raises(af.ConfigurationError, match=r"inside cloud\.run"):
        SimulatedCloud().fabric()


def sleeps(x: int) -> int:
    time.sleep(0.001)
    return x


async def sleeps_too(x: int) -> int:
    time.sleep(0.001)
    return x


@pytest.mark.parametrize("function", [sleeps, sleeps_too])
def test_a_call_that_sleeps_for_real_is_told_so(function: Any) -> None:
    cloud = SimulatedCloud(1, CALM)
    real = time.sleep

    async def use(fabric: af.Fabric) -> None:
        time.sleep(0)
        with pytest.raises(RuntimeError, match=r"say asyncfabric\.testing\.spend\(0\.001\)"):
            await fabric.submit(function, 1)

    run(cloud, use)
    assert time.sleep is real


def test_programs_that_are_none() -> None:
    cloud = SimulatedCloud(1, CALM)

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"can't run inside another one; call cloud\.run"):
            cloud.run(main)

    asyncio.run(main())
    wrong: Any
    for wrong, said in ((main(), "has been called already"), (None, "is no program")):
        with pytest.raises(TypeError, match=said):
            cloud.run(wrong)
    wrong = Profile.heavy
    with pytest.raises(af.ConfigurationError, match=r"give a Profile, such as Profile\.heavy"):
        SimulatedCloud(1, wrong)
    with pytest.raises(af.ConfigurationError, match="0 for an outage"):
        cloud.concurrency = -1


def test_functions_that_make_no_sense() -> None:
    cloud = SimulatedCloud(1, CALM.but(concurrency=10))

    async def main() -> None:
        cloud.fabric(function="f", memory=512, reserved=8)
        cloud.fabric(function="f")  # the same one
        for options, said in (
            ({"function": "f", "memory": 1024}, "'f' has memory=512 and reserved=8 already"),
            ({"function": "g", "reserved": 3}, "reserved=3 is more than is left of the account's"),
            ({"function": "g", "memory": 0}, "memory=0 makes no sense"),
        ):
            given: dict[str, Any] = options
            with pytest.raises(af.ConfigurationError, match=said):
                cloud.fabric(**given)
        assert "g" not in cloud.ledger.functions

    cloud.run(main)


def draws(_: int) -> float:
    return float(af.current().rng().random())


def test_random_numbers_of_calls_come_from_the_seed() -> None:
    def drawn(seed: int) -> list[float]:
        async def use(fabric: af.Fabric) -> list[float]:
            return await fabric.map(draws, range(5))

        numbers: list[float] = run(SimulatedCloud(seed, CALM), use)
        return numbers

    assert drawn(1) == drawn(1) != drawn(2)


def test_maps_share_by_their_weights() -> None:
    cloud = SimulatedCloud(1, CALM, record=True)

    async def main() -> None:
        async with cloud.fabric(max_concurrency=40) as fabric:
            maps = [
                fabric.with_options(weight=weight).map(two_seconds, range(400), chunksize=1)
                for weight in (1.0, 3.0)
            ]
            await asyncio.gather(*(asyncio.wait_for(each, None) for each in maps))

    cloud.run(main)
    light, heavy = (
        sum(record.job == job and record.began < 15 for record in cloud.ledger.records)
        for job in (1, 2)
    )
    assert heavy / light == pytest.approx(3, rel=0.1)


def test_the_same_seed_has_the_same_history(tmp_path: Path) -> None:
    def history(seed: int) -> SimulatedCloud:
        cloud = SimulatedCloud(seed, Profile.harsh(), history=True)

        async def use(fabric: af.Fabric) -> list[Any]:
            return await fabric.map(two_seconds, range(200), chunksize=1, return_exceptions=True)

        run(cloud, use, max_concurrency=20)
        return cloud

    one, two, other = history(1), history(1), history(2)
    assert one.history is not None
    assert two.history is not None
    assert other.history is not None
    assert str(one.history) == str(two.history)
    assert one.history.digest == two.history.digest != other.history.digest
    one.history.dump(tmp_path / "history")
    assert (tmp_path / "history").read_text() == str(one.history)


def test_nothing_refers_to_a_cloud_that_is_gone() -> None:
    cloud = SimulatedCloud(1, CALM)

    async def use(fabric: af.Fabric) -> None:
        await fabric.map(two_seconds, range(3), results="ref")

    run(cloud, use)
    assert cloud.store.url not in _stores
    gone = weakref.ref(cloud)
    del cloud
    gc.collect()
    assert gone() is None
