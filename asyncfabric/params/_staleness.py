"""How old the values were from which pushes were computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._checks import parameter_name
from ._steps import ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._place import Place
    from ._steps import Steps


@dataclass(frozen=True, slots=True)
class Staleness:
    """A distribution: how many pushes were applied between a pull and the push computed from it.

    Pushes that were given no `version=` aren't in it, nor those refused for `max_staleness`.

    Attributes:
        counts: pushes between -> how often. From 1,024 on, powers of two: "from so many to less
            than twice as many".
    """

    counts: Mapping[int, int]

    @property
    def pushes(self) -> int:
        """How many pushes were measured."""
        return sum(self.counts.values())

    @property
    def mean(self) -> float:
        """Mean; 0 if nothing was measured."""
        total = sum(late * count for late, count in self.counts.items())
        return total / max(1, self.pushes)

    @property
    def most(self) -> int:
        """The largest; 0 if nothing was measured."""
        return max(self.counts, default=0)

    def quantile(self, share: float) -> int:
        """Return the smallest number that at least this share of pushes doesn't exceed.

        `quantile(0.5)` is the median. Raises `ValueError` unless 0 <= share <= 1.
        """
        if not 0 <= share <= 1:
            msg = f"quantile({share}): give a share from 0 to 1"
            raise ValueError(msg)
        reached = 0
        for late, count in sorted(self.counts.items()):
            reached += count
            if reached >= share * self.pushes:
                return late
        return 0

    def __str__(self) -> str:
        if not self.pushes:
            return "no push said what version it was computed from"
        return (
            f"{self.pushes} pushes, staleness mean {self.mean:.2f}, median {self.quantile(0.5)}, "
            f"p95 {self.quantile(0.95)}, most {self.most}"
        )


def staleness(place: Place, name: str) -> Steps[Staleness]:
    """Read the distribution of a parameter's pushes."""
    parameter_name(name)
    yield from place.layout(name)  # an error for a name that isn't there
    answer = yield from ask(("HGETALL", place.keys.staleness(name)))
    reply = answer.replies[0]
    counts = {int(late): int(count) for late, count in zip(reply[::2], reply[1::2], strict=True)}
    return Staleness(dict(sorted(counts.items())))
