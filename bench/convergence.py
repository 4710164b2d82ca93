"""`python -m bench.convergence [OUT]`: how the examples of the parameter server converge.

Runs the descents of examples/hogwild_text.py and examples/train_digits.py and writes, to
bench/results or OUT, how far each is above the known optimum after each epoch: convergence.json,
and convergence.svg drawn from it. Needs the group `bench`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncfabric as af
from bench.machine import describe_machine
from examples import hogwild_text, train_digits

if TYPE_CHECKING:
    from collections.abc import Sequence

Panels: TypeAlias = dict[str, dict[str, list[float]]]
"""Title of a panel -> name of a line -> relative excess over the optimum, by epoch."""

_RESULTS = Path(__file__).parent / "results"
_EPOCHS = 10
_WORKERS = (2, 4)
_PARAGRAPHS = 10_000
_COLOURS = ("#7f8c8d", "#c0392b", "#8e44ad")


async def text() -> dict[str, list[float]]:
    """Descend on paragraphs one step after another, and by HOGWILD! with more and more workers."""
    data, _ = hogwild_text.load(_PARAGRAPHS)
    least = data.objective(hogwild_text.optimum(data))
    ways = {"one after another": hogwild_text.sequential(data, _EPOCHS)}
    for workers in _WORKERS:
        async with af.Fabric(f"local://?processes={workers}") as fabric:
            objectives, _, staleness = await hogwild_text.hogwild(fabric, data, _EPOCHS)
        ways[f"HOGWILD!, {workers} workers, mean staleness {staleness.mean:.1f}"] = objectives
    return _above(least, ways)


async def digits() -> dict[str, list[float]]:
    """Descend on images one step after another, by HOGWILD!, and in lockstep."""
    images = train_digits.load()
    least = images.objective(train_digits.optimum(images))
    ways = {"one after another": train_digits.sequential(images, _EPOCHS)}
    async with af.Fabric(f"local://?processes={_WORKERS[0]}") as fabric:
        found, staleness, _ = await train_digits.hogwild(fabric, images, _EPOCHS)
        ways[f"HOGWILD!, {_WORKERS[0]} workers, mean staleness {staleness.mean:.1f}"] = found
        ways["lockstep (BSP)"] = await train_digits.lockstep(fabric, images, _EPOCHS)
    return _above(least, ways)


def _above(least: float, ways: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: [each / least - 1 for each in objectives] for name, objectives in ways.items()}


def draw(panels: Panels, path: Path) -> None:
    """Draw a panel beside the other, epochs to the right, the excess upwards on a log scale."""
    pyplot: Any = import_module("matplotlib.pyplot")
    pyplot.switch_backend("svg")
    settings = {"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9.0}
    with pyplot.rc_context(settings):
        figure, axes = pyplot.subplots(1, len(panels), figsize=(10.0, 3.6), layout="constrained")
        for panel, (title, ways) in zip(axes, panels.items(), strict=True):
            for colour, (name, excess) in zip(_COLOURS, ways.items(), strict=True):
                epochs = range(1, len(excess) + 1)
                panel.plot(epochs, excess, color=colour, marker="o", markersize=3, label=name)
            panel.set_title(title, loc="left")
            panel.set_yscale("log")
            panel.set_xlabel("epochs")
            panel.legend(frameon=False)
        axes[0].set_ylabel("objective above its minimum, relative")
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)


def main(arguments: Sequence[str]) -> None:
    """Descend, write down, draw."""
    out = Path(arguments[0]) if arguments else _RESULTS
    out.mkdir(parents=True, exist_ok=True)
    panels: Panels = {
        f"{_PARAGRAPHS:,} paragraphs, sparse": asyncio.run(text()),
        "1,797 digits, dense": asyncio.run(digits()),
    }
    whole = {"machine": describe_machine(), "above the optimum, by epoch": panels}
    (out / "convergence.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    draw(panels, out / "convergence.svg")


if __name__ == "__main__":
    main(sys.argv[1:])
