"""One repetition of one cell, measured in this process."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from bench.model import Cell, Repetition
from bench.peers.session import MissingPackageError, require
from bench.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable


class _Uvloop(Protocol):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """See uvloop.new_event_loop."""
        ...


def run(cell: Cell) -> Repetition:
    """Measure the cell; what goes wrong is in the repetition, never raised."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory(cell)) as runner:
            metrics = runner.run(_measure(cell))
    except MissingPackageError as error:
        return Repetition("missing", str(error))
    except BaseException as error:  # noqa: BLE001  (a peer may raise anything: it is the result)
        return Repetition("failed", f"{type(error).__name__}: {error}")
    return Repetition("ok", "", metrics)


async def _measure(cell: Cell) -> dict[str, float]:
    return dict(await TABLES[cell.table].measure(cell))


def _loop_factory(cell: Cell) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if cell.loop == "stock":
        return None
    return cast("_Uvloop", require("uvloop")).new_event_loop


def main(cell_json: str, output: str) -> None:
    """Measure the cell once and write the repetition to the file `output`."""
    repetition = run(Cell.from_json(json.loads(cell_json)))
    Path(output).write_text(json.dumps(asdict(repetition)), encoding="utf-8")
