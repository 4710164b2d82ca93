"""The tables on the simulated cloud: the rules of others, and what is counted."""

import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from asyncfabric import Hedge
from asyncfabric.testing import Pareto, Profile
from bench.report import write_curve
from bench.simulations import BACKUPS, SPARK_3, SPARK_4, Job, Rule, decide, run_by_rule, run_map
from bench.tables import TABLES
from bench.tables.base import Curve
from tests.harness.samples import a_table, ok, result, row
from tests.sources import ROOT

SLOW = Profile.calm().but(slow=0.05, slowness=Pareto(8.0, 3.0, 10.0))
JOB = Job(200, 2.0, 100)


def test_sparks_rule() -> None:
    durations = [1.0] * 60 + [2.0] * 15
    assert SPARK_3.threshold(100, 100, durations[:-1]) is None
    assert SPARK_3.threshold(100, 100, durations) == 1.5
    assert SPARK_3.threshold(100, 100, [0.01] * 80) == 0.1
    assert SPARK_4.threshold(100, 100, durations) is None
    assert SPARK_4.threshold(100, 100, [1.0] * 90) == 3.0
    assert SPARK_3.threshold(1, 1, []) is None


def test_cubeds_rule() -> None:
    assert BACKUPS.threshold(9, 100, [1.0] * 9) is None
    assert BACKUPS.threshold(10, 100, [1.0] * 4) is None
    assert BACKUPS.threshold(10, 100, [1.0] * 5) == 3.0
    assert BACKUPS.threshold(10, 100, [1.0, 1.0, 1.0, 1.0, 2.0, 9.0]) == 6.0


@pytest.mark.parametrize("rule", [SPARK_3, SPARK_4, BACKUPS])
def test_jobs_by_the_rules_of_others(rule: Rule) -> None:
    without = run_map(JOB, SLOW, 1, hedge=None)
    helped = run_by_rule(JOB, SLOW, 1, rule)
    assert without.extra == 0
    assert 0 < helped.extra < 0.2
    assert helped.makespan < without.makespan
    assert helped.billed > without.billed
    assert list(helped.completed) == sorted(helped.completed)
    assert len(helped.completed) == JOB.calls


def test_failures_under_a_rule_are_repeated() -> None:
    finished = run_by_rule(JOB, SLOW.but(failures=0.3), 1, SPARK_3)
    assert finished.extra > 0.3


def test_ours() -> None:
    without = run_map(JOB, SLOW, 1, hedge=None)
    helped = run_map(JOB, SLOW, 1, hedge=Hedge())
    assert 0 < helped.extra < 0.2
    assert helped.makespan < without.makespan


def test_all_decisions_are_made() -> None:
    assert decide(500, 50) > 0


def test_points_of_a_curve() -> None:
    curve = Curve(("w",), (0, 50, 100))
    assert curve.metrics(array("d", [1.0, 2.0, 4.0])) == {
        "done_000": 1.0,
        "done_050": 2.0,
        "done_100": 4.0,
    }


def test_a_table_without_a_curve_has_no_chart_of_it(tmp_path: Path) -> None:
    assert write_curve(a_table(), result(row("asyncfabric", "submit", ok(1))), tmp_path) is None
    stragglers = TABLES["stragglers"]
    assert write_curve(stragglers, result(row("asyncfabric", "submit", ok(1))), tmp_path) is None


def test_a_table_that_comes_out_the_same_is_measured_once(tmp_path: Path) -> None:
    arguments = ["scale", "stragglers", "--smoke", "--peers", "cubed", "--out", str(tmp_path)]
    # In a process of its own: the bench adopts orphans, those of other tests, too.
    subprocess.run([sys.executable, "-m", "bench", *arguments], cwd=ROOT, check=True)
    page = (tmp_path / "stragglers.md").read_text(encoding="utf-8")
    assert "| cubed | backups |" in page
    assert "Medians of" not in page
    once = {"stragglers", "simulated-stages"}
    assert all(TABLES[name].once == (name in once) for name in TABLES)
