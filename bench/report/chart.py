"""The chart of a table: horizontal bars of its headline figure, one panel for each work and N."""

from __future__ import annotations

from importlib import import_module
from math import floor, log10
from typing import TYPE_CHECKING, Protocol, cast

from bench.peers import OURS
from bench.report.figures import figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from bench.model import Cell, Row, TableResult
    from bench.tables import Table

_OURS_COLOUR = "#c0392b"
_PEER_COLOUR = "#7f8c8d"
_LOG_FROM = 15
_SETTINGS: dict[str, str | float] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bench",
    "font.size": 9.0,
}


class _Axes(Protocol):
    def barh(self, y: Sequence[str], width: Sequence[float], *, color: Sequence[str]) -> object: ...
    def bar_label(self, bars: object, labels: Sequence[str], *, padding: float) -> object: ...
    def set_title(self, label: str, *, loc: str) -> object: ...
    def set_xlim(self, *, left: float, right: float) -> object: ...
    def set_xscale(self, value: str) -> None: ...
    def set_xlabel(self, label: str) -> object: ...
    def invert_yaxis(self) -> None: ...


class _Figure(Protocol):
    def savefig(self, path: Path, *, metadata: Mapping[str, str | None]) -> None: ...


class _Pyplot(Protocol):
    def rc_context(self, rc: Mapping[str, str | float]) -> AbstractContextManager[None]: ...
    def subplots(
        self,
        rows: int,
        *,
        figsize: tuple[float, float],
        height_ratios: Sequence[int],
        squeeze: bool,
        layout: str,
    ) -> tuple[_Figure, Sequence[Sequence[_Axes]]]: ...
    def switch_backend(self, name: str) -> None: ...
    def close(self, figure: _Figure) -> None: ...


def write_chart(table: Table, result: TableResult, out: Path) -> Path | None:
    """Write `<table>.svg` into `out`; return its path, or None without matplotlib or results."""
    panels = _panels(table, result)
    if not panels:
        return None
    try:
        pyplot = cast("_Pyplot", import_module("matplotlib.pyplot"))
    except ModuleNotFoundError:
        return None
    pyplot.switch_backend("svg")
    path = out / f"{table.name}.svg"
    bars = [len(rows) for rows in panels.values()]
    size = (8.0, 0.7 * len(panels) + 0.24 * sum(bars))
    with pyplot.rc_context(_SETTINGS):
        chart, axes = pyplot.subplots(
            len(panels), figsize=size, height_ratios=bars, squeeze=False, layout="constrained"
        )
        for (title, rows), (panel,) in zip(panels.items(), axes, strict=True):
            _draw(panel, title, rows, table)
        chart.savefig(path, metadata={"Date": None})
        pyplot.close(chart)
    return path


def _panels(table: Table, result: TableResult) -> dict[str, list[Row]]:
    """Group the rows that have the headline figure by work and N, best first."""
    panels: dict[str, list[Row]] = {}
    ordered = sorted(result.rows, key=lambda row: row.cell.n)
    works = dict.fromkeys(row.cell.work for row in result.rows)
    for work in works:
        for row in ordered:
            if row.cell.work == work and row.median(table.headline.name):
                panels.setdefault(f"{work}, N = {row.cell.n:,}", []).append(row)
    for rows in panels.values():
        rows.sort(
            key=lambda row: row.median(table.headline.name) or 0.0,
            reverse=table.headline.better == "higher",
        )
    return panels


def _name(cell: Cell) -> str:
    stock = ", stock loop" if cell.loop == "stock" else ""
    return f"{cell.peer} {cell.way}{stock}"


def _draw(panel: _Axes, title: str, rows: Sequence[Row], table: Table) -> None:
    values = [row.median(table.headline.name) or 0.0 for row in rows]
    names = [_name(row.cell) for row in rows]
    colours = [_OURS_COLOUR if row.cell.peer == OURS else _PEER_COLOUR for row in rows]
    bars = panel.barh(names, values, color=colours)
    panel.bar_label(bars, [figure(table.headline, value) for value in values], padding=3)
    panel.set_title(title, loc="left")
    # A bar must start at zero, or its length says nothing; where that hides the small ones, the
    # axis is logarithmic and starts at a power of ten.
    # To the right there is room for the label.
    scale = f"{table.headline.label}, {table.headline.better} is better"
    if max(values) > _LOG_FROM * min(values):
        panel.set_xscale("log")
        panel.set_xlim(left=10 ** floor(log10(min(values)) - 0.3), right=max(values) * 4)
        scale += ", log scale"
    else:
        panel.set_xlim(left=0, right=max(values) * 1.15)
    panel.set_xlabel(scale)
    panel.invert_yaxis()
