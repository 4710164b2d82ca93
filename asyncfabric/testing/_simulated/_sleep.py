"""Simulated calls must not sleep for real: it would take long, and no simulated time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._meter import running_meter

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def sleep_refused() -> Generator[None]:
    """Have `time.sleep` fail in simulated calls, for as long as this lasts."""
    sleep = time.sleep

    def refuse(seconds: Any, /) -> None:  # noqa: ANN401 - as time.sleep has it
        if running_meter() is not None:
            raise RuntimeError(
                f"time.sleep({seconds!r}) in a simulated call would take real time, and no "
                f"simulated one; say asyncfabric.testing.spend({seconds!r}), which sleeps where "
                "nothing is simulated"
            )
        sleep(seconds)

    time.sleep = refuse
    try:
        yield
    finally:
        if time.sleep is refuse:  # what user code has put there meanwhile stays
            time.sleep = sleep
