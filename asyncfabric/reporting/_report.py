"""What a Fabric's calls have come to so far."""

from __future__ import annotations

from dataclasses import dataclass

from asyncfabric._stats import MapStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a Fabric has done since it was first used. `str(report)` says it in a sentence or two.

    Attributes:
        calls: the calls of all its maps and submits together.
        invocations: messages sent to workers, of one call or many.
        cold: invocations that were their worker's first.
        lost: invocations whose worker died or was stopped, that of a copy that lost among them.
        throttled: invocations that the service had no room for; they are sent again, uncharged.
        limit: how much may be in flight just now: on AWS Lambda invocations, else calls. None for
            as much as keeps the workers busy.
        rate: how many invocations a second may be launched just now; None for any number.
    """

    calls: MapStats = MapStats()  # noqa: RUF009 - frozen
    invocations: int = 0
    cold: int = 0
    lost: int = 0
    throttled: int = 0
    limit: int | None = None
    rate: float | None = None

    def __str__(self) -> str:
        calls = self.calls
        limit = "" if self.limit is None else f", at most {self.limit:,} at a time now"
        rate = "" if self.rate is None else f", at most {self.rate:,.0f} a second now"
        return (
            f"{calls.finished:,} calls finished, {calls.failed:,} failed, {calls.in_flight:,} at "
            f"the workers; {calls.attempts:,} attempts, {calls.repeated:,} of them repeated, "
            f"{calls.copies:,} copies ({calls.copies_won:,} won). "
            f"{self.invocations:,} invocations: {self.cold:,} cold, {self.lost:,} lost, "
            f"{self.throttled:,} throttled{limit}{rate}"
        )
