"""The real driver under 500 random programs on random clouds; `seeds` runs as many as one likes."""

import os
import subprocess
import sys
from typing import Any

import pytest

from asyncfabric._deliveries import Buffered
from asyncfabric._dispatch import Dispatcher
from asyncfabric._run import Run
from asyncfabric.scheduling import Admission, Block, Budget, FanOut
from asyncfabric.testing import Profile

from .auditor import Audit
from .seeds import command, main

SEEDS = 500
_AT_ONCE = 50


@pytest.mark.parametrize("first", range(0, SEEDS, _AT_ONCE))
def test_whatever_the_seed(first: int) -> None:
    for seed in range(first, first + _AT_ONCE):
        try:
            Audit(seed).run()
        except BaseException as error:
            error.add_note(f"seed {seed} failed; repeat it: {command(seed)}")
            raise


@pytest.mark.parametrize("seed", [3, 17, 94])
def test_a_seed_replays_byte_by_byte(seed: int) -> None:
    one, two = Audit(seed), Audit(seed)
    one.run()
    two.run()
    assert str(one.cloud.history) == str(two.cloud.history)
    assert one.cloud.history is not None
    assert len(one.cloud.history.lines) > 1
    assert one.cloud.ledger == two.cloud.ledger


def test_processes_agree_whatever_their_hashes() -> None:
    """Neither the order of a set nor an address nor the time of day decides anything."""
    said = {
        subprocess.run(
            [sys.executable, "-m", "tests.testing.simulated.digest", "100", "25"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "12345")
    }
    assert len(said) == 1
    assert len(said.pop().splitlines()) == 25


# The auditor must see what it is there to see.


def _some_seed_fails(first: int = 0, seeds: int = 40) -> bool:
    for seed in range(first, first + seeds):
        try:
            Audit(seed).run()
        except AssertionError:
            return True
    return False


def test_it_sees_a_slot_that_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    landed = Admission[Run].landed
    count = 0

    def leaky(admission: Admission[Run], attempts: int) -> None:
        nonlocal count
        count += 1
        landed(admission, attempts if count % 50 else 0)

    monkeypatch.setattr(Admission, "landed", leaky)
    assert _some_seed_fails()


def test_it_sees_results_in_the_wrong_order(monkeypatch: pytest.MonkeyPatch) -> None:
    collect = Buffered._collect

    def shuffled(buffered: Buffered, block: Block) -> None:
        collect(buffered, block)
        if buffered.results is not None:
            buffered.results[:2] = reversed(buffered.results[:2])

    monkeypatch.setattr(Buffered, "_collect", shuffled)
    assert _some_seed_fails()


def test_it_sees_a_limit_that_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Admission, "room", _plenty)
    monkeypatch.setattr("asyncfabric.testing._simulated._backend.SimulatedBackend.room", _plenty)
    assert _some_seed_fails()


def _plenty(*_: object) -> int:
    return 1000


def test_it_sees_timers_that_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = Dispatcher.leave

    def forgetful(dispatcher: Dispatcher, run: Run) -> None:
        leave(dispatcher, run)
        dispatcher.loop.call_later(1e5, print)

    monkeypatch.setattr(Dispatcher, "leave", forgetful)
    assert _some_seed_fails()


def test_it_sees_an_attempt_that_is_not_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    def lenient(dispatcher: Dispatcher, flight: int, *_: object, **__: object) -> None:
        dispatcher.on_returned(flight, None)

    monkeypatch.setattr(Dispatcher, "on_lost", lenient)
    assert _some_seed_fails()


def test_it_sees_a_throttle_that_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    def charging(dispatcher: Dispatcher, flight: int, *, error: Exception, **_: object) -> None:
        dispatcher.on_lost(flight, None, error, "nowhere", ran=False)

    monkeypatch.setattr(Dispatcher, "on_throttled", charging)
    assert _some_seed_fails()


def test_it_sees_a_budget_that_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def generous(_: Budget) -> bool:
        return True

    monkeypatch.setattr(Budget, "spend", generous)
    assert _some_seed_fails(260)


def test_it_sees_copies_of_what_must_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncfabric._launch.FanOut", _copying)
    assert _some_seed_fails()


def _copying(*arguments: Any, **options: Any) -> FanOut:
    return FanOut(*arguments, **{**options, "idempotent": True})


# The command.


def test_the_command_names_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Audit.run

    def failing(audit: Audit) -> None:
        run(audit)
        assert audit.seed != 7

    monkeypatch.setattr(Audit, "run", failing)
    assert main(["--first", "6", "--seeds", "3"]) == 1
    said = capsys.readouterr().out
    assert "repeat it: python -m tests.testing.simulated.seeds --first 7 --seeds 1" in said
    assert "3 seeds, 1 failed: [7]" in said


def test_the_command_has_days(capsys: pytest.CaptureFixture[str]) -> None:
    assert Audit(1, "harsh").scenario.profile == Profile.harsh()
    assert command(1, "harsh").endswith("--first 1 --seeds 1 --day harsh")
    assert main(["--first", "1", "--seeds", "2", "--day", "harsh"]) == 0
    assert "all passed" in capsys.readouterr().out


def test_the_command_writes_a_history(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"{tmp_path}/history"
    assert main(["--first", "3", "--seeds", "1", "--history", path]) == 0
    assert "all passed" in capsys.readouterr().out
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        assert " launch job " in file.read()
