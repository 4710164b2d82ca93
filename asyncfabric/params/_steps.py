"""Operations without IO: generators that yield commands and are sent the replies.

So each operation is written once; a coroutine or a blocking loop carries it out.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from ._errors import ParameterError, ParameterNotFound

if TYPE_CHECKING:
    from ._scripts import Script

T = TypeVar("T")

Word: TypeAlias = bytes | str | int
Command: TypeAlias = tuple[Any, ...]
Reply: TypeAlias = Any
"""What Redis answered: bytes, int, None, a list of these, or the exception of a failed command."""

BATCH_BYTES: Final = 4 * 1024 * 1024
"""About how much one step sends or asks for: bounds buffers on both sides, and for how long one
script occupies Redis (some milliseconds)."""
BATCH_SHARDS: Final = 64
STAGED_TRIES: Final = 3
"""How often what is laid aside first, and is gone when it is to be put in force, is sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Replies to one step's commands, in their order.

    Attributes:
        replies: one for each command.
        incarnation: of the server's process; another one may have forgotten what this one knew.
    """

    replies: Sequence[Reply]
    incarnation: str


class Later(list[Command]):
    """Commands that somebody may send now and read the replies to later."""


class Only(list[Command]):
    """Commands for one incarnation of the server; another one isn't sent them, nothing is replied.

    Attributes:
        incarnation: that which they are for.
    """

    def __init__(self, incarnation: str, *commands: Command) -> None:
        super().__init__(commands)
        self.incarnation = incarnation


Steps: TypeAlias = Generator[Sequence[Command], Answer, T]


def call(script: Script, keys: Sequence[str], *arguments: Word) -> Command:
    """Return the command that runs a script."""
    return ("EVALSHA", script.digest, len(keys), *keys, *arguments)


def ask(*commands: Command) -> Steps[Answer]:
    """Yield commands, return their answer; raises what went wrong with the first that failed."""
    answer = yield commands
    raise_first(answer.replies)
    return answer


def nothing(found: T) -> Steps[T]:
    """Ask for nothing and return what is known."""
    yield ()
    return found


def raise_first(replies: Sequence[Reply]) -> None:
    """Raise what went wrong with the first that failed."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise translated(reply) from None


def status(reply: Reply) -> str:
    """Return what a script says first."""
    word: str = reply[0].decode()
    return word


def batches(sizes: Sequence[int]) -> list[range]:
    """Cut positions into runs of at most `BATCH_BYTES` together and `BATCH_SHARDS` in number."""
    runs: list[range] = []
    start = total = 0
    for at, size in enumerate(sizes):
        if at > start and (total + size > BATCH_BYTES or at - start >= BATCH_SHARDS):
            runs.append(range(start, at))
            start, total = at, 0
        total += size
    runs.append(range(start, len(sizes)))
    return runs


def text_of(error: Exception) -> str:
    """Return an error as Redis said it: redis-py takes the code away that it begins with."""
    code = getattr(error, "status_code", None)
    return f"{code} {error}" if code else str(error)


def translated(error: Exception) -> Exception:
    """Return Redis's error as one of ours that says what to do."""
    text = text_of(error)
    # In a script the code comes after what Redis says of the script.
    if "OOM " in text:
        return ParameterError(
            "Redis has reached its memory limit and applied nothing; raise its maxmemory, or "
            "delete what is no longer needed. A parameter takes up to five times its own size, "
            "with its log"
        )
    if "WRONGTYPE" in text:
        return ParameterError(
            "Redis holds something else under one of this server's keys; nothing was changed. "
            "Choose another name= or prefix=, or delete that key"
        )
    if "NOPERM" in text:
        return ParameterError(
            f"this Redis user may not do that ({text}); a parameter server needs "
            "'+@read +@write +@scripting +@transaction +@connection +info' on the keys '~{PREFIX:*'"
        )
    if "MOVED" in text or "CLUSTERDOWN" in text or "CROSSSLOT" in text:
        return ParameterError(
            "this is a node of a Redis cluster that doesn't hold this server's keys "
            f"({text}); give the address of the node that does: all keys of a server are in one "
            "slot"
        )
    return ParameterError(f"Redis refused: {text}")


def gone(name: str) -> ParameterNotFound:
    """Return the error for a parameter parts of which are missing."""
    return ParameterNotFound(
        f"parts of parameter {name!r} are gone from Redis: it evicted or lost them. Put it anew or "
        "restore a snapshot, and set maxmemory-policy to noeviction"
    )


def evicted(name: str) -> ParameterError:
    """Return the error for what Redis drops again and again before it is complete."""
    return ParameterError(
        f"Redis dropped parts of {name!r} before all of it was there, {STAGED_TRIES} times, and "
        "changed nothing. It evicts keys: set its maxmemory-policy to noeviction, and its "
        "maxmemory to what the model needs"
    )


def not_found(name: str) -> ParameterNotFound:
    """Return the error for a parameter that isn't there."""
    return ParameterNotFound(
        f"there is no parameter {name!r}: put it first. If it was there before, Redis has been "
        "restarted without its data: restore a snapshot"
    )
