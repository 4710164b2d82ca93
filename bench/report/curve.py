"""A chart of completed calls over time: a line for each row, a panel for each work."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from bench.peers import OURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from bench.model import Row, TableResult
    from bench.tables import Table
    from bench.tables.base import Curve

_OURS_COLOURS = ("#c0392b", "#8e44ad", "#e67e22", "#7f0000")
_PEER_COLOURS = ("#2c3e50", "#7f8c8d", "#16a085", "#2980b9", "#b7950b")
_SETTINGS: dict[str, str | float] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bench",
    "font.size": 9.0,
}


class _Axes(Protocol):
    def plot(self, x: Sequence[float], y: Sequence[int], *, color: str, label: str) -> object: ...
    def set_title(self, label: str, *, loc: str) -> object: ...
    def set_xlim(self, *, left: float) -> object: ...
    def set_ylim(self, bottom: float, top: float) -> object: ...
    def set_xlabel(self, label: str) -> object: ...
    def set_ylabel(self, label: str) -> object: ...
    def legend(self, *, loc: str) -> object: ...


class _Figure(Protocol):
    def savefig(self, path: Path, *, metadata: Mapping[str, str | None]) -> None: ...


class _Pyplot(Protocol):
    def rc_context(self, rc: Mapping[str, str | float]) -> AbstractContextManager[None]: ...
    def subplots(
        self, rows: int, *, figsize: tuple[float, float], squeeze: bool, layout: str
    ) -> tuple[_Figure, Sequence[Sequence[_Axes]]]: ...
    def switch_backend(self, name: str) -> None: ...
    def close(self, figure: _Figure) -> None: ...


def write_curve(table: Table, result: TableResult, out: Path) -> Path | None:
    """Write `<table>-curve.svg` into `out`; return its path, or None without anything to draw."""
    curve = table.curve
    if curve is None:
        return None
    panels = {work: rows for work in curve.works if (rows := _rows(curve, result, work))}
    if not panels:
        return None
    try:
        pyplot = cast("_Pyplot", import_module("matplotlib.pyplot"))
    except ModuleNotFoundError:
        return None
    pyplot.switch_backend("svg")
    path = out / f"{table.name}-curve.svg"
    with pyplot.rc_context(_SETTINGS):
        chart, axes = pyplot.subplots(
            len(panels), figsize=(8.0, 3.0 * len(panels)), squeeze=False, layout="constrained"
        )
        for (work, rows), (panel,) in zip(panels.items(), axes, strict=True):
            _draw(panel, work, rows, curve)
        chart.savefig(path, metadata={"Date": None})
        pyplot.close(chart)
    return path


def _rows(curve: Curve, result: TableResult, work: str) -> list[Row]:
    last = curve.metric(curve.points[-1])
    return [row for row in result.rows if row.cell.work == work and row.median(last) is not None]


def _draw(panel: _Axes, work: str, rows: Sequence[Row], curve: Curve) -> None:
    ours, peers = iter(_OURS_COLOURS), iter(_PEER_COLOURS)
    for row in rows:
        times = [row.median(curve.metric(point)) or 0.0 for point in curve.points]
        mine = row.cell.peer == OURS
        colour = next(ours if mine else peers, _PEER_COLOURS[-1])
        label = f"{row.cell.peer} {row.cell.way}, N = {row.cell.n:,}"
        panel.plot([0.0, *times], [0, *curve.points], color=colour, label=label)
    panel.set_title(work, loc="left")
    panel.set_xlim(left=0)
    panel.set_ylim(0, 102)
    panel.set_xlabel("simulated seconds")
    panel.set_ylabel("% of the calls completed")
    panel.legend(loc="lower right")
