"""The commit of a result: the first execution of an input that gets its record in has won.

The record is created under the input's own key, and only if there is none. Whether that happened
can be uncertain (an answer got lost, the store failed after it wrote), so "there is one already"
and every failure are followed by a look at what is there: mine, another's, or nothing.

Nothing is believed of an answer but what the record says. Not even the attempt's own number tells
two executions apart: a message delivered twice runs the same attempt twice. So each execution draws
a name of its own, and large data is written under that; and under a secret beside it, since the
record tells the name to whoever may read there, and who knows where data lies could replace it.
"""

import os
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from . import _job_places as places
from ._digest import digest
from ._errors import IntegrityError, ObjectNotFound, StorageError
from ._sealed import DONE, FIXED_BYTES, KEY_BYTES, NOTED, parse, read_sealed, seal

if TYPE_CHECKING:
    from ._buffers import Data
    from ._protocol import ObjectStore
    from ._sealed import Sealed

Verdict = Literal["won", "lost"]

INLINE_BYTES = 256 * 1024
"""A result of up to so many bytes rides in its record: one request instead of two."""
MAX_RECORD_BYTES = FIXED_BYTES + 1024 * 1024 + INLINE_BYTES
"""The largest record of a result or failure."""
RESULT_FIELDS: dict[str, type] = {"codec": str, "size": int, "digest": str, "execution": str}

_DATA_DOMAIN = b"asyncfabric data of a result 1\0"
_TRIES = 4
_LONGEST_CODEC = 16


class Attempt:
    """One attempt at one input, with what its worker needs to commit it.

    Attributes:
        area: the job's own place in the store: `jobs/{area}`.
        index: which input.
        number: 1 for the first attempt.
        nonce: random, of the invocation.
        subject: the digest of the input.
    """

    __slots__ = ("_token", "area", "index", "nonce", "number", "subject")

    def __init__(
        self, area: str, index: int, number: int, nonce: bytes, subject: bytes, token: bytes
    ) -> None:
        if not places.is_area(area) or len(token) != KEY_BYTES:
            msg = "an attempt of a durable job names an area or a token that makes no sense"
            raise ValueError(msg)
        self.area: str = area
        self.index: int = index
        self.number: int = number
        self.nonce: bytes = nonce
        self.subject: bytes = subject
        self._token = token

    @property
    def root(self) -> str:
        """Where the job's objects are."""
        return f"{places.ROOT}/{self.area}"

    def sealed(self, head: "dict[str, Any]", payload: "Data") -> "Sealed":
        """Return the record of a result."""
        place = places.done(self.index)
        body = seal(
            self._token,
            place,
            DONE,
            head,
            payload,
            nonce=self.nonce,
            subject=self.subject,
            index=self.index,
            number=self.number,
        )
        return parse(place, body)

    def noted(self, head: "dict[str, Any]", payload: "Data") -> "Sealed":
        """Return the record of a failure that nobody was told of."""
        place = places.note(self.index, self.number)
        body = seal(
            self._token,
            place,
            NOTED,
            head,
            payload,
            nonce=self.nonce,
            subject=self.subject,
            index=self.index,
            number=self.number,
        )
        return parse(place, body)

    def data_place(self, execution: str) -> str:
        """Return where an execution of this attempt puts a large result."""
        return data_place(self._token, self.index, execution)

    def is_own(self, record: "Sealed") -> bool:
        """Tell whether a record is of this attempt, of whichever execution.

        Raises:
            IntegrityError: it says so and was not sealed by this attempt.
        """
        mine = (DONE, self.nonce, self.index, self.number)
        if (record.kind, record.nonce, record.index, record.number) != mine:
            return False
        record.open(self._token)
        return True

    def __repr__(self) -> str:
        return f"<Attempt {self.number} at input {self.index} of jobs/{self.area}>"

    def __reduce__(self) -> "tuple[Any, ...]":
        msg = "an attempt's token does not travel by pickle; send its parts in the envelope"
        raise TypeError(msg)


class Commit(NamedTuple):
    """How a commit ended.

    Attributes:
        verdict: "won" if this execution's result is the input's, "lost" if another's is.
        record: the record that is there: of the winner, unverified where it is another's.
    """

    verdict: Verdict
    record: "Sealed"


def data_place(token: bytes, index: int, execution: str) -> str:
    """Return where an execution's large result lies: nobody else's token leads there."""
    import hmac

    secret = hmac.digest(token, _DATA_DOMAIN + bytes.fromhex(execution), "sha256")[:16]
    return places.data(index, execution, secret.hex())


async def commit(store: "ObjectStore", attempt: Attempt, codec: str, payload: "Data") -> Commit:
    """Make this result the input's, unless it has one.

    `payload` is one buffer or several; `codec` says how to read it, and is not looked at here. A
    lost execution's data stays in the store until `gc` finds it: workers needn't be able to delete.

    Raises:
        IntegrityError: what is there claims to be of this attempt and is not.
        StorageError: the store kept failing; the result may be committed all the same.
        ValueError: the codec's name is none.
    """
    if not codec.isidentifier() or not codec.isascii() or len(codec) > _LONGEST_CODEC:
        msg = f"{codec!r:.40} is no name of a codec"
        raise ValueError(msg)
    from ._buffers import as_views

    views = as_views(payload)
    size = sum(view.nbytes for view in views)
    execution = os.urandom(16).hex()
    head: dict[str, Any] = {"codec": codec, "size": size, "digest": "", "execution": execution}
    if size > INLINE_BYTES:
        head["digest"] = digest(views)
        await store.put(f"{attempt.root}/{attempt.data_place(execution)}", views)
        views = []
    return await create(store, attempt.root, attempt.sealed(head, views), attempt)


async def create(
    store: "ObjectStore",
    root: str,
    mine: "Sealed",
    attempt: Attempt | None = None,
    *,
    most: int = MAX_RECORD_BYTES,
) -> Commit:
    """Put a record in its place if that is empty, and tell whose is there.

    With the `attempt` that made it, another execution's record of the same attempt is verified. A
    record of more than `most` bytes is none.

    Raises:
        IntegrityError: what is there is no record, or a forged one of this attempt.
        StorageError: the store kept failing.
    """
    for left in reversed(range(_TRIES)):
        doubt: StorageError | None = None
        try:
            if await store.put_if_absent(f"{root}/{mine.place}", mine.body):
                return Commit("won", mine)
        except IntegrityError:
            raise
        except StorageError as error:
            doubt = error  # it may have been written
        try:
            there = await read_sealed(store, root, mine.place, most)
        except ObjectNotFound:
            # Deleted meanwhile, or never written: try again, and tell why not in the end.
            if not left and doubt is not None:
                raise doubt from None
            continue
        except IntegrityError:
            raise
        except StorageError:
            if left:
                continue
            raise
        return Commit(_verdict(there, mine, attempt), there)
    msg = (
        f"{root}/{mine.place} exists by one answer of the store and does not by the next; somebody "
        "deletes it: run the program again when that has ended"
    )
    raise StorageError(msg)


def _verdict(there: "Sealed", mine: "Sealed", attempt: Attempt | None) -> Verdict:
    if there.body == mine.body:
        return "won"
    if attempt is not None:
        attempt.is_own(there)  # an execution of a message that was delivered twice, or a forgery
    return "lost"


async def is_done(store: "ObjectStore", attempt: Attempt) -> bool:
    """Tell whether an input has a record already; nothing is verified, and doubt means no."""
    try:
        await store.get(f"{attempt.root}/{places.done(attempt.index)}", start=0, end=1)
    except StorageError:
        return False
    return True
