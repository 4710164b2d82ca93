"""Who is under way where, and what is written down of it: the ledger's and the history's clerk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._ledger import AttemptRecord

if TYPE_CHECKING:
    import asyncio

    from asyncfabric_runtime import Outcome

    from ._beats import Beats
    from ._function import Environment
    from ._history import History
    from ._ledger import Ledger
    from ._work import Work

_MILLISECOND = 1e-3


class Served:
    """An invocation in an environment.

    Attributes:
        work: the invocation.
        environment: where.
        slow: how many times longer everything takes.
        start: seconds that the environment took to start.
        first: it is not the service's own duplicate.
        began: when the environment was ready, in simulated seconds.
        calls: how many of its calls were begun.
        fate: "answered", "failed ...", "lost".
        beats: its reports of progress.
        foreseen: what becomes of it has been drawn.
    """

    __slots__ = (
        "beats",
        "began",
        "calls",
        "environment",
        "fate",
        "first",
        "foreseen",
        "slow",
        "start",
        "work",
    )

    def __init__(
        self, work: Work, environment: Environment, slow: float, start: float, *, first: bool
    ) -> None:
        self.work = work
        self.environment = environment
        self.slow = slow
        self.start = start
        self.first = first
        self.began = 0.0
        self.calls = 0
        self.fate = "answered"
        self.beats: Beats | None = None
        self.foreseen = False


class Accounts:
    """Keeps the ledger, and the history if there is one.

    Args:
        ledger: what it all comes to.
        history: what happens, line by line, or None.
        record: every served invocation is recorded.
        loop: whose clock counts.
    """

    def __init__(
        self,
        ledger: Ledger,
        history: History | None,
        loop: asyncio.AbstractEventLoop,
        *,
        record: bool,
    ) -> None:
        self._ledger = ledger
        self._history = history
        self._record = record
        self._loop = loop
        self._under_way: dict[tuple[int, int], list[int]] = {}
        """For each call: at how many places it is, and whether it has been answered."""

    def asked(self, work: Work) -> None:
        """Write down that an invocation was asked for."""
        now = work.asked = self._loop.time()
        ledger = self._ledger
        work.function.ledger.invocations += 1
        if ledger.first is None:
            ledger.first = now
        under_way, job, most = self._under_way, work.job, ledger.most_copies
        for index in work.envelope.indices:
            entry = under_way.get((job, index))
            if entry is None:
                entry = under_way[job, index] = [0, 0]
            else:
                work.copies += 1
            entry[0] += 1
            most = max(most, entry[0])
        ledger.most_copies = most
        if self._history is not None:
            self._note(f"launch {work.name} attempt {work.envelope.attempt(0)}")

    def served(self, served: Served) -> None:
        """Write down that an invocation got an environment."""
        work, function = served.work, served.work.function.ledger
        function.served += 1
        if served.first:
            function.copies += work.copies
        else:
            function.duplicates += 1
        if self._history is not None:
            what = "serve" if served.first else "duplicate"
            where = f"environment {served.environment.number} x {served.slow!r}"
            self._note(f"{what} {work.name} on {where}")

    def beaten(self) -> None:
        """Write down a worker's heartbeat, which is a write to the store."""
        self._ledger.requests["put"] += 1

    def answered(self, work: Work, outcome: Outcome) -> None:
        """Write down the calls that are answered for the first time."""
        ledger, indices, job = self._ledger, work.envelope.indices, work.job
        ledger.failures += len(outcome.failures)
        for position in (*outcome.positions, *outcome.elsewhere):
            entry = self._under_way[job, indices[position]]
            if not entry[1]:
                entry[1] = 1
                ledger.last = self._loop.time()
                ledger.completed.append(ledger.last)

    def over(self, work: Work, fate: str) -> None:
        """Know that an invocation is not under way any more."""
        under_way, job = self._under_way, work.job
        for index in work.envelope.indices:
            entry = under_way[job, index]
            entry[0] -= 1
            if not entry[0]:
                del under_way[job, index]
        if self._history is not None:
            self._note(f"{fate} {work.name}")

    def billed(self, served: Served) -> None:
        """Write down what an invocation costs."""
        work, now = served.work, self._loop.time()
        ledger = work.function.ledger
        billed = -(-(now - served.began + served.start) // _MILLISECOND) * _MILLISECOND
        ledger.billed_seconds += billed
        ledger.gigabyte_seconds += billed * work.function.memory / 1024
        ledger.attempts += served.calls
        fate = served.fate if served.first else "duplicate"
        if fate.startswith("failed"):
            ledger.failed += 1
        elif fate == "lost":
            ledger.lost += 1
        if self._record:
            envelope = work.envelope
            indices = tuple(envelope.indices)
            record = AttemptRecord(
                function=work.function.name,
                job=work.job,
                flight=envelope.flight,
                indices=indices,
                attempts=tuple(map(envelope.attempt, range(len(indices)))),
                calls=served.calls,
                copies=work.copies if served.first else 0,
                asked=work.asked,
                began=served.began,
                ended=now,
                billed=billed,
                outcome=fate,
                slow=served.slow,
                cold=served.start > 0,
            )
            self._ledger.records.append(record)

    def _note(self, text: str) -> None:
        assert self._history is not None  # noqa: S101 - asked before
        self._history.lines.append(f"{self._loop.time()!r} {text}")
