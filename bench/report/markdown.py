"""The Markdown page of a table: goals with verdicts, every row, what is missing, the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers import PEERS
from bench.report.figures import NOTHING, figure, times_better

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from bench.model import Row, TableResult
    from bench.tables import Table


def write_markdown(table: Table, result: TableResult, out: Path, charts: Sequence[Path]) -> Path:
    """Write `<table>.md` into `out` and return its path."""
    path = out / f"{table.name}.md"
    path.write_text(render(table, result, charts), encoding="utf-8")
    return path


def render(table: Table, result: TableResult, charts: Sequence[Path] = ()) -> str:
    """Return the page as text."""
    parts = [f"# {table.name}: {table.title}", table.about]
    if result.smoke:
        parts.append("**A smoke run: it shows that the harness works and measures nothing.**")
    parts += [f"![{table.title}]({chart.name})" for chart in charts]
    parts += ["## Goals", _goals(table, result), "## Rows", _rows(table, result)]
    if problems := list(_problems(result.rows)):
        parts += ["## Missing, failed, unfinished", _bullets(problems)]
    parts += ["## How it was measured", _bullets(_notes(table, result)), "## Machine"]
    parts.append(_machine(result))
    return "\n\n".join(parts) + "\n"


def _goals(table: Table, result: TableResult) -> str:
    verdicts = [goal.judge(result) for goal in table.goals]
    return _table(
        ["goal", "asked", "measured", "verdict"],
        "lrrl",
        [[verdict.text, verdict.goal, verdict.measured, verdict.word] for verdict in verdicts],
    )


def _rows(table: Table, result: TableResult) -> str:
    headline = table.headline
    header = ["work", "N", "loop", "peer", "way", "each", headline.label, "min - max"]
    header += [f"asyncfabric `{_reference(table, result)}` is", *(c.label for c in table.columns)]
    works = list(dict.fromkeys(row.cell.work for row in result.rows))
    rows = sorted(
        (row for row in result.rows if row.status == "ok"),
        key=lambda row: (
            works.index(row.cell.work),
            row.cell.n,
            row.cell.loop != result.rows[0].cell.loop,
            (row.median(headline.name) or 0) * (-1 if headline.better == "higher" else 1),
        ),
    )
    return _table(
        header,
        "lrllll" + "r" * (len(header) - 6),
        [_row(table, row, result) for row in rows],
    )


def _row(table: Table, row: Row, result: TableResult) -> list[str]:
    cell, headline = row.cell, table.headline
    way = PEERS[cell.peer].way(cell.way)
    values = row.values(headline.name)
    better = times_better(table, row, result)
    return [
        cell.work,
        f"{cell.n:,}",
        cell.loop,
        cell.peer,
        f"{way.name}{' (best)' if way.best else ''}",
        "yes" if way.each else "",
        figure(headline, row.median(headline.name)),
        f"{figure(headline, min(values))} - {figure(headline, max(values))}",
        NOTHING if better is None else f"{better:.2f}x",
        *(figure(column, row.median(column.name)) for column in table.columns),
    ]


def _reference(table: Table, result: TableResult) -> str:
    ways = {side.way for row in result.rows if (side := table.reference(row.cell))}
    return "/".join(sorted(ways))


def _problems(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        wrong = [repetition for repetition in row.repetitions if repetition.status != "ok"]
        if wrong:
            cell = row.cell
            yield (
                f"{cell.peer} `{cell.way}`, {cell.work}, N = {cell.n:,}: {wrong[-1].status} "
                f"({len(wrong)} of {len(row.repetitions)} repetitions): {wrong[-1].reason}"
            )
    for peer in sorted({row.cell.peer for row in rows if row.values("left_processes")}):
        yield f"{peer} left processes behind that the harness had to end"


def _notes(table: Table, result: TableResult) -> Iterator[str]:
    if not table.once:
        yield (
            f"Medians of {result.repeat} repetitions, each in a fresh process, all rows in another "
            "random order each time round; ratios are ratios of medians within this run."
        )
        yield (
            "Every driver runs on the loop in its row; CPU of the driver and of the processes "
            "below it is counted while the clock runs; peak RSS is that of the driver process."
        )
    yield from table.notes
    ways = {(row.cell.peer, row.cell.way): None for row in result.rows}
    for peer, way in ways:
        yield f"{peer} `{way}`: {PEERS[peer].way(way).does}"


def _machine(result: TableResult) -> str:
    facts = {**result.machine, "started": result.started, "took": f"{result.seconds:.0f} s"}
    facts |= result.versions
    return _table(["", ""], "ll", [[name, value] for name, value in facts.items()])


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(header: Sequence[str], align: str, rows: Sequence[Sequence[str]]) -> str:
    rule = ["---:" if side == "r" else "---" for side in align]
    lines = [header, rule, *rows]
    return "\n".join(f"| {' | '.join(_plain(cell) for cell in line)} |" for line in lines)


def _plain(cell: str) -> str:
    """Keep a cell on its line and within its column."""
    return " ".join(cell.split()).replace("|", "\\|")
