"""HOGWILD!: stateless functions train one sparse model together, without waiting for each other.

Logistic regression over generated documents: 60 words each, drawn by Zipf's law from 100,000, and
classes drawn by a logistic model with random weights. Each call takes some documents; for every
mini-batch it pulls the weights of the batch's words, and pushes what a step of gradient descent
adds to them. Meanwhile others do the same: weights are a few steps old when their step arrives, and
since two batches share few words, it does no harm (Niu, Recht, Re and Wright 2011).

    python examples/hogwild_text.py
    python examples/hogwild_text.py --epochs 10 --plot loss.svg

It checks that the loss is at the end no more than 2% above that of the same descent in one process,
one step after another.

What it shows of asyncfabric: sparse pulls and pushes; versions, and how stale the steps were; the
documents as shared values, stored once and decoded once in each worker.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import asyncfabric as af
from asyncfabric.params import ParameterServer, Staleness

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]
WORDS, VOCABULARY = 60, 100_000
BATCH, PART = 20, 500  # documents of a step, and of a call
RATE = 2.0


def corpus(documents: int) -> tuple[Integers, Floats]:
    """Return each document's words, and its class, -1 or 1."""
    rng = np.random.default_rng(2011)
    # Of log-uniform ranks each is drawn in inverse proportion to itself: Zipf's law.
    ranks = np.exp(rng.uniform(0, np.log(VOCABULARY), (documents, WORDS))).astype(np.int64)
    truth = rng.normal(0, 4, VOCABULARY)
    chance = 1 / (1 + np.exp(-truth[ranks].sum(axis=1) / WORDS**0.5))
    return ranks, np.where(rng.uniform(size=documents) < chance, 1.0, -1.0)


def loss(words: Integers, classes: Floats, weights: Floats) -> float:
    """Return the mean logistic loss over all documents."""
    margins = weights[words].sum(axis=1) / WORDS**0.5 * classes
    return float(np.logaddexp(0, -margins).mean())


def touched_by(words: Integers) -> tuple[Integers, Integers]:
    """Return the different words in a batch, and which of these each document has."""
    touched, which = np.unique(words, return_inverse=True)
    return touched, which.reshape(words.shape)


def step(weights: Floats, which: Integers, classes: Floats) -> Floats:
    """Return what to add to the weights of a batch's words."""
    margins = weights[which].sum(axis=1) / WORDS**0.5 * classes
    pull = RATE * classes / (1 + np.exp(margins)) / WORDS**0.5 / len(classes)
    delta: Floats = np.zeros(len(weights))
    np.add.at(delta, which.ravel(), np.repeat(pull, WORDS))
    return delta


def descend(start: int, words: Integers, classes: Floats, ps: ParameterServer) -> None:
    """Take a step for each batch of some documents."""
    for at in range(start, start + PART, BATCH):
        touched, which = touched_by(words[at : at + BATCH])
        weights, version = ps.blocking.pull("weights", indices=touched)
        delta = step(weights, which, classes[at : at + BATCH])
        ps.blocking.push("weights", delta, indices=touched, version=version)


def sequential(words: Integers, classes: Floats, epochs: int) -> list[float]:
    """Take the same steps one after another; return the loss after each epoch."""
    weights = np.zeros(VOCABULARY)
    losses: list[float] = []
    for _ in range(epochs):
        for at in range(0, len(words), BATCH):
            touched, which = touched_by(words[at : at + BATCH])
            weights[touched] += step(weights[touched], which, classes[at : at + BATCH])
        losses.append(loss(words, classes, weights))
    return losses


async def hogwild(
    words: Integers, classes: Floats, epochs: int, workers: int
) -> tuple[list[float], Staleness]:
    """Take the steps in workers; return the loss after each epoch, and how stale they were."""
    losses: list[float] = []
    async with (
        ParameterServer(name="text") as ps,
        af.Fabric(f"local://?processes={workers}") as fabric,
    ):
        await ps.put("weights", np.zeros(VOCABULARY))
        for _ in range(epochs):
            shared = {"words": words, "classes": classes, "ps": ps}
            await fabric.map(descend, range(0, len(words), PART), shared=shared)
            weights, _ = await ps.pull("weights")
            losses.append(loss(words, classes, weights))
        return losses, await ps.staleness("weights")


def plot(path: Path, curves: dict[str, list[float]]) -> None:
    """Draw losses by epoch as an SVG."""
    top = max(max(curve) for curve in curves.values()) * 1.05
    lines: list[str] = []
    for number, (name, curve) in enumerate(curves.items()):
        colour = ("#888", "#c33")[number]
        points = " ".join(
            f"{60 + 480 * at / max(1, len(curve) - 1):.1f},{260 - 240 * value / top:.1f}"
            for at, value in enumerate(curve)
        )
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        lines.append(f'<text x="400" y="{40 + 20 * number}" fill="{colour}">{name}</text>')
    axes = (
        f'<path d="M60,20V260H540" fill="none" stroke="#000"/><text x="5" y="30">{top:.2f}</text>'
    )
    below = '<text x="40" y="262">0</text><text x="280" y="285">epochs</text>'
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="560" height="300" font-family="sans-serif" '
        f'font-size="13">{axes}{below}{"".join(lines)}</svg>\n',
        encoding="utf-8",
    )


async def main(documents: int, epochs: int, workers: int, picture: Path | None) -> None:
    """Descend both ways and compare."""
    words, classes = corpus(documents)
    expected = sequential(words, classes, epochs)
    found, staleness = await hogwild(words, classes, epochs, workers)
    print(f"{documents:,} documents, {workers} workers; loss after each epoch")
    print("epoch   sequential   HOGWILD!")
    for epoch, (one, other) in enumerate(zip(expected, found, strict=True), 1):
        print(f"{epoch:5}   {one:10.4f} {other:10.4f}")
    print(staleness)
    if picture is not None:
        plot(picture, {"sequential": expected, "HOGWILD!": found})
    assert found[-1] <= 1.02 * expected[-1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train a sparse model by HOGWILD!")
    parser.add_argument("--documents", type=int, default=6_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plot", type=Path, help="an SVG of the losses")
    given = parser.parse_args()
    af.run(main(given.documents, given.epochs, given.workers, given.plot))
