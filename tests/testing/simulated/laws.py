"""What must hold of a run when it is over: of the ledger, its records, and the driver's events."""

from __future__ import annotations

from collections import Counter, defaultdict
from math import inf
from typing import TYPE_CHECKING

from asyncfabric.reporting import CallsAnswered, CallsReturned, InvocationLaunched, WorkerLost
from asyncfabric.scheduling import _budget
from asyncfabric.testing._simulated._backend import TIMEOUT_SECONDS

if TYPE_CHECKING:
    from asyncfabric.testing import AttemptRecord

    from .auditor import Audit

_MOMENT = 1e-9


def check(audit: Audit) -> None:
    """Raise an AssertionError that says what doesn't hold."""
    _check_sums(audit)
    _check_calls(audit)
    _check_budget(audit)
    _check_waits(audit)
    if not audit.closed:
        _check_events(audit)


def _check_sums(audit: Audit) -> None:
    """See that the ledger is the sum of its attempts."""
    ledger = audit.cloud.ledger
    total, records = ledger.total, ledger.records
    fates = Counter(record.outcome.partition(" ")[0] for record in records)
    assert total.served == len(records)
    assert total.attempts == sum(record.calls for record in records)
    assert total.copies == sum(record.copies for record in records)
    assert total.failed == fates["failed"]
    assert total.lost == fates["lost"]
    assert total.duplicates == fates["duplicate"]
    assert total.invocations == total.throttled + total.served - total.duplicates
    assert total.cold_starts == sum(record.cold for record in records)
    for name, function in ledger.functions.items():
        own = [record for record in records if record.function == name]
        billed = sum(record.billed for record in own)
        memory = next(
            (each.get("memory", 1769) for each in audit.scenario.fabrics
             if each.get("function", "worker") == name), 1769
        )  # fmt: skip
        assert abs(function.billed_seconds - billed) < 1e-6
        assert abs(function.gigabyte_seconds - billed * memory / 1024) < 1e-6
        assert function.attempts == sum(record.calls for record in own)
    assert all(record.billed >= record.ended - record.began for record in records)
    assert list(ledger.completed) == sorted(ledger.completed)
    answered = sum(
        record.calls for record in records if record.outcome in {"answered", "duplicate"}
    )
    assert len(ledger.completed) <= answered


def _check_calls(audit: Audit) -> None:
    """See what became of each call, by the cloud's records."""
    calls = defaultdict[tuple[int, int], list[tuple["AttemptRecord", int]]](list)
    for record in audit.cloud.ledger.records:
        for index, attempt in zip(record.indices, record.attempts, strict=True):
            calls[record.job, index].append((record, attempt))
    for (job, index), served in calls.items():
        _Call(audit, job, index, served).check()


class _Call:
    """One call, and where it ran."""

    def __init__(
        self, audit: Audit, job: int, index: int, served: list[tuple[AttemptRecord, int]]
    ) -> None:
        self.audit = audit
        self.scenario = audit.scenario
        self.name = f"call {index} of job {job}"
        self.revived = audit.revived.get(job)
        self.known = audit.fan_outs.get(job)
        self.input = None if self.known is None else self.known[index]
        self.stopped = audit.stopped.get((job, index), inf)
        self.all = served
        self.own = [each for each in served if each[0].outcome != "duplicate"]

    def check(self) -> None:
        self._check_attempts()
        if self.revived is None:
            self._check_charges()
            self._check_no_more_than_once()
            self._check_nothing_after_the_answer()
        else:
            again = [each for record, each in self.own if record.asked >= self.revived - _MOMENT]
            assert not again or min(again) == 1, f"{self.name} didn't begin anew"
        late = [record for record, _ in self.own if self._is_for_nobody(record)]
        assert not late, f"{self.name} was launched after it was over: {late}"

    def _is_for_nobody(self, record: AttemptRecord) -> bool:
        """Tell whether an invocation was launched after all its calls were over.

        One that is stored first may have lost some of them meanwhile.
        """
        stopped = self.audit.stopped
        return record.asked > self.stopped + _MOMENT and all(
            record.asked > stopped.get((record.job, index), inf) for index in record.indices
        )

    def _check_attempts(self) -> None:
        """See that attempts keep within the policy, and that each number was an attempt.

        A throttle, or a call that came back unrun, that were charged would leave a gap.
        """
        numbers = {attempt for _, attempt in self.own}
        assert numbers == set(range(1, max(numbers) + 1)), f"{self.name}: {numbers}"
        assert max(numbers) <= self.scenario.retry.attempts, f"{self.name}: {numbers}"

    def _check_charges(self) -> None:
        """See that no attempt was for nothing: a number is used again for copies only.

        And where nobody knows which call of an invocation ended its worker, or there was no time
        left for it.
        """
        for number in {attempt for _, attempt in self.own}:
            again = [record for record, attempt in self.own if attempt == number]
            free = sum(
                (record.outcome == "failed worker" and len(record.indices) > 1)
                or (record.outcome == "answered" and record.calls < len(record.indices))
                for record in again
            )
            most = (1 + free) * self.scenario.copies
            assert len(again) <= most, f"{self.name}, attempt {number}: {again}"

    def _check_no_more_than_once(self) -> None:
        """See that a call that must not be repeated, isn't."""
        if not self.scenario.idempotent:
            unrun = sum(
                record.outcome == "answered" and record.calls < len(record.indices)
                for record, _ in self.own
            )
            assert len(self.own) - unrun <= 1, f"{self.name}: {self.own}"

    def _check_nothing_after_the_answer(self) -> None:
        """See that what is answered isn't launched again."""
        if self.input is None or self.input.raises == "always" or self.known is None:
            return
        fine = [
            record.ended
            for record, attempt in self.all
            if record.outcome == "answered"
            and record.calls == len(record.indices)
            and not (self.input.raises == "first" and attempt == 1)
            and record.ended - record.began < TIMEOUT_SECONDS  # else it is a timeout's answer
            # A large answer is fetched first.
            and not any(self.known[index].answer for index in record.indices)
        ]
        answered = min(fine, default=inf)
        late = [
            record
            for record, _ in self.own
            if record.asked > answered + _MOMENT
            # What is large is stored first; what else the invocation carries was decided before.
            and not any(self.known[index].body for index in record.indices)
        ]
        assert not late, f"{self.name} was launched after its answer came: {late}"


def _check_budget(audit: Audit) -> None:
    """See that repetitions of failures that are nobody's keep within their budget."""
    records, scenario = audit.cloud.ledger.records, audit.scenario
    if audit.revived:
        return  # what was given up is begun with fresh attempts
    fleeting = {
        each.index for job in scenario.jobs for each in job.inputs if each.raises == "first"
    }
    repeated = 0
    good = 0
    highest = defaultdict[tuple[int, int], int](int)
    for record in records:
        good += record.calls * (record.outcome in {"answered", "duplicate"})
        for index, attempt in zip(record.indices, record.attempts, strict=True):
            inputs = audit.fan_outs.get(record.job)
            own = inputs is None or inputs[index].index in fleeting
            highest[record.job, index] = max(highest[record.job, index], 0 if own else attempt)
    repeated = sum(max(0, number - 1) for number in highest.values())
    most = len(scenario.fabrics) * _budget.START + _budget.SHARE * good
    assert repeated <= most, f"{repeated} repetitions, of {most} at most"


def _check_waits(audit: Audit) -> None:
    """See that a call that was refused waits for as long as the service asked for."""
    wait = audit.scenario.profile.retry_after
    if wait is None or audit.scenario.copies > 1 or audit.revived:
        return
    refused: dict[str, float] = {}
    for line in str(audit.cloud.history).splitlines():
        seconds, what, *rest = line.split()
        if what == "throttled":
            refused[" ".join(rest[1:])] = float(seconds)
        elif what == "launch":
            calls = " ".join(rest[: rest.index("attempt")])
            job, _, which = calls.partition(" flight ")
            own = [name for name in refused if _carries(name, job, which.partition(" calls ")[2])]
            for name in own:
                assert float(seconds) >= refused.pop(name) + wait - _MOMENT, line


def _carries(name: str, job: str, calls: str) -> bool:
    """Tell whether a launch has the first call of what was refused."""
    refused, _, rest = name.partition(" flight ")
    first = int(rest.partition(" calls ")[2].partition("..")[0])
    return refused == job and int(calls.partition("..")[0]) == first


def _check_events(audit: Audit) -> None:
    """See that the driver's own account is that of the cloud."""
    left = Counter[tuple[int, int]]()
    launched = copies = 0
    for place, event in audit.events:
        if isinstance(event, InvocationLaunched):
            left[place, event.flight] += event.calls
            launched += 1
            copies += event.calls if event.copy else 0
        elif isinstance(event, CallsAnswered):
            left[place, event.flight] -= event.finished + event.failed
        elif isinstance(event, CallsReturned | WorkerLost):
            left[place, event.flight] -= event.calls
    assert not any(left.values()), {flight: n for flight, n in left.items() if n}
    ledger, scenario = audit.cloud.ledger, audit.scenario
    if not any(job.shape == "retry" for job in scenario.jobs):
        # A map that is taken up again repeats calls whose first attempt still runs on Lambda.
        assert ledger.total.copies <= copies
        assert ledger.most_copies <= scenario.copies
    # An envelope that goes through the store may be taken back before it is invoked.
    stored = any(each.body for job in scenario.jobs for each in job.inputs)
    invoked = ledger.total.invocations
    assert invoked <= launched if stored else invoked == launched
