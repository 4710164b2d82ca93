"""What a table is: which cells, how one is measured, what to show and what to reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from bench.goals import Side

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bench.goals import Better, Goal
    from bench.model import Cell, LoopName

Unit: TypeAlias = Literal["number", "rate", "us", "ms", "bytes", "MiB"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A measured figure and how it is shown."""

    name: str
    label: str
    unit: Unit
    better: Better = "lower"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run was asked for: a short form or the real one, and the loop all drivers run on."""

    smoke: bool
    loop: LoopName


@dataclass(frozen=True, slots=True)
class Curve:
    """A chart of completed calls over time: a panel for each work, a line for each row.

    The metric `done_017` is when 17 per cent of the calls were completed, in seconds.
    """

    works: tuple[str, ...]
    points: tuple[int, ...] = (0, 1, 2, 5, *range(10, 100, 5), 96, 97, 98, 99, 100)

    @staticmethod
    def metric(point: int) -> str:
        """Return the name of a point's metric."""
        return f"done_{point:03}"

    def metrics(self, completed: Sequence[float]) -> dict[str, float]:
        """Return the metrics of a run whose calls were completed then, ascending."""
        last = len(completed) - 1
        return {self.metric(point): completed[last * point // 100] for point in self.points}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of the benchmark."""

    name: str
    title: str
    about: str
    headline: Metric
    columns: tuple[Metric, ...]
    cells: Callable[[Plan], Sequence[Cell]]
    measure: Callable[[Cell], Awaitable[Mapping[str, float]]]
    goals: tuple[Goal, ...]
    reference: Callable[[Cell], Side | None]
    """The row of asyncfabric that another row is compared with; None for no comparison."""
    notes: tuple[str, ...] = ()
    once: bool = False
    """Its figures are the same in every run: one repetition is enough."""
    curve: Curve | None = None
    """A second chart: what was done when."""


def same_work(way: str) -> Callable[[Cell], Side]:
    """Compare each row with this way of asyncfabric at the same work, N and loop."""

    def reference(cell: Cell) -> Side:
        return Side(way=way, work=cell.work, n=cell.n, loop=cell.loop)

    return reference


WALL = Metric("wall_s", "wall s", "number")
DRIVER_CPU = Metric("driver_cpu_us", "driver CPU us/call", "us")
OTHERS_CPU = Metric("others_cpu_us", "other processes' CPU us/call", "us")
PEAK_RSS = Metric("peak_rss", "driver peak RSS MiB", "MiB")
