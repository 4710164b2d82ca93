"""A search that learns while it runs: Optuna asks for trials, and is told as soon as one is done.

    python examples/guided_search.py
    python examples/guided_search.py --trials 200

It looks for the settings of a support vector machine that read scikit-learn's handwritten digits
best. What it shows of asyncfabric:

- The input of a map may be an async generator. The map asks it for a trial when a worker is about
  to be free, and not before: so each trial is chosen by the results that there are.
- Results come as they are done, not in the order of the trials; `call.index` says whose it is.
- A trial that fails doesn't end the search: its call has the error, and Optuna is told.
"""

import argparse
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC

import asyncfabric as af


class Setting(NamedTuple):
    """What a worker is told of a trial."""

    c: float
    gamma: float


def evaluate(setting: Setting, *, images: NDArray[np.float64], digits: NDArray[np.int64]) -> float:
    """Return the share of digits that a machine with these settings reads."""
    machine: Any = SVC
    model = machine(C=setting.c, gamma=setting.gamma)
    scores: Any = cross_val_score(model, images, digits, cv=3)
    return float(scores.mean())


async def search(study: optuna.Study, trials: int, count: int, backend: str | None) -> int:
    """Run so many trials; return how many were under way at most."""
    running: dict[int, Any] = {}
    most = 0

    async def ask() -> AsyncIterator[Setting]:
        nonlocal most
        for _ in range(trials):
            trial: Any = study.ask()
            running[trial.number] = trial  # its number is that of the call
            most = max(most, len(running))
            c = trial.suggest_float("C", 1e-2, 1e3, log=True)
            gamma = trial.suggest_float("gamma", 1e-6, 1e-1, log=True)
            yield Setting(c, gamma)

    async with af.Fabric(backend) as fabric:
        digits: Any = load_digits()
        data = {"images": digits.data[:count], "digits": digits.target[:count]}
        async for call in af.as_completed(fabric.map(evaluate, ask(), shared=data, chunksize=1)):
            trial = running.pop(call.index)
            if call.exception() is None:
                study.tell(trial, call.result())
            else:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return most


async def main(trials: int, count: int, backend: str | None) -> None:
    """Search, and say what was found."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=1, constant_liar=True)  # many are under way
    study = optuna.create_study(direction="maximize", sampler=sampler)
    most = await search(study, trials, count, backend)
    best: Any = study.best_trial
    done: Any = study.trials
    print(f"{len(done)} trials, {most} under way at a time")
    print(f"best: trial {best.number} reads {best.value:.2%}")
    print(f"C={best.params['C']:.4g}, gamma={best.params['gamma']:.4g}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="search settings with Optuna")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--digits", type=int, default=1797, help="use only so many")
    parser.add_argument("--backend", metavar="URL", help="default: local://, this machine's cores")
    options = parser.parse_args()
    af.run(main(options.trials, options.digits, options.backend))
