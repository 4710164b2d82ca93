"""The most memory that any process below this one had."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.processes import descendants

if TYPE_CHECKING:
    from types import TracebackType

_SECONDS = 0.05


class Peaks:
    """Looks every 50 ms while its `with` block runs; Linux keeps the peak of each process.

    Attributes:
        largest: bytes of the largest process, 0 where the system doesn't tell.
        grown: bytes by which one grew that was there at the begin; of those, the most.
    """

    def __init__(self) -> None:
        self.largest = self.grown = 0
        self._first: dict[int, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._first = {pid: _bytes(pid, "VmRSS") for pid in _pids()}
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Look once more."""
        self._end.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._end.wait(_SECONDS):
            self._look()

    def _look(self) -> None:
        for pid in _pids():
            peak = _bytes(pid, "VmHWM")
            self.largest = max(self.largest, peak)
            if pid in self._first:
                self.grown = max(self.grown, peak - self._first[pid])


def _pids() -> list[int]:
    return [process.pid for process in descendants(os.getpid())]


def _bytes(pid: int, field: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:  # gone in the meantime
        return 0
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return 0
