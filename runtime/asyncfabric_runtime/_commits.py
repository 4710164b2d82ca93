"""The commits of an invocation of a durable job: what is recorded is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncfabric_storage._commits import INLINE_BYTES, Attempt, commit, is_done
from asyncfabric_storage._sealed import KEY_BYTES, SUBJECT_BYTES

from ._stores import open_shared_store
from ._wire import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncfabric_storage._buffers import Buffer

    from ._envelope import Envelope, Seals
    from ._failure import Failure

PICKLE, DATA = "pickle", "data"
"""The codecs of results: packed by `_packing`, and by `_data`."""


class Commits:
    """Commits the results of the calls of one envelope."""

    def __init__(self, envelope: Envelope, seals: Seals) -> None:
        """Raises `WireError` for seals that are not of this envelope's calls."""
        count = len(envelope.indices)
        sizes = len(seals.subjects), len(seals.tokens)
        if envelope.plan.area is None or sizes != (count * SUBJECT_BYTES, count * KEY_BYTES):
            msg = "an envelope of a durable job has not what its calls seal their results with"
            raise WireError(msg)
        self._envelope = envelope
        self._seals = seals

    @property
    def repeated(self) -> list[int]:
        """Places of the calls that were at a worker before, which may have committed them."""
        envelope = self._envelope
        if envelope.attempts == 1:
            return []
        return [place for place in range(len(envelope.indices)) if envelope.attempt(place) > 1]

    async def done(self, positions: Iterable[int]) -> list[int]:
        """Return those of some calls that have a result, or failed for good.

        What can't be found out now is found out when the result is committed.
        """
        import asyncio

        store = open_shared_store(self._envelope.plan.store_url)
        wanted = list(positions)
        found = await asyncio.gather(
            *(is_done(store, self._attempt(position)) for position in wanted)
        )
        return [position for position, done in zip(wanted, found, strict=True) if done]

    async def commit(self, position: int, pieces: list[Buffer]) -> bool:
        """Make a packed result the call's, unless it has one; tell whether the answer may carry it.

        It may not if another execution's was first, or if it is large: the driver reads it from the
        store then, as whoever comes after it does.

        Raises `StorageError`.
        """
        store = open_shared_store(self._envelope.plan.store_url)
        size = sum(memoryview(piece).nbytes for piece in pieces)
        codec = DATA if self._envelope.plan.data_results else PICKLE
        done = await commit(store, self._attempt(position), codec, pieces)
        return done.verdict == "won" and size <= INLINE_BYTES

    async def note(self, position: int, failure: Failure) -> None:
        """Note why a call failed, where nobody waits for the answer. Raises `StorageError`."""
        from asyncfabric_storage._notes import note

        await note(
            open_shared_store(self._envelope.plan.store_url),
            self._attempt(position),
            kind=failure.kind,
            type_name=failure.type_name,
            message=failure.message,
            traceback=failure.traceback,
            pickled=failure.pickled or b"",
        )

    def _attempt(self, position: int) -> Attempt:
        envelope, seals = self._envelope, self._seals
        area: Any = envelope.plan.area
        return Attempt(
            area,
            envelope.indices[position],
            envelope.attempt(position),
            seals.nonce,
            seals.subjects[position * SUBJECT_BYTES : (position + 1) * SUBJECT_BYTES],
            seals.tokens[position * KEY_BYTES : (position + 1) * KEY_BYTES],
        )
