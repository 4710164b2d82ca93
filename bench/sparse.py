"""A sparse learning problem like text, and stochastic gradient descent on it.

Documents have 60 words each, drawn by Zipf's law from as many as there are features, and a class
drawn by a logistic model with random weights, so that a model can learn something and not all. (The
problem of the HOGWILD! paper, RCV1, has 47,236 features and 74 words a document.)
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
DOCUMENTS = 3_000
BATCH = 20
RATE = 2.0
_SPREAD = 4.0


@dataclass(frozen=True)
class Problem:
    """Documents as the columns of their words, each of the same weight, and classes -1 and 1."""

    features: int
    columns: Indices
    classes: Array

    def loss(self, weights: Array) -> float:
        """Return the mean logistic loss over all documents."""
        import numpy as np

        margins = weights[self.columns].sum(axis=1) / np.sqrt(WORDS) * self.classes
        return float(np.logaddexp(0.0, -margins).mean())

    def touched(self, batch: slice) -> tuple[Indices, Indices]:
        """Return the features of some documents, and which of those each word is."""
        import numpy as np

        touched, words = np.unique(self.columns[batch], return_inverse=True)
        return touched, words.reshape(-1, WORDS)

    def delta(self, batch: slice, words: Indices, weights: Array) -> Array:
        """Return what a step adds to the weights of the batch's features, `weights`."""
        import numpy as np

        classes = self.classes[batch]
        margins = weights[words].sum(axis=1) / np.sqrt(WORDS) * classes
        pull = classes / (1.0 + np.exp(margins)) * (RATE / np.sqrt(WORDS) / len(classes))
        each = np.repeat(pull, WORDS)
        return np.bincount(words.reshape(-1), each, weights.size).astype(np.float64, copy=False)


@cache
def problem(features: int) -> Problem:
    """Make the problem, the same in every process."""
    import numpy as np

    rng = np.random.default_rng(2017)
    # Of log-uniform ranks each is drawn in inverse proportion to itself: Zipf's law.
    ranks = np.exp(rng.uniform(0, np.log(features), (DOCUMENTS, WORDS))).astype(np.int64)
    columns = ranks * 2_654_435_761 % features
    truth = rng.normal(0, _SPREAD, features)
    logits = truth[columns].sum(axis=1) / np.sqrt(WORDS)
    classes = np.where(rng.uniform(size=DOCUMENTS) < 1 / (1 + np.exp(-logits)), 1.0, -1.0)
    return Problem(features, columns, classes)


def batches(start: int, stop: int) -> list[slice]:
    """Cut documents into mini-batches."""
    return [slice(at, min(at + BATCH, stop)) for at in range(start, stop, BATCH)]


def sequential(features: int, epochs: int) -> list[float]:
    """Descend without any server; return the loss after each epoch."""
    import numpy as np

    data = problem(features)
    weights = np.zeros(features)
    losses: list[float] = []
    for _ in range(epochs):
        for batch in batches(0, DOCUMENTS):
            touched, words = data.touched(batch)
            weights[touched] += data.delta(batch, words, weights[touched])
        losses.append(data.loss(weights))
    return losses
