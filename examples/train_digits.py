"""Train a dense model on scikit-learn's digits, by HOGWILD! and in lockstep (BSP).

Softmax regression over 1,797 images of 8 x 8 pixels, 650 weights. By HOGWILD!, each call walks over
its share of the images and pushes a step for every mini-batch at once, computed from weights that
may be a few steps old. In lockstep, all calls compute the gradient of a mini-batch of their share
from the same weights and push it, and the next round begins when the last has pushed: synchronous
data-parallel descent, of fewer and larger steps.

    bash examples/run train_digits
    bash examples/run train_digits --epochs 3
    ASYNCFABRIC_REDIS=redis://host/0 bash examples/run train_digits     # a Redis of your own

It takes some ten seconds, and prints how far the objective is above its minimum after each epoch,
both ways and by HOGWILD!'s steps one after another: from 9% to 0.1%, all nearly the same. It checks
that a round in lockstep is the step over all its mini-batches, to the last digits.

What it shows of asyncfabric: dense pushes from coroutine functions; `max_staleness`, since in a
dense model all steps touch all weights; bulk-synchronous rounds, which are maps one after another.
"""

import argparse
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import asyncfabric as af
from asyncfabric.params import ParameterServer, Staleness, StaleUpdate

Floats = NDArray[np.floating]
SHARES, BATCH = 6, 25  # calls at a time, and images of a mini-batch
RATE, DECAY = 0.7, 0.8  # the step's length in the first epoch, and by how much it is less in each
PENALTY = 10.0  # of the weights' square, for all images together
MOST = 8  # steps that may come between reading the weights and adding to them
ZEROS = np.zeros((65, 10))


class Images(NamedTuple):
    """Centred pixels of images, with a constant, and what digits they show."""

    pixels: Floats
    digits: NDArray[np.int64]

    def batches(self, share: int) -> list["Images"]:
        """Return the mini-batches of every sixth image."""
        pixels, digits = self.pixels[share::SHARES], self.digits[share::SHARES]
        starts = range(0, len(digits), BATCH)
        return [Images(pixels[at : at + BATCH], digits[at : at + BATCH]) for at in starts]

    def gradient(self, weights: Floats) -> Floats:
        """Return the gradient of the sum of the images' losses."""
        chances = np.exp(_logarithms(self.pixels @ weights))
        chances[np.arange(len(self.digits)), self.digits] -= 1
        found: Floats = self.pixels.T @ chances
        return found

    def objective(self, weights: Floats) -> float:
        """Return the images' mean loss, penalty included."""
        count = len(self.digits)
        losses = -_logarithms(self.pixels @ weights)[np.arange(count), self.digits]
        return float(losses.mean() + PENALTY / (2 * count) * (weights**2).sum())


class Descent(NamedTuple):
    """What there is to descend on, and how far a step goes in this epoch."""

    images: Images
    rate: float

    def step(self, weights: Floats, gradient: Floats, images: int) -> Floats:
        """Return what to add to the weights, by the sum of so many images' gradients."""
        return -self.rate * (gradient / images + PENALTY / len(self.images.digits) * weights)


def _logarithms(scores: Floats) -> Floats:
    scores = scores - scores.max(axis=1, keepdims=True)
    found: Floats = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return found


def load() -> Images:
    """Load scikit-learn's digits."""
    import sklearn.datasets

    datasets: Any = sklearn.datasets  # whose types are partly unknown
    data, digits = datasets.load_digits(return_X_y=True)
    return Images(np.hstack([(data - data.mean(axis=0)) / 16, np.ones((len(data), 1))]), digits)


def optimum(images: Images) -> Floats:
    """Return the weights that minimise the objective, by a solver that sees all images at once."""
    import sklearn.linear_model

    library: Any = sklearn.linear_model
    solver = library.LogisticRegression(
        C=1 / PENALTY, fit_intercept=False, tol=1e-8, max_iter=10_000
    )
    weights: Floats = solver.fit(images.pixels, images.digits).coef_.T
    return weights


def sequential(images: Images, epochs: int) -> list[float]:
    """Take HOGWILD!'s steps one after another; return the objective after each epoch."""
    weights = ZEROS
    objectives: list[float] = []
    for epoch in range(epochs):
        descent = Descent(images, RATE * DECAY**epoch)
        for share in range(SHARES):
            for batch in images.batches(share):
                gradient = batch.gradient(weights)
                weights = weights + descent.step(weights, gradient, len(batch.digits))
        objectives.append(images.objective(weights))
    return objectives


async def walk(share: int, descent: Descent, ps: ParameterServer) -> int:
    """Take a step for each batch of a share; return how often a step was too old and taken anew."""
    anew = 0
    for batch in descent.images.batches(share):
        while True:
            weights, version = await ps.pull("weights")
            delta = descent.step(weights, batch.gradient(weights), len(batch.digits))
            try:
                await ps.push("weights", delta, version=version)
            except StaleUpdate:
                anew += 1
            else:
                break
    return anew


async def hogwild(
    fabric: af.Fabric, images: Images, epochs: int
) -> tuple[list[float], Staleness, int]:
    """Train without waiting; return objectives, staleness, and the steps that were taken anew."""
    objectives: list[float] = []
    anew = 0
    async with ParameterServer(name="digits", max_staleness=MOST) as ps:
        await ps.put("weights", ZEROS)
        for epoch in range(epochs):
            shared = {"descent": Descent(images, RATE * DECAY**epoch), "ps": ps}
            anew += sum(await fabric.map(walk, range(SHARES), shared=shared))
            objectives.append(images.objective((await ps.pull("weights")).values))
        staleness = await ps.staleness("weights")
        await ps.delete("weights")
    return objectives, staleness, anew


def push_gradient(share: int, number: int, images: Images, ps: ParameterServer) -> int:
    """Push the gradient of one of a share's batches; return how many images it has."""
    batches = images.batches(share)
    if number >= len(batches):
        return 0
    weights, _ = ps.blocking.pull("weights")
    ps.blocking.push("gradient", batches[number].gradient(weights))
    return len(batches[number].digits)


async def lockstep(fabric: af.Fabric, images: Images, epochs: int) -> list[float]:
    """Train in rounds, a mini-batch of each share in one; return the objective after each epoch."""
    objectives: list[float] = []
    expected = ZEROS
    async with ParameterServer(name="digits in lockstep") as ps:
        await ps.put("weights", ZEROS)
        for epoch in range(epochs):
            descent = Descent(images, SHARES * RATE * DECAY**epoch)
            for number in range(len(images.batches(0))):
                await ps.put("gradient", ZEROS)
                shared = {"number": number, "images": images, "ps": ps}
                count = sum(await fabric.map(push_gradient, range(SHARES), shared=shared))
                weights, _ = await ps.pull("weights")
                gradient, _ = await ps.pull("gradient")
                await ps.push("weights", descent.step(weights, gradient, count))
                expected = expected + descent.step(expected, whole(images, number, expected), count)
            weights, _ = await ps.pull("weights")
            assert np.allclose(weights, expected, rtol=1e-9, atol=1e-12)
            objectives.append(images.objective(weights))
        await ps.restore({})
    return objectives


def whole(images: Images, number: int, weights: Floats) -> Floats:
    """Return the gradient of a round, in one process."""
    batches = [batch for share in range(SHARES) for batch in images.batches(share)[number:][:1]]
    return sum((batch.gradient(weights) for batch in batches), ZEROS)


async def main(epochs: int) -> None:
    """Train all ways; hold them against the optimum."""
    images = load()
    least = images.objective(optimum(images))
    ways = {"one after another": sequential(images, epochs)}
    async with af.Fabric() as fabric:
        ways["HOGWILD!"], staleness, anew = await hogwild(fabric, images, epochs)
        ways["lockstep"] = await lockstep(fabric, images, epochs)
    print(f"the least the objective can be is {least:.6f}; after each epoch it is above that by")
    print("epoch" + "".join(f"{name:>20}" for name in ways))
    for epoch, objectives in enumerate(zip(*ways.values(), strict=True), 1):
        print(f"{epoch:5}" + "".join(f"{each / least - 1:20.3%}" for each in objectives))
    print(f"HOGWILD!: {staleness}; {anew} steps were too old and taken anew")
    assert staleness.most <= MOST
    assert ways["HOGWILD!"][-1] <= 1.02 * ways["one after another"][-1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train on digits by HOGWILD! and in lockstep.")
    parser.add_argument("--epochs", type=int, default=10)
    af.run(main(parser.parse_args().epochs))
