"""How a figure is written, and how many times better one row is than another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.model import Row, TableResult
    from bench.tables import Metric, Table

_MIB = 1 << 20
NOTHING = "-"


def figure(metric: Metric, value: float | None) -> str:
    """Write a metric's value for a reader, in the unit its label names."""
    if value is None:
        return NOTHING
    match metric.unit:
        case "MiB":
            return f"{value / _MIB:,.1f}"
        case "rate" | "bytes":
            return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
        case "us" | "ms":
            return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
        case _:
            return f"{value:,.2f}"


def times_better(table: Table, row: Row, result: TableResult) -> float | None:
    """By how much asyncfabric is better than this row in the table's headline; < 1 is worse."""
    reference = table.reference(row.cell)
    ours = reference.of(result) if reference else None
    if ours is None or ours is row:
        return None
    mine = ours.median(table.headline.name)
    theirs = row.median(table.headline.name)
    if not mine or not theirs:
        return None
    return mine / theirs if table.headline.better == "higher" else theirs / mine
