"""An invocation that is held open."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from asyncfabric.backends._heard import Heard
from asyncfabric_runtime import WireError

if TYPE_CHECKING:
    from asyncfabric_runtime import Envelope, Outcome

FUNCTION_SECONDS = 900.0
"""Lambda's longest timeout, which deployed functions have."""
GRACE_SECONDS = 60.0
"""A worker ends a call by itself, and a cold one may have to install packages before: an answer so
late will not come any more."""


class Held:
    """What is remembered of an invocation until it is answered.

    Attributes:
        flight: its number.
        calls: how many it has.
        seconds: how long its answer may take.
        keys: how often credentials had been replaced when it was sent; see `Connection`.
        key: where in the store its envelope is, if it was too large.
        recalled: nobody waits for it any more.
        timeout: seconds that each of them may run; None for as long as the function may.
        once: none of them may run twice.
        launched: when it was launched, in seconds of the loop's clock.
        heard: what was heard of it while it runs.
    """

    __slots__ = (
        "calls",
        "flight",
        "heard",
        "key",
        "keys",
        "launched",
        "once",
        "recalled",
        "seconds",
        "timeout",
    )

    def __init__(self, envelope: Envelope, launched: float) -> None:
        plan = envelope.plan
        self.launched: float = launched
        self.heard = Heard(together=plan.is_async, launched=launched)
        self.flight: int = envelope.flight
        self.calls: int = len(envelope.indices)
        in_turn = 1 if plan.is_async else self.calls
        longest = FUNCTION_SECONDS if plan.timeout is None else plan.timeout * in_turn
        self.seconds: float = min(FUNCTION_SECONDS, longest) + GRACE_SECONDS
        self.key: str | None = None
        self.keys = 0
        self.recalled = False
        self.timeout: float | None = plan.timeout
        self.once: bool = plan.prompt

    def unanswered(self, outcome: Outcome) -> list[int]:
        """Return the positions that an outcome doesn't answer.

        Raises `WireError` where it answers calls that it was not given, or one of them twice, or
        tells of times that are none.
        """
        if not isfinite(sum((outcome.busy, *outcome.phases, *outcome.run))):
            msg = "it tells of times that are none"
            raise WireError(msg)
        every = range(self.calls)
        if not all(place in every for place in outcome.logs):
            msg = "it tells what calls printed that it was not given"
            raise WireError(msg)
        if outcome.positions == every and outcome.answered == self.calls:
            return []
        answered = {*outcome.positions, *outcome.failures, *outcome.elsewhere}
        left = [position for position in every if position not in answered]
        if len(answered) != outcome.answered or len(left) + len(answered) != self.calls:
            msg = "it answers calls that it was not given, or one of them twice"
            raise WireError(msg)
        return left
