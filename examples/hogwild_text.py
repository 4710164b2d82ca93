"""HOGWILD!: stateless functions train one sparse model together, without waiting for each other.

Is a paragraph from SciPy's documentation or from scikit-learn's? Logistic regression on words and
pairs of words, tf-idf weighted, of real text: the docstrings of both packages as they are installed
here. It has some 60,000 features, of which a paragraph has 60. Each call takes some paragraphs; for
every mini-batch it pulls the weights of the batch's words, and pushes what a step of gradient
descent adds to them. Others do the same meanwhile: weights are a few steps old when their step
arrives, and since two batches share few words, it does no harm (Niu, Recht, Re and Wright 2011).

    bash examples/run hogwild_text
    bash examples/run hogwild_text --paragraphs 2000 --epochs 5
    ASYNCFABRIC_REDIS=redis://host/0 bash examples/run hogwild_text     # a Redis of your own

It takes ten to twenty seconds, and prints how far the objective is above its minimum after each
epoch, by HOGWILD! and by the same steps one after another: from 1.4% after the first epoch to 0.05%
after the tenth, both nearly the same. The minimum is known: scikit-learn's batch solver finds it.

What it shows of asyncfabric: sparse pulls and pushes as a stream, several steps in a round trip;
how stale the pushes were; the text as a shared value, stored and decoded once in each worker.
"""

import argparse
import importlib.util
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import asyncfabric as af
from asyncfabric.params import ParameterServer, Staleness

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]
BATCH, PART = 20, 500  # paragraphs of a step, and of a call
TOGETHER = 4  # steps that a worker sends as one push
RATE, DECAY = 15.0, 0.75  # the step's length in the first epoch, and by how much it is less in each
PACKAGES = "scipy", "sklearn"


class Batch(NamedTuple):
    """Some paragraphs, by the entries of their vectors."""

    words: Integers  # the different words in the batch
    which: Integers  # of each entry: which of these words,
    where: Integers  # in which paragraph of the batch,
    values: Floats  # and with what value
    decay: Floats  # of each word: this batch's share of its regularisation
    classes: Floats

    def step(self, weights: Floats, rate: float) -> Floats:
        """Return what to add to the words' weights."""
        count = len(self.classes)
        entries = self.values * weights[self.which]
        margins = np.bincount(self.where, entries, count) * self.classes
        pull = self.classes / (1 + np.exp(margins))
        downhill = np.bincount(self.which, self.values * pull[self.where]) - self.decay * weights
        delta: Floats = rate / count * downhill
        return delta


class Text(NamedTuple):
    """Paragraphs as sparse vectors of length 1: entries `starts[i]` to `starts[i + 1]` are i's."""

    starts: Integers
    words: Integers
    values: Floats
    classes: Floats  # -1 or 1
    paragraphs: Integers  # in how many each word is

    def batch(self, at: int) -> Batch:
        """Return a mini-batch."""
        starts = self.starts[at : at + BATCH + 1]
        entries = slice(starts[0], starts[-1])
        words, which = np.unique(self.words[entries], return_inverse=True)
        where = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        # A weight is drawn to 0 in the batches that have its word, in proportion: steps are sparse.
        decay = np.bincount(which) / self.paragraphs[words]
        classes = self.classes[at : at + BATCH]
        return Batch(words, which, where, self.values[entries], decay, classes)

    def objective(self, weights: Floats) -> float:
        """Return the mean logistic loss, and half the weights' square over the paragraphs."""
        count = len(self.classes)
        where = np.repeat(np.arange(count), np.diff(self.starts))
        margins = np.bincount(where, self.values * weights[self.words], count) * self.classes
        return float(np.logaddexp(0, -margins).mean() + weights @ weights / (2 * count))


def paragraphs_of(package: str) -> list[str]:
    """Return the different paragraphs of at least 20 words in a package's docstrings."""
    spec = importlib.util.find_spec(package)
    found: set[str] = set()
    for folder in (spec and spec.submodule_search_locations) or []:
        for file in Path(folder).rglob("*.py"):
            for text in re.findall(r'"""(.*?)"""', file.read_text(encoding="utf-8"), re.DOTALL):
                found.update(" ".join(each.split()) for each in re.split(r"\n\s*\n", text))
    return sorted(each for each in found if len(re.findall(r"[A-Za-z]{2,}", each)) >= 20)


def load(limit: int) -> tuple[Text, list[str]]:
    """Return at most so many paragraphs in random order, and what the words are."""
    import sklearn.feature_extraction.text

    library: Any = sklearn.feature_extraction.text  # whose types are partly unknown
    some, others = (paragraphs_of(package) for package in PACKAGES)
    texts = some + others
    order = np.random.default_rng(2011).permutation(len(texts))[:limit]
    vectorizer = library.TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    matrix = vectorizer.fit_transform([texts[at] for at in order])
    starts, words = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
    classes = np.where(order < len(some), -1.0, 1.0)
    return (
        Text(starts, words, matrix.data, classes, np.bincount(words)),
        vectorizer.get_feature_names_out().tolist(),
    )


def optimum(text: Text) -> Floats:
    """Return the weights that minimise the objective, by a solver that sees all text at once."""
    import scipy.sparse
    import sklearn.linear_model

    sparse: Any = scipy.sparse
    library: Any = sklearn.linear_model
    matrix = sparse.csr_matrix((text.values, text.words, text.starts))
    solver = library.LogisticRegression(C=1.0, fit_intercept=False, tol=1e-8, max_iter=1000)
    weights: Floats = solver.fit(matrix, text.classes).coef_[0]
    return weights


def sequential(text: Text, epochs: int) -> list[float]:
    """Take the same steps one after another; return the objective after each epoch."""
    weights = np.zeros(len(text.paragraphs))
    objectives: list[float] = []
    for epoch in range(epochs):
        for at in range(0, len(text.classes), BATCH):
            batch = text.batch(at)
            weights[batch.words] += batch.step(weights[batch.words], RATE * DECAY**epoch)
        objectives.append(text.objective(weights))
    return objectives


def descend(start: int, rate: float, text: Text, ps: ParameterServer) -> None:
    """Take a step for each batch of some paragraphs."""
    with ps.blocking.stream("weights", every=TOGETHER) as stream:
        for at in range(start, min(start + PART, len(text.classes)), BATCH):
            batch = text.batch(at)
            weights, _ = stream.pull(indices=batch.words)
            stream.push(batch.step(weights, rate), indices=batch.words)


async def hogwild(
    fabric: af.Fabric, text: Text, epochs: int
) -> tuple[list[float], Floats, Staleness]:
    """Take the steps in workers; return objectives, the weights, and how stale the steps were."""
    objectives: list[float] = []
    weights: Floats = np.zeros(len(text.paragraphs))
    async with ParameterServer(name="text") as ps:
        await ps.put("weights", weights)
        for epoch in range(epochs):
            shared = {"rate": RATE * DECAY**epoch, "text": text, "ps": ps}
            await fabric.map(descend, range(0, len(text.classes), PART), shared=shared)
            weights, _ = await ps.pull("weights")
            objectives.append(text.objective(weights))
        staleness = await ps.staleness("weights")
        await ps.delete("weights")
    return objectives, weights, staleness


async def main(limit: int, epochs: int) -> None:
    """Descend both ways; hold both against the optimum."""
    text, names = load(limit)
    print(f"{len(text.classes):,} paragraphs, {len(names):,} words and pairs of words")
    best = optimum(text)
    least = text.objective(best)
    expected = sequential(text, epochs)
    async with af.Fabric() as fabric:
        found, weights, staleness = await hogwild(fabric, text, epochs)
    print(f"the least the objective can be is {least:.6f}; after each epoch it is above that by")
    print("epoch   one after another   HOGWILD!")
    for epoch, (one, other) in enumerate(zip(expected, found, strict=True), 1):
        print(f"{epoch:5} {one / least - 1:19.3%} {other / least - 1:10.3%}")
    distance = np.linalg.norm(weights - best) / np.linalg.norm(best)
    print(f"HOGWILD!'s weights are {distance:.1%} from the best; {staleness}")
    likely: list[str] = [names[word] for word in np.argsort(weights).tolist()]
    for package, words in zip(PACKAGES, (likely[:8], likely[:-9:-1]), strict=True):
        print(f"most like {package}: {', '.join(words)}")
    assert found[-1] <= 1.02 * expected[-1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train a sparse model by HOGWILD!")
    parser.add_argument("--paragraphs", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    af.run(main(given.paragraphs, given.epochs))
