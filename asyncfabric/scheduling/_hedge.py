"""When a call that takes long is worth a copy."""

from __future__ import annotations

from dataclasses import dataclass

from ._sane import is_between, is_count, refuse

_LEAST_CHANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """When a call that runs for long is launched once more, so that the first answer counts.

    Some workers are slow, or get stuck, through no fault of the call. A call that takes longer than
    the others' times make believable gets a copy, if there is room and nothing else to launch. The
    first answer settles the call, the other copies are stopped where the backend can stop them, and
    what they answer is dropped. So a function with effects of its own (files it writes, services it
    calls) may run twice at a time: say `idempotent=False` or `hedge=None` where it must not.

        patient = fabric.with_options(hedge=Hedge(factor=2.0))

    Attributes:
        chance: a call is late when so small a share of the others would take so long by chance, and
            late enough for a further copy at a fifth of it.
        factor: nothing is late before so many times what is usual.
        copies: a call is launched at so many places at most, the first included, until it is
            repeated.
        share: copies are at most this share of all invocations, or three.
        least: seconds; nothing is late before.
    """

    chance: float = 0.0125
    factor: float = 1.1
    copies: int = 4
    share: float = 0.1
    least: float = 0.2

    def __post_init__(self) -> None:
        if not is_between(self.chance, _LEAST_CHANCE, 0.5) or self.chance == 0.5:  # noqa: PLR2004
            refuse("Hedge", "chance", self.chance, "a share above 0 and below 0.5")
        if not is_between(self.factor, 1.0):
            refuse("Hedge", "factor", self.factor, "how many times what is usual, 1 or more")
        if not is_count(self.copies, 2):
            wanted = "2 or more, the call itself included; hedge=None makes no copies"
            refuse("Hedge", "copies", self.copies, wanted)
        if not is_between(self.share, 0.0, 1.0):
            refuse("Hedge", "share", self.share, "a share of all invocations between 0 and 1")
        if not is_between(self.least, 0.0):
            refuse("Hedge", "least", self.least, "seconds, 0 or more")
