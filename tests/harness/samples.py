"""Made-up measurements for the tests of the harness."""

from bench.goals import RatioGoal, Side
from bench.model import Cell, Repetition, Row, TableResult
from bench.tables import Metric, Plan, Table
from bench.tables.base import same_work

WORK = "made up"
RATE = Metric("rate", "calls/s", "rate", "higher")


def a_cell(peer: str = "asyncfabric", way: str = "submit", n: int = 10) -> Cell:
    return Cell(table="made-up", peer=peer, way=way, work=WORK, n=n)


def ok(rate: float) -> Repetition:
    return Repetition("ok", "", {"rate": rate})


def row(peer: str, way: str, *repetitions: Repetition) -> Row:
    return Row(a_cell(peer, way), repetitions)


def result(*rows: Row) -> TableResult:
    return TableResult(
        table="made-up",
        smoke=False,
        repeat=3,
        started="2026-11-22T00:00:00+00:00",
        seconds=1.5,
        machine={"cores": "2"},
        versions={"numpy": "2.0"},
        rows=rows,
    )


def ratio_goal(factor: float, *, peer: str = "mp.Pool", way: str = "imap") -> RatioGoal:
    return RatioGoal(
        text=f"rate against {peer}",
        metric="rate",
        better="higher",
        ours=Side(way="submit", work=WORK, n=10),
        theirs=Side(peer=peer, way=way, work=WORK, n=10),
        factor=factor,
    )


async def _measure(cell: Cell) -> dict[str, float]:
    return {"rate": float(cell.n)}


def a_table(*goals: RatioGoal) -> Table:
    def cells(plan: Plan) -> list[Cell]:
        return [a_cell(), a_cell("mp.Pool", "imap"), a_cell("ray", "await")]

    return Table(
        name="made-up",
        title="Made up",
        about="Nothing is measured.",
        headline=RATE,
        columns=(),
        cells=cells,
        measure=_measure,
        goals=goals,
        reference=same_work("submit"),
    )
