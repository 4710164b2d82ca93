"""A plan: what has to be done, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ._cloud import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Verb = Literal["create", "update", "upload", "delete"]


@dataclass(frozen=True, slots=True)
class Step:
    """One change."""

    verb: Verb
    what: str
    """What is changed, as `role asyncfabric-eu-west-1-worker`."""
    run: Callable[[], Awaitable[object]]
    why: str = ""
    """What is different now."""
    optional: bool = False
    """Whether the workers run without it: it may be denied."""

    def __str__(self) -> str:
        return f"{self.verb} {self.what}" + (f" ({self.why})" if self.why else "")


async def carry_out(
    steps: Sequence[Step], say: Callable[[str], None], warn: Callable[[str], None]
) -> None:
    """Carry out a plan, saying each step first; what is optional and denied is only warned of."""
    for step in steps:
        say(str(step))
        try:
            await step.run()
        except Refused as error:
            if not (step.optional and error.denied):
                raise
            warn(f"not done, because it is denied: {step}")
