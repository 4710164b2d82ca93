"""The harness of `python -m bench`: what it concludes from measurements, and that it measures."""

import json
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench import repetition
from bench.__main__ import parse
from bench.goals import LimitGoal, Side
from bench.model import Cell, Repetition, Row, TableResult
from bench.peers import OURS, PEERS
from bench.report.markdown import render
from bench.runner import ROOT, run_table
from bench.tables import TABLES, Plan
from tests.harness.samples import WORK, a_cell, a_table, ok, ratio_goal, result, row

FULL = Plan(smoke=False, loop="uvloop")
SMOKE = Plan(smoke=True, loop="stock")


def test_median_leaves_out_what_failed() -> None:
    measured = row("ray", "await", ok(1), Repetition("failed", "boom"), ok(5), ok(3))
    assert measured.median("rate") == 3
    assert measured.status == "ok"
    assert measured.reason == "boom"


def test_median_of_nothing_is_none() -> None:
    measured = row("ray", "await", Repetition("missing", "no ray"))
    assert measured.median("rate") is None
    assert measured.status == "missing"


@pytest.mark.parametrize(("ours", "reached"), [(20, True), (25, True), (19.9, False)])
def test_ratio_goal(ours: float, reached: bool) -> None:
    measured = result(row(OURS, "submit", ok(ours)), row("mp.Pool", "imap", ok(10)))
    verdict = ratio_goal(2).judge(measured)
    assert verdict.reached is reached
    assert verdict.measured == f"{ours / 10:.2f}x"


@pytest.mark.parametrize("repetitions", [[], [Repetition("missing", "No module named 'ray'")]])
def test_goal_against_a_missing_peer_is_not_judged(repetitions: list[Repetition]) -> None:
    rows = [row(OURS, "submit", ok(1))] + [row("ray", "await", one) for one in repetitions]
    verdict = ratio_goal(2, peer="ray", way="await").judge(result(*rows))
    assert verdict.reached is None
    assert "ray" in verdict.measured


@pytest.mark.parametrize(("limit", "reached"), [(5, True), (4, True), (3, False)])
def test_limit_goal_where_less_is_better(limit: float, reached: bool) -> None:
    goal = LimitGoal(
        text="small",
        metric="rate",
        better="lower",
        ours=Side(way="submit", work=WORK, n=10),
        limit=limit,
        unit="B",
    )
    assert goal.judge(result(row(OURS, "submit", ok(4)))).reached is reached


def test_json_round_trip() -> None:
    measured = result(
        row(OURS, "submit", ok(1.25), ok(2)), row("ray", "await", Repetition("timeout", "late"))
    )
    assert TableResult.from_json(measured.to_json()) == measured


class Executions:
    """Stands in for the processes: counts what it is asked for, answers by peer."""

    def __init__(self, **answers: Repetition) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, cell: Cell) -> Repetition:
        self.asked.append(cell.peer)
        return self.answers.get(cell.peer, ok(1))


def measure(executions: Executions, peers: list[str]) -> TableResult:
    cells = [a_cell(peer, PEERS[peer].ways[0].name) for peer in peers]
    return run_table(
        a_table(), cells, repeat=4, smoke=False, execute=executions, progress=lambda _: None
    )


def test_repetitions_are_interleaved_in_changing_order() -> None:
    executions = Executions()
    peers = list(PEERS)
    measured = measure(executions, peers)
    rounds = [
        executions.asked[start : start + len(peers)]
        for start in range(0, len(executions.asked), len(peers))
    ]
    assert [sorted(one) for one in rounds] == [sorted(peers)] * 4
    assert len({tuple(one) for one in rounds}) > 1
    assert [row.cell.peer for row in measured.rows] == peers


def test_missing_and_hanging_peers_are_asked_once_and_reported() -> None:
    executions = Executions(
        ray=Repetition("missing", "No module named 'ray'"),
        loky=Repetition("timeout", "no result within 1 s"),
        dask=Repetition("failed", "RuntimeError: flaky"),
    )
    measured = measure(executions, [OURS, "ray", "loky", "dask"])
    assert Counter(executions.asked) == {OURS: 4, "ray": 1, "loky": 1, "dask": 4}
    page = render(a_table(ratio_goal(2, peer="ray", way="await")), measured)
    for reason in ("No module named 'ray'", "no result within 1 s", "RuntimeError: flaky"):
        assert reason in page
    assert "not judged" in page


def test_page_says_whether_goals_are_reached_and_how_much_better_we_are() -> None:
    measured = result(row(OURS, "submit", ok(30), ok(40)), row("mp.Pool", "imap", ok(10)))
    page = render(a_table(ratio_goal(2), ratio_goal(4)), measured, [Path("chart.svg")])
    lines = page.splitlines()
    assert "| rate against mp.Pool | >= 2x | 3.50x | reached |" in lines
    assert "| rate against mp.Pool | >= 4x | 3.50x | **not reached** |" in lines
    assert any("mp.Pool | imap" in line and "3.50x" in line for line in lines)
    assert "(chart.svg)" in page


def test_missing_package_is_missing_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "loky", None)
    monkeypatch.delitem(sys.modules, "bench.peers.loky_executor", raising=False)
    measured = repetition.run(
        Cell(table="local-rate", peer="loky", way="submit", work="trivial calls", n=1)
    )
    assert measured.status == "missing"
    assert "loky" in measured.reason


@pytest.mark.parametrize("plan", [FULL, SMOKE])
@pytest.mark.parametrize("name", TABLES)
def test_cells_are_unique_and_know_their_peer_and_way(name: str, plan: Plan) -> None:
    cells = TABLES[name].cells(plan)
    assert len({cell.key for cell in cells}) == len(cells)
    for cell in cells:
        assert cell.table == name
        assert cell.way in {way.name for way in PEERS[cell.peer].ways}
        assert not (plan.smoke and PEERS[cell.peer].heavy)


@pytest.mark.parametrize("name", TABLES)
def test_every_goal_looks_at_rows_that_are_measured(name: str) -> None:
    cells = TABLES[name].cells(FULL)
    known = {(cell.peer, cell.way, cell.work, cell.n) for cell in cells}
    for goal in TABLES[name].goals:
        sides = [goal.ours] if isinstance(goal, LimitGoal) else [goal.ours, goal.theirs]
        for side in sides:
            assert (side.peer, side.way, side.work, side.n) in known


@pytest.mark.parametrize("plan", [FULL, SMOKE])
@pytest.mark.parametrize("name", TABLES)
def test_what_a_row_is_compared_with_is_measured(name: str, plan: Plan) -> None:
    cells = TABLES[name].cells(plan)
    everything = result(*(Row(cell, (ok(1),)) for cell in cells))
    for cell in cells:
        side = TABLES[name].reference(cell)
        assert side is None or side.of(everything), cell.key


def test_every_peer_has_an_adapter() -> None:
    for peer in PEERS.values():
        assert not peer.module or find_spec(f"bench.peers.{peer.module}")


@pytest.mark.parametrize("arguments", [["no-such-table"], ["--peers", "nobody"], ["--repeat", "0"]])
def test_bad_arguments_are_explained(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert "error: " in capsys.readouterr().err


def test_hanging_measurement_is_ended() -> None:
    # in a process of its own: the runner makes itself the parent of orphans
    code = (
        "from bench.model import Cell\n"
        "from bench.runner import execute_in_process\n"
        "cell = Cell(table='local-rate', peer='mp.Pool', way='imap', work='trivial calls',"
        " n=50_000_000, timeout_s=1)\n"
        "print(execute_in_process(cell).status)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "timeout"


def test_smoke_run_of_a_table(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench", "local-rate", "--smoke", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    measured = TableResult.from_json((tmp_path / "local-rate.json").read_text(encoding="utf-8"))
    assert {row.cell.peer for row in measured.rows} == {OURS, "ProcessPoolExecutor", "mp.Pool"}
    assert all((row.median("rate") or 0) > 0 for row in measured.rows)
    assert json.loads(measured.to_json())["smoke"] is True
    assert "A smoke run" in (tmp_path / "local-rate.md").read_text(encoding="utf-8")
