"""A copy of a call is kept from the worker that the call hangs on."""

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import asyncfabric as af
from asyncfabric.backends.local import LocalBackend
from asyncfabric_runtime import Envelope, Plan
from asyncfabric_runtime._values import Encoded
from tests.api.work import note, noted, square_async

if TYPE_CHECKING:
    from asyncfabric.backends.local._worker import Worker


class _Worker:
    """A worker with so many calls on it."""

    def __init__(self, calls: int, *, full: bool = False) -> None:
        self.calls = calls
        self.free = False
        self.full = full
        self.got: list[int] = []

    def room(self, *, is_async: bool) -> bool:
        return not self.full

    def launch(self, envelope: Envelope, code: dict[str, bytes], seconds: float | None) -> None:
        self.got.append(envelope.flight)


def _launched(slow: _Worker, other: _Worker, copy_of: int | None) -> list[_Worker]:
    backend: Any = LocalBackend(2)
    backend._workers = [slow, other]
    backend._homes = {7: slow}
    backend._ticking = True
    plan = Plan(job="j", function="f", is_async=True)
    envelope = Envelope(plan, 8, range(1), 1, Encoded(None, [0]), [], [])
    envelope.copy_of = copy_of
    backend.launch(envelope, {}, None)
    return [worker for worker in (slow, other) if worker.got]


def test_a_copy_goes_to_another_worker_though_that_has_more_to_do() -> None:
    slow, other = _Worker(1), _Worker(9)
    assert _launched(slow, other, 7) == [other]


def test_what_is_no_copy_goes_where_least_is_to_do() -> None:
    slow, other = _Worker(1), _Worker(9)
    assert _launched(slow, other, None) == [slow]


def test_a_copy_goes_there_where_no_other_has_room() -> None:
    slow, other = _Worker(1), _Worker(9, full=True)
    assert _launched(slow, other, 7) == [slow]


class _Noting(LocalBackend):
    """Notes where copies go, and where what they are copies of is."""

    def __init__(self) -> None:
        super().__init__(2)
        self.noted: list[tuple[Worker | None, Worker]] = []

    def launch(self, envelope: Envelope, code: dict[str, bytes], seconds: float | None) -> None:
        super().launch(envelope, code, seconds)
        if envelope.copy_of is not None:
            self.noted.append((self._homes.get(envelope.copy_of), self._homes[envelope.flight]))


async def hang_at_first(directory: str, x: int) -> int:
    """Take some milliseconds; the first execution of two of the calls takes hours."""
    note(directory, str(x))
    first = x in {74, 149} and noted(Path(directory))[str(x)] == 1
    await asyncio.sleep(3600 if first else 0.004)
    return x


@pytest.mark.leaky("a worker whose cancelled call doesn't end soon is replaced")
async def test_copies_are_launched_as_such(tmp_path: Path) -> None:
    backend = _Noting()
    async with af.Fabric(backend, hedge=af.Hedge(least=0.05)) as fabric:
        await fabric.warm(2)
        await fabric.map(square_async, range(150))
        function = partial(hang_at_first, str(tmp_path))
        assert await fabric.map(function, range(150)) == list(range(150))
    assert backend.noted
    assert all(slow is not other for slow, other in backend.noted)
