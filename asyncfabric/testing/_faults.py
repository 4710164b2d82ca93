"""Faults on purpose: what may go wrong with a request, chosen by hand or by a seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from asyncfabric._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with one request. Several things may; the usual ones have constructors.

    >>> Fault.throttle(retry_after=1).status
    429

    Attributes:
        delay: seconds before the request is looked at.
        status: HTTP status of an error that is answered instead of running the function.
        code: that error's type, such as `ServiceException`.
        reason: that error's `Reason`, which throttles have.
        retry_after: that error's `Retry-After`, in seconds.
        reset: the connection is reset before the request's body is read; the function doesn't run.
        duplicate: the function runs twice; the answer is that of the first run.
        slow_reply: seconds between the function's end and the answer.
        lost_reply: the function runs, then the connection is reset instead of an answer.
        dropped: an `Event` is taken, and the function never runs.
    """

    delay: float = 0.0
    status: int | None = None
    code: str = "ServiceException"
    reason: str | None = None
    retry_after: float | None = None
    reset: bool = False
    duplicate: bool = False
    slow_reply: float = 0.0
    lost_reply: bool = False
    dropped: bool = False

    @classmethod
    def throttle(
        cls, *, reason: str = "ConcurrentInvocationLimitExceeded", retry_after: float | None = None
    ) -> Fault:
        """Refuse the request with 429 TooManyRequestsException; `retry_after` is in seconds."""
        return cls(
            status=429, code="TooManyRequestsException", reason=reason, retry_after=retry_after
        )

    @classmethod
    def error(cls, status: int = 500, code: str = "ServiceException") -> Fault:
        """Refuse the request with this status and error type."""
        return cls(status=status, code=code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Faults in given shares of all requests, the same ones for the same seed.

    What befalls a request depends on the seed and on its number alone: requests are numbered from
    1 in the order of their arrival. Shares are between 0 and 1 and add up: a request has one of
    429, 5xx, reset, lost reply, duplicate and dropped event, or none. Delays are independent of
    those.

    >>> plan = Faults(seed=7, throttled=0.05, lost=0.01)
    >>> plan(3) == plan(3)
    True

    Attributes:
        seed: what all chances are drawn from.
        throttled: share of 429s.
        errors: share of 5xx: ServiceException (500) and the 502s that Lambda knows.
        reset: share of connections that are reset before the request is read.
        lost: share of replies that are lost: the function runs, the connection is reset.
        duplicated: share of requests for which the function runs twice.
        dropped: share of `Event` requests that are taken, and for which the function never runs.
        delay: mean of the added latency before a request is looked at, in seconds; exponential.
        slow: share of replies that come late, by `slow_seconds`.

    Raises:
        ConfigurationError: shares are negative, or add up to more than 1.
    """

    seed: int = 0
    throttled: float = 0.0
    errors: float = 0.0
    reset: float = 0.0
    lost: float = 0.0
    duplicated: float = 0.0
    dropped: float = 0.0
    delay: float = 0.0
    slow: float = 0.0
    slow_seconds: float = 1.0

    def __post_init__(self) -> None:
        shares, others = self._shares(), (self.slow, self.delay, self.slow_seconds)
        if min(*shares, *others) < 0 or sum(shares) > 1 or self.slow > 1:
            raise ConfigurationError(
                f"{self} makes no sense; shares are not negative and add up to 1 at most"
            )

    def _shares(self) -> tuple[float, ...]:
        """Return the shares in the order of `_KINDS`."""
        return (
            self.throttled,
            self.errors,
            self.reset,
            self.lost,
            self.duplicated,
            self.dropped,
        )

    def __call__(self, number: int) -> Fault | None:
        """Return what befalls the request of that number; None for nothing."""
        chance = Random(f"{self.seed}:{number}")  # noqa: S311 - reproducible, not secret
        delay = chance.expovariate(1 / self.delay) if self.delay else 0.0
        slow = self.slow_seconds if chance.random() < self.slow else 0.0
        shares = self._shares()
        rest = max(0.0, 1.0 - sum(shares))
        (kind,) = chance.choices(tuple(_KINDS), (*shares, rest))
        if kind == "errors":
            status, code = chance.choice(_ERRORS)
            fault = Fault.error(status, code)
        else:
            fault = _KINDS[kind]
        fault = replace(fault, delay=delay, slow_reply=slow)
        return None if fault == Fault() else fault


_KINDS = {
    "throttled": Fault.throttle(),
    "errors": Fault(),
    "reset": Fault(reset=True),
    "lost": Fault(lost_reply=True),
    "duplicated": Fault(duplicate=True),
    "dropped": Fault(dropped=True),
    "none": Fault(),
}
_ERRORS = (
    (500, "ServiceException"),
    (502, "EC2ThrottledException"),
    (502, "EC2UnexpectedException"),
    (502, "ENINotReadyException"),
    (502, "ResourceNotReadyException"),
)


def plan_of(
    faults: Callable[[int], Fault | None] | Iterable[Fault | None] | None,
) -> Callable[[int], Fault | None]:
    """Make a function from a request's number to its fault of whatever a user gave."""
    if faults is None:
        return lambda _: None
    if callable(faults):
        return faults
    queue = iter(faults)
    return lambda _: next(queue, None)
