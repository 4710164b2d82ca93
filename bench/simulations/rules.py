"""When other systems launch a task once more, as their sources and documentation say."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A task gets one copy when it has run `factor` times the median of those that have ended.

    Attributes:
        share: of the tasks that must have ended first.
        of_started: that share is one of the tasks started so far, not of all.
        factor: how many times longer.
        least: seconds; no threshold is lower.
        fewest: started tasks below which nothing gets a copy.
        interval: seconds between two looks.
        patience: it looks only if a task has ended since, or so many seconds have passed.
    """

    share: float
    of_started: bool = False
    factor: float
    least: float = 0.0
    fewest: int = 0
    interval: float = 0.1
    patience: float = 0.0

    def threshold(self, started: int, tasks: int, durations: list[float]) -> float | None:
        """Return the run time from which on a task gets a copy, or None while none does.

        `durations` are those of the tasks that have ended, ascending.
        """
        if started < self.fewest:
            return None
        if self.of_started:
            place = ceil(started * self.share) - 1
            if len(durations) <= place:
                return None
            return durations[place] * self.factor
        if not durations or len(durations) < max(1, int(tasks * self.share)):
            return None
        return max(self.least, durations[len(durations) // 2] * self.factor)


SPARK_3 = Rule(share=0.75, factor=1.5, least=0.1)
"""Spark's `spark.speculation` up to version 3: quantile 0.75, multiplier 1.5, every 100 ms."""
SPARK_4 = Rule(share=0.9, factor=3.0, least=0.1)
"""The same with the defaults of version 4: quantile 0.9, multiplier 3."""
BACKUPS = Rule(share=0.5, of_started=True, factor=3.0, fewest=10, patience=2.0)
"""cubed's `should_launch_backup`: three times the median once half of the tasks have ended; a look
whenever one ends, and every 2 s."""
