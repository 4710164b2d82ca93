"""`python -m bench [TABLE ...]`: measure asyncfabric beside its peers and write down what came out.

    python -m bench                              every table, about half an hour
    python -m bench local-rate memory            two of them
    python -m bench --smoke                      short forms without heavy peers: does it work?
    python -m bench local-rate --peers ray,dask  asyncfabric and these peers only

Results go to bench/results: TABLE.json, TABLE.md and TABLE.svg. Peers come with
`pip install -e '.[uvloop]' --group bench` (pip >= 25.1); what is not installed is reported as
missing.
The exit code is 1 if a measurement of asyncfabric, or any of a smoke run, gave no result. A goal
that is not reached does not change it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers import OURS, PEERS
from bench.peers.session import MissingPackageError, require
from bench.report import write_chart, write_curve, write_markdown
from bench.runner import ROOT, execute_in_process, run_table
from bench.tables import TABLES, Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.model import LoopName, TableResult
    from bench.tables import Table

_RESULTS = ROOT / "bench" / "results"
_SMOKE_RESULTS = ROOT / "build" / "bench-smoke"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; unknown tables and peers are errors that name the known ones."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--smoke", action="store_true", help="seconds, once, no heavy peers")
    parser.add_argument(
        "--peers", default="", help="only these peers, by commas: " + ",".join(PEERS)
    )
    parser.add_argument("--repeat", type=int, help="repetitions of every row (3; 1 with --smoke)")
    parser.add_argument("--loop", choices=("stock", "uvloop"), help="default: uvloop if installed")
    parser.add_argument("--out", type=Path, help="where results go (bench/results)")
    options = parser.parse_args(arguments)
    options.peers = [name for name in options.peers.split(",") if name]
    for what, names, known in (
        ("table", options.tables, TABLES),
        ("peer", options.peers, PEERS),
    ):
        for name in names:
            if name not in known:
                parser.error(f"no {what} {name!r}; there are {', '.join(known)}")
    if options.repeat is not None and options.repeat < 1:
        parser.error("--repeat must be at least 1")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tables of the command line; return the exit code."""
    options = parse(arguments)
    plan = Plan(smoke=options.smoke, loop=options.loop or _best_loop())
    repeat: int = options.repeat or (1 if plan.smoke else 3)
    out: Path = options.out or (_SMOKE_RESULTS if plan.smoke else _RESULTS)
    out.mkdir(parents=True, exist_ok=True)
    good = True
    for name in options.tables or TABLES:
        table = TABLES[name]
        again = 1 if table.once and options.repeat is None else repeat
        result = _run(table, plan, options.peers, again)
        result.save(out / f"{name}.json")
        charts = [write_chart(table, result, out), write_curve(table, result, out)]
        write_markdown(table, result, out, [chart for chart in charts if chart is not None])
        _say(f"{name}: {result.seconds:.0f} s, written to {out / name}.md")
        for goal in table.goals if not plan.smoke else ():
            verdict = goal.judge(result)
            _say(f"  {verdict.word}: {verdict.text}: {verdict.measured} (goal {verdict.goal})")
        good &= _complete(result)
    return 0 if good else 1


def _run(table: Table, plan: Plan, peers: Sequence[str], repeat: int) -> TableResult:
    cells = [
        cell for cell in table.cells(plan) if not peers or cell.peer == OURS or cell.peer in peers
    ]
    return run_table(
        table, cells, repeat=repeat, smoke=plan.smoke, execute=execute_in_process, progress=_say
    )


def _complete(result: TableResult) -> bool:
    return all(row.status == "ok" for row in result.rows if result.smoke or row.cell.peer == OURS)


def _best_loop() -> LoopName:
    try:
        require("uvloop")
    except MissingPackageError:
        return "stock"
    return "uvloop"


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
