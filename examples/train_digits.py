"""Train a dense model on scikit-learn's digits, by HOGWILD! and in lockstep (BSP).

Softmax regression over 1,797 images of 8 x 8 pixels, 650 weights. By HOGWILD!, each call walks over
its share of the images and pushes every step at once, computed from weights that may be a few steps
old. In lockstep, all calls compute the gradient of their share from the same weights and push it,
and the next round begins when the last has pushed: fewer, larger steps.

    python examples/train_digits.py
    python examples/train_digits.py --epochs 2

It checks that HOGWILD!'s loss is no more than 2% above that of the same steps taken one after
another, and that a round in lockstep is the step over all images, to the last digits.

What it shows of asyncfabric: dense pushes from coroutine functions, `max_staleness`, and bulk-
synchronous rounds, which are maps one after another.
"""

import argparse
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import asyncfabric as af
from asyncfabric.params import ParameterServer, StaleUpdate

Floats = NDArray[np.floating]
SHARES, BATCH = 6, 25
RATE = 0.05
ROUND_RATE = 0.5


class Images(NamedTuple):
    """Pixels of images from 0 to 1, with a constant, and what digits they show."""

    pixels: Floats
    digits: NDArray[np.int64]

    def share(self, number: int) -> "Images":
        """Return every sixth image."""
        return Images(self.pixels[number::SHARES], self.digits[number::SHARES])

    def batches(self) -> list["Images"]:
        """Cut them into mini-batches."""
        starts = range(0, len(self.digits), BATCH)
        return [Images(self.pixels[at : at + BATCH], self.digits[at : at + BATCH]) for at in starts]


def load() -> Images:
    """Load scikit-learn's digits."""
    import sklearn.datasets

    datasets: Any = sklearn.datasets  # whose types are partly unknown
    images = datasets.load_digits()
    pixels = np.hstack([images.data / 16, np.ones((len(images.data), 1))])
    return Images(pixels, images.target)


def gradient(weights: Floats, images: Images) -> Floats:
    """Return the gradient of the sum of the images' losses."""
    pixels, digits = images
    scores = pixels @ weights
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    chances[np.arange(len(digits)), digits] -= 1
    found: Floats = pixels.T @ chances
    return found


def loss(weights: Floats, images: Images) -> float:
    """Return the images' mean loss."""
    scores = images.pixels @ weights
    best = scores.max(axis=1, keepdims=True)
    whole = np.log(np.exp(scores - best).sum(axis=1)) + best[:, 0]
    return float((whole - scores[np.arange(len(scores)), images.digits]).mean())


async def walk(number: int, images: Images, ps: ParameterServer) -> int:
    """Take a step for each batch of a share; return how often a step was too old and taken anew."""
    anew = 0
    for batch in images.share(number).batches():
        while True:
            weights, version = await ps.pull("weights")
            delta = -RATE / BATCH * gradient(weights, batch)
            try:
                await ps.push("weights", delta, version=version)
            except StaleUpdate:
                anew += 1
            else:
                break
    return anew


def push_gradient(number: int, images: Images, ps: ParameterServer) -> None:
    """Push a share's part of the step over all images."""
    weights, _ = ps.blocking.pull("weights")
    ps.blocking.push("step", gradient(weights, images.share(number)))


def sequential(images: Images, epochs: int) -> float:
    """Take HOGWILD!'s steps one after another; return the loss."""
    weights = np.zeros((65, 10))
    for _ in range(epochs):
        for number in range(SHARES):
            for batch in images.share(number).batches():
                weights -= RATE / BATCH * gradient(weights, batch)
    return loss(weights, images)


async def hogwild(fabric: af.Fabric, images: Images, epochs: int) -> None:
    """Train without waiting, and compare."""
    async with ParameterServer(name="digits", max_staleness=8) as ps:
        await ps.put("weights", np.zeros((65, 10)))
        anew = 0
        for _ in range(epochs):
            anew += sum(await fabric.map(walk, range(SHARES), shared={"ps": ps, "images": images}))
        found = loss((await ps.pull("weights")).values, images)
        staleness = await ps.staleness("weights")
    expected = sequential(images, epochs)
    print(f"HOGWILD!, {epochs} epochs: loss {found:.4f}; one after another {expected:.4f}")
    print(f"  {staleness}; {anew} steps were too old and taken anew")
    assert found <= 1.02 * expected
    assert staleness.most <= 8


async def lockstep(fabric: af.Fabric, images: Images, rounds: int) -> None:
    """Train in rounds, and compare with whole steps."""
    expected = np.zeros((65, 10))
    rate = ROUND_RATE / len(images.digits)
    async with ParameterServer(name="digits") as ps:
        await ps.put("weights", np.zeros((65, 10)))
        for _ in range(rounds):
            await ps.put("step", np.zeros((65, 10)))
            await fabric.map(push_gradient, range(SHARES), shared={"ps": ps, "images": images})
            step, version = await ps.pull("step")
            assert version % (SHARES + 1) == 0  # every share's part is in it, once
            await ps.push("weights", -rate * step)
            expected -= rate * gradient(expected, images)
        weights = (await ps.pull("weights")).values
    print(f"in lockstep, {rounds} rounds: loss {loss(weights, images):.4f}")
    assert np.allclose(weights, expected, rtol=1e-9, atol=1e-12)


async def main(epochs: int) -> None:
    """Train both ways."""
    images = load()
    async with af.Fabric("local://?processes=2") as fabric:
        await hogwild(fabric, images, epochs)
        await lockstep(fabric, images, 5 * epochs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train on digits by HOGWILD! and in lockstep.")
    parser.add_argument("--epochs", type=int, default=4)
    af.run(main(parser.parse_args().epochs))
