"""The one stateless function: every backend is a door to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._invocation import Invocation
from ._process import Process

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._envelope import Envelope
    from ._outcome import Outcome

_process = Process()


def execute(envelope: Envelope, emit: Callable[[Outcome], None] | None = None) -> Outcome:
    """Run an invocation to its end and return its last outcome.

    Earlier outcomes go to `emit` as they come, about every millisecond; without it there is just
    the one. For code that is not in an event loop; user errors are part of the outcome, so nothing
    is raised for them.
    """
    invocation = Invocation(envelope, _process)
    if not envelope.plan.is_async:
        return invocation.run(emit)
    last: list[Outcome] = []

    def keep_last(outcome: Outcome) -> None:
        if outcome.final:
            last.append(outcome)
        elif emit is not None:
            emit(outcome)

    _process.wait_for(invocation.run_here(keep_last, stream=emit is not None))
    return last[0]
