"""What an invocation is at, told through the store while it runs: for doors that answer once.

A heartbeat is an empty object whose *name* says everything, so that one listing brings all news of
all workers and nothing has to be read:

    PREFIX/FLIGHT.NUMBER.POSITION.SECONDS[.SECONDS.FRACTION.SECONDS.FRACTION]

The numbers are whole: `NUMBER` counts the invocation's heartbeats, seconds are in milliseconds and
fractions in millionths; see `Report`. Who reads a name trusts nothing of it.
"""

from __future__ import annotations

import re
import sys
import threading
from time import perf_counter
from typing import TYPE_CHECKING

from asyncfabric_storage import open_store

from ._progress import Mark, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._invocation import Invocation

_MILLI, _MILLION = 1000, 1_000_000
_NAME = re.compile(r"(\d{1,15})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9})\.(\d{1,7})){0,2}")
_SETTLED_SECONDS = 0.001
_LONGEST_SECONDS = 1.0
"""A write that can't even be cancelled holds up an answer for so long."""
_FAILURES = 3
"""After so many in a row an invocation tries no more."""


def name_of(flight: int, number: int, report: Report) -> str:
    """Return the name that says what an invocation is at."""
    numbers = [flight, number, report.position, int(report.seconds * _MILLI)]
    for mark in report.marks:
        numbers += [int(mark.seconds * _MILLI), int(mark.fraction * _MILLION)]
    return ".".join(map(str, numbers))


def read_name(name: str) -> tuple[int, int, Report] | None:
    """Read what `name_of` made: flight, number and report; None for anything else."""
    if not name.isascii() or _NAME.fullmatch(name) is None:
        return None
    flight, number, position, seconds, *rest = map(int, name.split("."))
    marks = tuple(
        Mark(when / _MILLI, part / _MILLION)
        for when, part in zip(rest[::2], rest[1::2], strict=True)
    )
    times = [0.0, *(mark.seconds for mark in marks), seconds / _MILLI]
    parts = [0.0, *(mark.fraction for mark in marks), 1.0]
    if times != sorted(times) or parts != sorted(parts):
        return None
    return flight, number, Report(position, seconds / _MILLI, marks)


class Heartbeat:
    """Writes what an invocation is at, every so often, if that is news.

    A thread does it, which ends with the invocation: Lambda would freeze it in the middle of what
    it does. The calls are neither held up nor failed by it.

    Args:
        invocation: which one.
        prefix: what stands before the names.
        interval: seconds between two heartbeats, and before the first.
    """

    def __init__(self, invocation: Invocation, prefix: str, interval: float) -> None:
        self._invocation = invocation
        self._prefix = prefix
        self._interval = interval
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._cancel: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._run, name="asyncfabric-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, in the middle of a write, too."""
        with self._lock:
            self._over.set()
            if self._cancel is not None:
                self._cancel()
        self._thread.join(_LONGEST_SECONDS)

    def _run(self) -> None:
        if self._over.wait(self._interval):
            return  # as most invocations do
        import asyncio

        try:
            asyncio.run(self._beat())
        except asyncio.CancelledError:
            return
        except Exception as error:  # noqa: BLE001 - it is no call's failure
            _complain(error)

    async def _beat(self) -> None:
        import asyncio

        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101 - this is one
        with self._lock:
            if self._over.is_set():
                return
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            await self._write_all()
        finally:
            with self._lock:
                self._cancel = None

    async def _write_all(self) -> None:
        import asyncio

        # Not the one that calls use: it belongs to their loop.
        store = open_store(self._invocation.plan.store_url or "")
        told: tuple[object, object] | None = None
        number = failures = 0
        try:
            while failures < _FAILURES and not self._over.is_set():
                report = await self._report()
                if report is not None and (report.position, report.marks) != told:
                    number += 1
                    name = name_of(self._invocation.envelope.flight, number, report)
                    try:
                        async with asyncio.timeout(self._interval):
                            await store.put(f"{self._prefix}/{name}", b"")
                    except Exception as error:  # noqa: BLE001 - whatever the store has against it
                        failures += 1
                        _complain(error)
                    else:
                        told, failures = (report.position, report.marks), 0
                await asyncio.sleep(self._interval)
        finally:
            await store.aclose()

    async def _report(self) -> Report | None:
        """Return what the invocation is at, or None between two calls and before the first."""
        import asyncio

        invocation = self._invocation
        told = None if invocation.progress is None else invocation.progress.report()
        if told is not None:
            return told
        if invocation.plan.is_async:
            places = range(len(invocation.envelope.indices))
            position = next(filter(invocation.runs, places), None)
        else:
            since, page = invocation.since, invocation.page[0]
            # Both are written when a call begins, one after the other.
            await asyncio.sleep(_SETTLED_SECONDS)
            if (since, page) != (invocation.since, invocation.page[0]):
                return None
            place = page - invocation.announced
            position = place if 0 <= place < len(invocation.envelope.indices) else None
        return None if position is None else Report(position, perf_counter() - invocation.since)


def _complain(error: Exception) -> None:
    sys.stderr.write(f"asyncfabric: a heartbeat can't be written: {error!r}\n")
