"""How many invocations a service that throttles is given: at a time, and a second."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from ._limit import Limit

Scarce: TypeAlias = Literal["concurrency", "rate", "reach"]
"""What there was too little of: room, launches a second, or a way to the service at all."""

PAUSE_SECONDS = 0.25
"""The first pause, at most, when everything was refused; it doubles from one to the next."""
LONGEST_PAUSE_SECONDS = 20.0
STALE_SECONDS = 120.0
"""After so long without a refusal, the next one is the first of another story."""
BURST_SECONDS = 0.1
"""Launches that were not made are saved up for so long, at the present rate."""
_NEAR = 0.95
_WINDOW_SECONDS = 1.0
_TICK_SECONDS = 0.01
"""Launches are counted as if they were made at the ticks of a clock."""


class Adaptive:
    """A limit that is found by trying: additive increase, decrease to what was taken.

    What a service took when it refused something is its level. Below the level the limit grows by
    1 with each success, which doubles it in a round. Above, it probes: by `probe` with each
    success, and twice that after each round without a refusal. A refusal brings the limit down to
    what was taken. While the level falls, though, what is above it ends one by one, and it would be
    met again with every launch: so when it has come down by a twentieth, the limit goes down to
    `backoff` of it.

    Args:
        start: the limit to begin with.
        most: its upper bound.
        policy: see `Limit`.

    Attributes:
        limit: what may be used now, at least 1.
        most: as given; with this limit there is nothing to learn from successes.
    """

    __slots__ = ("_backoff", "_clean", "_from", "_gain", "_level", "_probe", "limit", "most")

    def __init__(self, start: float, most: float, policy: Limit) -> None:
        self.limit = start
        self.most = most
        self._level = math.inf
        self._from = 0.0
        """The level that it is seen to fall from."""
        self._backoff, self._probe = policy.backoff, policy.probe
        self._gain = policy.probe
        self._clean = 0

    def succeeded(self, used: float) -> None:
        """Know that something was taken, with so much in use."""
        if 2 * used < self.limit:
            return  # the limit is not what holds the work back, so this says nothing of it
        if self.limit < self._level:
            limit = min(self.limit + 1.0, self._level)
        else:
            limit = self.limit + self._gain
            self._clean += 1
            if self._clean >= self.limit:
                self._clean, self._gain = 0, min(1.0, 2.0 * self._gain)
        self.limit = min(limit, self.most)

    def refused(self, taken: float) -> None:
        """Know that something was refused when so much was taken."""
        limit = self._level = max(1.0, taken)
        if limit > self._from:
            self._from = limit
        elif limit < _NEAR * self._from:
            self._from = limit
            limit = max(1.0, self._backoff * limit)
        self.limit = min(self.limit, limit)
        self._gain, self._clean = self._probe, 0


class Pauses:
    """Waits when everything is refused: with full jitter, each twice as long as the one before.

    From Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Args:
        patience: refusal of everything for so many seconds is no passing state.

    Attributes:
        opens: when it is worth trying again, in seconds of the caller's clock.
    """

    __slots__ = ("_count", "_last", "_patience", "_since", "opens")

    def __init__(self, patience: float) -> None:
        self.opens: float = 0.0
        self._last = -math.inf
        self._patience = patience
        self._count = 0
        self._since: float | None = None

    def succeeded(self) -> None:
        """Know that something was taken."""
        self._since, self._count = None, 0

    def refused(
        self, now: float, chance: float, retry_after: float | None = None, *, at_work: bool = False
    ) -> None:
        """Know that something was refused.

        Args:
            now: the time, in seconds of the caller's clock.
            chance: a random number from [0, 1).
            retry_after: seconds to wait, if the service said so.
            at_work: something else was launched before and isn't done, so that there is hope.
        """
        if now - self._last > STALE_SECONDS:
            self.succeeded()
        self._last = now
        if self._since is None and not at_work:
            self._since = now
        if self.opens <= now:
            # A whole wave may come back refused: it is one pause, not as many as there were.
            pause = min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2.0 ** min(self._count, 60))
            self._count += 1
            self.opens = now + chance * pause
        if retry_after is not None:
            self.opens = max(self.opens, now + min(retry_after, LONGEST_PAUSE_SECONDS))

    def is_hopeless(self, now: float) -> bool:
        """Tell whether the caller's patience is at its end."""
        return self._since is not None and now - self._since >= self._patience


class Throttle:
    """What is known of a service's limits: of how much at a time, and of how much a second.

    Args:
        most: invocations at a time at most; None for no bound.
        policy: see `Limit`.
    """

    __slots__ = ("_has_rate", "_launches", "_pauses", "_rate", "_seen", "_slots", "_tokens")

    def __init__(self, most: int | None, policy: Limit) -> None:
        start = policy.start if most is None else min(most, policy.start)
        self._slots = Adaptive(float(start), math.inf if most is None else float(most), policy)
        self._rate = Adaptive(math.inf, math.inf, policy)
        self._has_rate = False
        """It is known only once something was refused for it."""
        self._pauses = Pauses(policy.patience)
        self._launches = 0.0
        """Launches that were not refused, those of long ago counting less: in all as many as in the
        last second."""
        self._tokens = 0.0
        self._seen = 0.0

    @property
    def limit(self) -> int:
        """Invocations at a time."""
        return int(self._slots.limit)

    @property
    def rate(self) -> float | None:
        """Invocations a second; None while nothing was refused for it."""
        return self._rate.limit if self._has_rate else None

    def room(self, now: float, in_flight: int) -> int:
        """Return how many invocations may be launched beside those in flight."""
        if now < self._pauses.opens:
            return 0
        room = int(self._slots.limit) - in_flight
        if self._has_rate:
            self._pass(now)
            room = min(room, int(self._tokens))
        return max(0, room)

    def opens(self, now: float) -> float | None:
        """Return when there may be room without an answer; None if only answers make room."""
        if now < self._pauses.opens:
            return self._pauses.opens
        if self._has_rate:
            self._pass(now)
            if self._tokens < 1.0:
                # A little more than the difference, so that rounding doesn't ask once again.
                return now + (1.0 - self._tokens) / self._rate.limit + 1e-6
        return None

    def launched(self, now: float) -> None:
        """Know that an invocation is on its way."""
        if self._has_rate or now - self._seen > _TICK_SECONDS:
            self._pass(now)
        self._launches += 1.0
        if self._has_rate:
            self._tokens -= 1.0
            self._rate.succeeded(self._launches)

    def answered(self, in_flight: int) -> None:
        """Know that an invocation ran, with so many in flight, itself included."""
        self._pauses.succeeded()
        if self._slots.limit < self._slots.most:
            self._slots.succeeded(in_flight)

    def refused(
        self, now: float, in_flight: int, scarce: Scarce, chance: float, retry_after: float | None
    ) -> None:
        """Know that an invocation was refused, with so many others in flight."""
        self._pass(now)
        self._launches = max(0.0, self._launches - 1.0)
        if scarce == "rate":
            self._has_rate = True
            self._rate.refused(self._launches / _WINDOW_SECONDS)
            self._tokens = min(self._tokens, 0.0)
        elif scarce == "concurrency":
            self._slots.refused(in_flight)
        # Where the service answers, the next answer of what is at work is the better moment.
        if not in_flight or scarce == "reach":
            self._pauses.refused(now, chance, retry_after, at_work=in_flight > 0)

    def is_hopeless(self, now: float) -> bool:
        """Tell whether nothing was taken for too long."""
        return self._pauses.is_hopeless(now)

    def _pass(self, now: float) -> None:
        """Let the time pass."""
        seconds, self._seen = now - self._seen, now
        if seconds > 0:
            self._launches *= math.exp(-seconds / _WINDOW_SECONDS)
            if self._has_rate:
                rate = self._rate.limit
                self._tokens = min(max(1.0, BURST_SECONDS * rate), self._tokens + seconds * rate)
