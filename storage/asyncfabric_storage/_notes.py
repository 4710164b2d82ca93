"""Notes of failures: where nobody waits for a worker's answer, it says there why a call failed.

A note decides nothing: the call may be run again, by whoever launches it again. It is sealed with
the attempt's token, as a result is, and its number is the epoch of the driver that left the call.
"""

from typing import TYPE_CHECKING

from ._commits import create

if TYPE_CHECKING:
    from ._commits import Attempt
    from ._protocol import ObjectStore

LONGEST_TEXT = 32 * 1024
"""Characters of a failure's message and of its traceback."""
MOST_PICKLED = 64 * 1024
"""Bytes of a pickled exception; a larger one is told by its text alone."""


async def note(
    store: "ObjectStore",
    attempt: "Attempt",
    *,
    kind: str,
    type_name: str,
    message: str,
    traceback: str,
    pickled: bytes,
) -> None:
    """Note that an attempt failed; the first note of several executions stays.

    Raises:
        IntegrityError: what is there is no record.
        StorageError: the store kept failing.
    """
    head = {
        "kind": kind,
        "message": message[:LONGEST_TEXT],
        "traceback": traceback[-LONGEST_TEXT:],
        "type": type_name[:LONGEST_TEXT],
    }
    pickled = pickled if len(pickled) <= MOST_PICKLED else b""
    await create(store, attempt.root, attempt.noted(head, pickled))
