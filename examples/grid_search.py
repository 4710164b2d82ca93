"""Which settings read handwritten digits best? A grid of models, cross-validated all at once.

    python examples/grid_search.py
    python examples/grid_search.py --folds 10 --digits 1000

The data are the 1,797 digits that come with scikit-learn. What it shows of asyncfabric:

- Each call is one model on one fold, so a slow model doesn't keep the others of its row waiting.
- `shared=` sends the data to each worker once; a call carries only what is special about it.
- Results come as they are done, to be watched, and land at their place by `call.index`.
"""

import argparse
from itertools import product
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

import asyncfabric as af

GRID = {"C": [0.1, 1.0, 10.0, 100.0], "gamma": [1e-4, 3e-4, 1e-3, 3e-3]}
Settings = tuple[float, float]


def score(
    place: tuple[Settings, int],
    *,
    images: NDArray[np.float64],
    digits: NDArray[np.int64],
    folds: int,
) -> float:
    """Train a model on all folds but one; return the share of that one which it reads."""
    (c, gamma), fold = place
    splits: Any = StratifiedKFold(folds).split(images, digits)
    train, test = list(splits)[fold]
    machine: Any = SVC
    model = machine(C=c, gamma=gamma).fit(images[train], digits[train])
    return float(model.score(images[test], digits[test]))


async def search(folds: int, count: int, backend: str | None) -> dict[Settings, float]:
    """Return the mean score of each settings."""
    data: Any = load_digits()
    grid: list[Settings] = list(product(GRID["C"], GRID["gamma"]))
    places = list(product(grid, range(folds)))
    scores: dict[Settings, list[float]] = {settings: [] for settings in grid}
    async with af.Fabric(backend) as fabric:
        calls = fabric.map(
            score,
            places,
            shared={"images": data.data[:count], "digits": data.target[:count], "folds": folds},
            chunksize=1,
        )
        async for call in af.as_completed(calls):
            settings, _ = places[call.index]
            scores[settings].append(call.result())
            if len(scores[settings]) == folds:
                print(f"C={settings[0]:<6} gamma={settings[1]:<7} {mean(scores[settings]):.4f}")
    return {settings: mean(own) for settings, own in scores.items()}


async def main(folds: int, count: int, backend: str | None) -> None:
    """Search, and say what is best."""
    found = await search(folds, count, backend)
    best = max(found, key=found.__getitem__)
    print(f"best of {len(found)}: C={best[0]}, gamma={best[1]}, which reads {found[best]:.2%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="search a grid of settings")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--digits", type=int, default=1797, help="use only so many")
    parser.add_argument("--backend", metavar="URL", help="default: local://, this machine's cores")
    options = parser.parse_args()
    af.run(main(options.folds, options.digits, options.backend))
