"""How much a service that throttles is given at a time."""

from __future__ import annotations

from dataclasses import dataclass

from ._sane import is_between, is_count, refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How a Fabric finds out how many invocations a service takes at a time, and how many a second.

    It never launches more at a time than `max_concurrency`. Below that it begins with `start` and
    doubles with every round of answers until the service refuses something.

        fabric = Fabric("lambda://prices", max_concurrency=5000, limit=Limit(start=10))

    Attributes:
        start: invocations at a time to begin with. Lambda starts 1,000 workers of a function at
            once, and then 100 a second.
        backoff: what is left of the limit when the service takes less than it did before.
        probe: above what the service took last, each answer raises the limit by so much. About so
            many refusals come to an answer where the limit is what holds the work back.
        patience: seconds without a success, and with nothing at work, after which what is
            throttled fails.
    """

    start: int = 1000
    backoff: float = 0.7
    probe: float = 0.05
    patience: float = 60.0

    def __post_init__(self) -> None:
        if not is_count(self.start, 1):
            refuse("Limit", "start", self.start, "a whole number of invocations, 1 or more")
        if not is_between(self.backoff, 0.0, 1.0) or self.backoff in (0, 1):
            refuse("Limit", "backoff", self.backoff, "a share between 0 and 1, such as 0.7")
        if not is_between(self.probe, 0.0, 1.0) or self.probe == 0:
            refuse("Limit", "probe", self.probe, "a share above 0, at most 1, such as 0.05")
        if not is_between(self.patience, 0.0):
            refuse("Limit", "patience", self.patience, "seconds, 0 or more")
