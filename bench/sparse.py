"""A sparse learning problem like text, and stochastic gradient descent on it.

Documents have 60 words each, drawn by Zipf's law from as many as there are features, and a class
drawn by a logistic model with random weights, so that a model can learn something and not all. (The
problem of the HOGWILD! paper, RCV1, has 47,236 features and 74 words a document.)

A model is its weights and, as its last element, how many updates are in it: what was overwritten
isn't counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Indices = npt.NDArray[np.int64]

WORDS = 60
BATCH = 20
RATE = 2.0
_SPREAD = 4.0


@dataclass(frozen=True)
class Batch:
    """A mini-batch, prepared: what of it is the same in every epoch."""

    touched: Indices
    """The model's elements that it reads and adds to: its features, and the count of updates."""
    words: Indices
    """Which of those each word of each document is."""
    classes: Array

    def delta(self, values: Array) -> Array:
        """Return what a step adds to the touched elements, `values`."""
        import numpy as np

        margins = values[self.words].sum(axis=1) / np.sqrt(WORDS) * self.classes
        count = len(self.classes)
        pull = self.classes / (1.0 + np.exp(margins)) * (RATE / np.sqrt(WORDS) / count)
        each = np.repeat(pull, WORDS)
        counted = np.bincount(self.words.reshape(-1), each, values.size)
        delta = counted.astype(np.float64, copy=False)
        delta[-1] = 1.0
        return delta


@dataclass(frozen=True)
class Problem:
    """Documents as the columns of their words, each of the same weight, and classes -1 and 1."""

    features: int
    columns: Indices
    classes: Array
    batches: tuple[Batch, ...]

    def loss(self, weights: Array) -> float:
        """Return the mean logistic loss over all documents."""
        import numpy as np

        margins = weights[self.columns].sum(axis=1) / np.sqrt(WORDS) * self.classes
        return float(np.logaddexp(0.0, -margins).mean())


@cache
def problem(features: int, documents: int) -> Problem:
    """Make the problem, the same in every process."""
    import numpy as np

    rng = np.random.default_rng(2017)
    # Of log-uniform ranks each is drawn in inverse proportion to itself: Zipf's law.
    ranks = np.exp(rng.uniform(0, np.log(features), (documents, WORDS))).astype(np.int64)
    columns = ranks * 2_654_435_761 % features
    truth = rng.normal(0, _SPREAD, features)
    logits = truth[columns].sum(axis=1) / np.sqrt(WORDS)
    classes = np.where(rng.uniform(size=documents) < 1 / (1 + np.exp(-logits)), 1.0, -1.0)
    batches = [
        _prepared(features, columns[at : at + BATCH], classes[at : at + BATCH])
        for at in range(0, documents, BATCH)
    ]
    return Problem(features, columns, classes, tuple(batches))


def _prepared(features: int, columns: Indices, classes: Array) -> Batch:
    import numpy as np

    touched, words = np.unique(columns, return_inverse=True)
    return Batch(np.append(touched, features), words.reshape(columns.shape), classes)


def sequential(features: int, documents: int, epochs: int) -> list[float]:
    """Descend without any server; return the loss after each epoch."""
    import numpy as np

    data = problem(features, documents)
    model = np.zeros(features + 1)
    losses: list[float] = []
    for _ in range(epochs):
        for batch in data.batches:
            model[batch.touched] += batch.delta(model[batch.touched])
        losses.append(data.loss(model))
    return losses
