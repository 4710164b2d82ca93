"""Heartbeats through S3: a call that is slow by its own word is copied, and nothing is left."""

import time
from pathlib import Path

import pytest

import asyncfabric as af
from asyncfabric.reporting import Event, InvocationLaunched

pytestmark = pytest.mark.timeout(120)
CALLS = 3


def _work(x: int, *, directory: str) -> tuple[int, str]:
    """Tell of progress until there is a copy of the call 0; its first execution is a slow one."""
    here, place = af.current(), Path(directory)
    try:
        (place / f"{x}.begun").touch(exist_ok=False)
    except FileExistsError:
        (place / "copied").touch()
        return x, "again"
    began = time.monotonic()
    while not (place / "copied").exists():
        seconds = time.monotonic() - began
        assert seconds < 60, "nobody copied the call 0"
        here.progress(min(0.9, seconds / 100) / (1 if x else 100))
        time.sleep(0.01)
    return x, "first"


async def test_a_straggler_is_copied_by_its_own_word(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    module = "asyncfabric.backends.aws_lambda._heartbeats.INTERVAL_SECONDS"
    monkeypatch.setattr(module, 0.25)
    copied: list[int] = []

    def note(event: Event, /) -> None:
        if isinstance(event, InvocationLaunched) and event.copy:
            copied.append(event.flight)

    backend = environment["ASYNCFABRIC_BACKEND"] + "&heartbeats=store"
    async with af.Fabric(backend, max_concurrency=CALLS + 1) as fabric:
        fabric._core.observers.append(note)
        shared = {"directory": str(tmp_path)}
        found = await fabric.map(_work, range(CALLS), shared=shared, chunksize=1)
    assert [x for x, _ in found] == list(range(CALLS))
    assert copied
    async with af.Fabric(backend) as another:
        assert [info.key async for info in another.store.list("progress/")] == []
