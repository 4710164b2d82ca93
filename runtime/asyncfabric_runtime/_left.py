"""Calls that nobody waits for: what would be answered of failures is noted in the store."""

from __future__ import annotations

import asyncio
import sys
import traceback
from typing import TYPE_CHECKING

from ._commits import Commits
from ._failure import LOAD, TIMEOUT, Failure

if TYPE_CHECKING:
    from ._envelope import Envelope
    from ._outcome import Outcome


async def note_failures(envelope: Envelope, outcome: Outcome) -> None:
    """Note why calls failed, and which were not run; what can't be noted goes to the log.

    Raises `WireError` for an envelope whose results could not be committed either.
    """
    if envelope.seals is None:
        return
    commits = Commits(envelope, envelope.seals)
    failures = dict(outcome.failures)
    answered = {*outcome.positions, *outcome.elsewhere, *failures}
    for position in range(len(envelope.indices)):
        if position not in answered:
            failures[position] = _unrun(outcome)
    await asyncio.gather(*(_note(commits, *each) for each in failures.items()))


async def _note(commits: Commits, position: int, failure: Failure) -> None:
    try:
        await commits.note(position, failure)
    except Exception:  # noqa: BLE001 - the others are noted all the same
        sys.stderr.write(f"a failure can't be noted: {failure.type_name}: {failure.message}\n")
        traceback.print_exc()


def _unrun(outcome: Outcome) -> Failure:
    """Tell why a call has no answer: its code was deleted, or there was no time left for it."""
    if outcome.lacks:
        text = (
            f"the code {outcome.lacks[0]} is not in the store any more, or the worker's role may "
            "not read it; launch again"
        )
        return Failure(LOAD, "DeploymentError", text, text)
    text = "no time was left for the call within the function's own timeout"
    return Failure(TIMEOUT, "AttemptTimeout", text, text)
