"""What is measured, and what came of it: cells, repetitions, rows, tables; JSON both ways."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

LoopName: TypeAlias = Literal["stock", "uvloop"]
Status: TypeAlias = Literal["ok", "missing", "failed", "timeout"]
Json: TypeAlias = Any  # what json.loads gives; narrowed at once in the from_json constructors


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One thing to measure: a peer, one way of using it, a piece of work, how often."""

    table: str
    peer: str
    way: str
    work: str
    n: int
    loop: LoopName = "stock"
    timeout_s: float = 90.0

    @property
    def key(self) -> str:
        """The cell's name within its table, as goals and charts use it."""
        return f"{self.peer}/{self.way}/{self.work}/{self.n}/{self.loop}"

    def on(self, loop: LoopName) -> Cell:
        """Return the same cell on another event loop."""
        return replace(self, loop=loop)

    @classmethod
    def from_json(cls, data: Json) -> Cell:
        """Rebuild a cell from what `dataclasses.asdict` made of it."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Repetition:
    """One measured run of a cell in a process of its own."""

    status: Status
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Json) -> Repetition:
        """Rebuild a repetition from its JSON form."""
        return cls(data["status"], data["reason"], data["metrics"])


@dataclass(frozen=True, slots=True)
class Row:
    """A cell with all of its repetitions."""

    cell: Cell
    repetitions: tuple[Repetition, ...]

    @property
    def status(self) -> Status:
        """`ok` if at least one repetition was; otherwise what the last one was."""
        statuses: list[Status] = [repetition.status for repetition in self.repetitions]
        return "ok" if "ok" in statuses else statuses[-1]

    @property
    def reason(self) -> str:
        """Why the last repetition that gave nothing gave nothing; empty if all gave something."""
        return next((r.reason for r in reversed(self.repetitions) if r.status != "ok"), "")

    def values(self, metric: str) -> list[float]:
        """Every measured value of one metric, in the order of measurement."""
        return [
            repetition.metrics[metric]
            for repetition in self.repetitions
            if repetition.status == "ok" and metric in repetition.metrics
        ]

    def median(self, metric: str) -> float | None:
        """Return the median of a metric over the successful repetitions; None without any."""
        values = self.values(metric)
        return median(values) if values else None

    @classmethod
    def from_json(cls, data: Json) -> Row:
        """Rebuild a row from its JSON form."""
        repetitions = tuple(Repetition.from_json(r) for r in data["repetitions"])
        return cls(Cell.from_json(data["cell"]), repetitions)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableResult:
    """One table as it was measured: where, when, in how long, and every row."""

    table: str
    smoke: bool
    repeat: int
    started: str
    seconds: float
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    rows: tuple[Row, ...]

    def select(
        self, *, peer: str, way: str, work: str, n: int | None, loop: LoopName | None
    ) -> Row | None:
        """Return the first row of this description; None stands for any n, any loop."""
        return next(
            (
                row
                for row in self.rows
                if (row.cell.peer, row.cell.way, row.cell.work) == (peer, way, work)
                and n in {None, row.cell.n}
                and loop in {None, row.cell.loop}
            ),
            None,
        )

    def to_json(self) -> str:
        """Return the table as stable, readable JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TableResult:
        """Read what `to_json` wrote."""
        data: Json = json.loads(text)
        rows: Iterable[Json] = data.pop("rows")
        return cls(rows=tuple(Row.from_json(row) for row in rows), **data)

    def save(self, path: Path) -> None:
        """Write the JSON form to `path`."""
        path.write_text(self.to_json(), encoding="utf-8")
