"""Calls of a plain function, one after another."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from ._context import Slot, enter, leave
from ._failure import ARGUMENT, USER, Failure, failure_of, timed_out, traceback_of
from ._limit import AttemptExpired

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._invocation import Invocation
    from ._outcome import Outcome

FLUSH_SECONDS = 0.001
"""Results wait at most about this long for company before they are sent."""

_WENT_ON = "The function caught the exception that was to end it, and returned.\n"


def run_plain(invocation: Invocation, emit: Callable[[Outcome], None] | None) -> None:
    """Run the calls that wait, in this thread; emit outcomes on the way if there is an `emit`.

    Calls that no time is left for stay with the invocation, unanswered.
    """
    record = invocation.record
    slot = Slot(invocation, 0, record.transcripts)
    entered = enter(slot)
    try:
        while True:
            try:
                _run_each(invocation, slot, emit)
            except AttemptExpired as error:
                # It was raised in the moment between a call's end and its being noted.
                if record.positions[-1:] != [slot.position]:
                    failure = timed_out(invocation.plan.timeout, traceback_of(error))
                    record.failures.setdefault(slot.position, failure)
            else:
                return
    finally:
        invocation.over = True
        leave(entered)


def _run_each(invocation: Invocation, slot: Slot, emit: Callable[[Outcome], None] | None) -> None:
    record, page, announced = invocation.record, invocation.page, invocation.announced
    limit = invocation.limit
    take = invocation.pending.popleft
    one = invocation.plan.convention == "one" and not invocation.keywords
    function = invocation.function if one else invocation.invoke
    kinds, bodies = invocation.envelope.inputs
    as_they_are = kinds is None and not invocation.plan.data_inputs
    argument_of = bodies.__getitem__ if as_they_are else invocation.argument
    interval = 0.0 if invocation.plan.prompt else FLUSH_SECONDS
    due = perf_counter() + interval
    flush, commits = _flush_of(invocation, emit), record.commits is not None
    while True:
        try:
            position = take()
        except IndexError:
            return
        slot.position = position
        page[0] = announced + position
        invocation.since = started = perf_counter()
        failure: Failure | None = None
        kind = ARGUMENT
        try:
            if limit is not None and not limit.begin(position, started):
                invocation.pending.appendleft(position)
                return
            argument = argument_of(position)
            started = perf_counter()
            kind = USER
            value = function(argument)
            now = perf_counter()
            if limit is not None and (late := limit.end()) is not None:
                failure = timed_out(late, _WENT_ON)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises
            now = perf_counter()
            late = None if limit is None else limit.end()
            as_text = invocation.plan.data_results
            failure = failure_of(error, kind, late, as_text=as_text)
        else:
            if failure is None:
                record.add(position, value, now - started)
        if failure is not None:
            record.failures[position] = failure
        if now >= due and flush is not None:
            flush()
            after = perf_counter()
            # Where a commit takes long, more results go together: half the time at most is theirs.
            due = after + (max(interval, after - now) if commits else interval)


def _flush_of(
    invocation: Invocation, emit: Callable[[Outcome], None] | None
) -> Callable[[], None] | None:
    """Return what is done with results from time to time; None where they wait for the end."""
    if emit is not None:
        return lambda: emit(invocation.gathered(final=False))
    if invocation.record.commits is not None and not invocation.in_loop:
        return invocation.keep  # they are lasting then, though all answers leave together
    return None
