"""What local workers tell of running calls."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from asyncfabric_runtime import current
from tests.backends.helpers import Bench


def _loaded_late() -> str:
    time.sleep(0.05)
    return "loaded"


class _LoadsSlowly:
    """Takes a while to be unpickled, as what imports much does."""

    def __reduce__(self) -> tuple[Callable[[], str], tuple[()]]:
        return _loaded_late, ()


def _wait(_: object, go: str) -> None:
    while not Path(go).exists():
        time.sleep(0.001)


def _tell(go: str) -> None:
    here, began = current(), time.monotonic()
    while not Path(go).exists():
        here.progress(min(0.9, (time.monotonic() - began) / 60))
        time.sleep(0.001)


async def test_calls_begin_when_their_code_is_loaded(bench: Bench, tmp_path: Path) -> None:
    go = str(tmp_path / "go")
    flight = bench.launch(partial(_wait, _LoadsSlowly()), [go])
    await bench.heard.until(lambda: bench.heard.began)
    assert not bench.heard.ended(flight)  # it is told while they run
    Path(go).touch()
    await bench.heard.until(lambda: bench.heard.ended(flight))
    assert [each for each, _ in bench.heard.began] == [flight]


async def test_nothing_is_told_of_what_begins_at_once(bench: Bench) -> None:
    await bench.call(abs, -1)
    bench.heard.began.clear()
    for _ in range(20):
        await bench.call(abs, -1, -2)
    assert bench.heard.began == []
    assert bench.heard.progress == []


async def test_progress_of_a_long_call(bench: Bench, tmp_path: Path) -> None:
    go = str(tmp_path / "go")
    flight = bench.launch(_tell, [go])
    await bench.heard.until(lambda: len(bench.heard.progress) >= 4)
    Path(go).touch()
    await bench.heard.until(lambda: bench.heard.ended(flight))
    told: Any = bench.heard.progress
    assert {(each, position) for each, position, _ in told} == {(flight, 0)}
    shares = [share for _, _, share in told]
    assert shares == sorted(shares)
    assert shares[0] < 0.9


async def test_a_stray_thread_is_not_heard(bench: Bench) -> None:
    def leave_behind(x: int) -> int:
        import threading

        here = current()

        def tell() -> None:
            for _ in range(1000):
                here.progress(0.5)
                time.sleep(0.001)

        threading.Thread(target=tell, daemon=True).start()
        return x

    await bench.call(leave_behind, 1)
    await bench.call(time.sleep, 0.3)
    assert bench.heard.progress == []
