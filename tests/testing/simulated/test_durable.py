"""Durable jobs under random programs that die; `seeds --jobs` runs as many as one likes."""

import re

import pytest

from asyncfabric.jobs import _job
from asyncfabric.jobs._indices import Indices
from asyncfabric_storage import MemoryStore, _commits
from asyncfabric_storage._sealed import Sealed

from .durable import Durable
from .seeds import command, main

SEEDS = 100
_AT_ONCE = 25


@pytest.mark.parametrize("first", range(0, SEEDS, _AT_ONCE))
def test_whatever_the_seed(first: int) -> None:
    for seed in range(first, first + _AT_ONCE):
        try:
            Durable(seed).run()
        except BaseException as error:
            error.add_note(f"seed {seed} failed; repeat it: {command(seed, jobs=True)}")
            raise


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seed_replays_byte_by_byte(seed: int) -> None:
    one, two = Durable(seed), Durable(seed)
    one.run()
    two.run()
    assert str(one.cloud.history) == str(two.cloud.history)
    assert one.story == two.story
    assert one.cloud.ledger == two.cloud.ledger
    assert _but_the_manifest(one) == _but_the_manifest(two)


def _but_the_manifest(run: Durable) -> dict[str, bytes]:
    """Return the objects that don't tell the real time of day."""
    return {key: data for key, data in run.objects().items() if "/names/" not in key}


# The auditor must see what it is there to see.


def _some_seed_fails(what: str) -> bool:
    for seed in range(40):
        try:
            Durable(seed).run()
        except AssertionError as error:
            return re.search(what, str(error)) is not None
    return False


def test_it_sees_inputs_that_are_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> Indices:
        return Indices()

    monkeypatch.setattr(_job, "list_done", nothing)
    assert _some_seed_fails("had it run at|launched calls")


def test_it_sees_results_that_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def replacing(
        store: MemoryStore, root: str, mine: Sealed, *_: object, **__: object
    ) -> _commits.Commit:
        await store.put(f"{root}/{mine.place}", mine.body)
        return _commits.Commit("won", mine)

    monkeypatch.setattr(_commits, "create", replacing)
    assert _some_seed_fails("was written again")


# The command.


def test_the_command_runs_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--first", "1", "--seeds", "2", "--jobs"]) == 0
    assert "all passed" in capsys.readouterr().out
    assert command(3, jobs=True).endswith("--first 3 --seeds 1 --jobs")
