"""When a call that takes long is worth a copy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """When a call that runs for long is launched once more, so that the first answer counts.

    Some workers are slow, or get stuck, through no fault of the call. A call that plainly outlives
    the `quantile` of those that have finished gets a copy, if there is room and nothing else to
    launch. The first answer settles the call, the other copies are stopped where the backend can
    stop them, and what they answer is dropped. So a function with effects of its own (files it
    writes, services it calls) may run twice at a time: say `idempotent=False` or `hedge=None` where
    it must not.

        patient = fabric.with_options(hedge=Hedge(factor=2.0))

    Attributes:
        quantile: share of the calls that are faster than what is usual.
        margin: how far beyond the quantile a call is late, as a share of the quantile's distance
            from the median. Where times differ by chance alone, one in two hundred is then late.
        factor: nothing is late before so many times the median.
        copies: a call runs at so many places at a time at most, the first included.
        share: copies are at most this share of all calls, or three.
        least: seconds; nothing is late before.
    """

    quantile: float = 0.95
    margin: float = 0.5
    factor: float = 1.1
    copies: int = 3
    share: float = 0.1
    least: float = 0.2

    def __post_init__(self) -> None:
        if not (0.5 < self.quantile < 1 and self.margin >= 0 and self.factor >= 1):  # noqa: PLR2004
            msg = (
                f"Hedge(quantile={self.quantile}, margin={self.margin}, factor={self.factor}): a "
                "quantile between 0.5 and 1, a margin of 0 or more, a factor of 1 or more"
            )
            raise ValueError(msg)
        if self.copies < 2:  # noqa: PLR2004 - the call itself, and a copy
            msg = f"Hedge(copies={self.copies}) allows no copy; give hedge=None to make none"
            raise ValueError(msg)
        if not (0 <= self.share <= 1 and self.least >= 0):
            msg = (
                f"Hedge(share={self.share}, least={self.least}): a share of the calls between 0 "
                "and 1, and seconds, 0 or more"
            )
            raise ValueError(msg)
