"""Goals as data, and whether a measured table reaches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from bench.peers import OURS

if TYPE_CHECKING:
    from bench.model import LoopName, Row, TableResult

Better: TypeAlias = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A row of a table, asyncfabric's own unless a peer is named; None stands for any."""

    peer: str = OURS
    way: str
    work: str
    n: int | None
    loop: LoopName | None = None

    def of(self, result: TableResult) -> Row | None:
        """Return the row in a measured table, if it was part of the run."""
        return result.select(peer=self.peer, way=self.way, work=self.work, n=self.n, loop=self.loop)

    def __str__(self) -> str:
        """Return the row as a reader names it."""
        return f"{self.peer} {self.way}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal beside what was measured; `reached` is None when it could not be judged."""

    text: str
    measured: str
    goal: str
    reached: bool | None

    @property
    def word(self) -> str:
        """Return the verdict as the Markdown says it."""
        return {True: "reached", False: "**not reached**", None: "not judged"}[self.reached]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioGoal:
    """Be `factor` times better than another row of the same run, by medians."""

    text: str
    metric: str
    better: Better
    ours: Side
    theirs: Side
    factor: float

    def judge(self, result: TableResult) -> Verdict:
        """Compare the medians of the two rows."""
        goal = f">= {self.factor:g}x"
        ours, our_problem = _median(self.ours, self.metric, result)
        theirs, their_problem = _median(self.theirs, self.metric, result)
        if ours is None or theirs is None:
            return Verdict(self.text, our_problem or their_problem, goal, None)
        good, bad = (ours, theirs) if self.better == "higher" else (theirs, ours)
        if bad == 0:
            return Verdict(self.text, "divisor is zero", goal, None)
        ratio = good / bad
        return Verdict(self.text, f"{ratio:.2f}x", goal, ratio >= self.factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitGoal:
    """Stay on the right side of a fixed figure, in the metric's own unit."""

    text: str
    metric: str
    better: Better
    ours: Side
    limit: float
    unit: str

    def judge(self, result: TableResult) -> Verdict:
        """Compare the row's median with the limit."""
        sign = ">=" if self.better == "higher" else "<="
        goal = f"{sign} {self.limit:,g} {self.unit}"
        value, problem = _median(self.ours, self.metric, result)
        if value is None:
            return Verdict(self.text, problem, goal, None)
        reached = value >= self.limit if self.better == "higher" else value <= self.limit
        return Verdict(self.text, f"{value:,.4g} {self.unit}", goal, reached)


Goal: TypeAlias = RatioGoal | LimitGoal


def _median(side: Side, metric: str, result: TableResult) -> tuple[float | None, str]:
    row = side.of(result)
    if row is None:
        return None, f"{side} was not part of this run"
    value = row.median(metric)
    if value is None:
        return None, f"{side}: {row.status}, {row.reason or 'no such metric here'}"
    return value, ""
