"""The examples of the parameter server, in short forms: they check their own figures."""

import re
from pathlib import Path

import numpy as np
import pytest

from examples import hogwild_text, train_digits
from tests.redis_server import client_of, redis_binary

from .running import run

TWO = {"ASYNCFABRIC_BACKEND": "local://?processes=2"}


@pytest.fixture(autouse=True)
def needs_redis() -> None:
    redis_binary()  # or skip


# as programs


@pytest.mark.parametrize("own", [False, True])
def test_shared_counter(tmp_path: Path, redis_url: str, own: bool) -> None:
    where = TWO | {"ASYNCFABRIC_REDIS": redis_url} if own else TWO
    output = run(tmp_path, "shared_counter", "--calls", "10", where=where)
    assert "10 calls, 1 of them lost their worker" in output
    assert "1,000,000 points, none twice" in output
    _hold_that_nothing_stays(redis_url, "counter")


def test_top_k(tmp_path: Path) -> None:
    output = run(tmp_path, "top_k", "--k", "3", where=TWO)
    assert re.findall(r"^  (\w{3}) +([\d,]+)$", output, re.MULTILINE) == [
        ("ORD", "17,283"),
        ("ATL", "17,215"),
        ("LAX", "16,174"),
    ]


def test_hogwild_text_with_a_redis_of_the_users_own(tmp_path: Path, redis_url: str) -> None:
    where = TWO | {"ASYNCFABRIC_REDIS": redis_url}
    output = run(tmp_path, "hogwild_text", "--paragraphs=1000", "--epochs=4", where=where)
    assert "1,000 paragraphs, " in output
    above = _above(output)
    assert len(above) == 4
    alone, together = above[-1]
    assert 1 + together <= 1.02 * (1 + alone)
    assert together < 0.01 < above[0][1]  # near the optimum, and it wasn't from the start
    assert float(_found(r"weights are (.*)% from the best", output)) < 15
    assert int(_found(r"(\d+) pushes, staleness mean", output)) > 0
    _hold_that_nothing_stays(redis_url, "text")


def test_train_digits(tmp_path: Path) -> None:
    output = run(tmp_path, "train_digits", "--epochs=3", where=TWO)
    above = _above(output)
    assert len(above) == 3
    alone, together, rounds = above[-1]
    assert 1 + together <= 1.02 * (1 + alone)
    assert 1 + rounds <= 1.02 * (1 + alone)
    assert max(together, rounds) < 0.03 < min(above[0])
    assert _found(r"(\d+) pushes, staleness mean", output) == "216"


def _hold_that_nothing_stays(redis_url: str, name: str) -> None:
    """Except for what is remembered of calls, for a day."""
    with client_of(redis_url) as client:
        kept = client.keys(f"{{asyncfabric:{name}}}*")
        assert [key for key in kept if client.ttl(key) < 0] == []


def _above(output: str) -> list[list[float]]:
    """Return the rows of a table: how far each way is above the optimum, epoch by epoch."""
    rows = re.findall(r"^ +\d+((?: +-?[\d.]+%)+)$", output, re.MULTILINE)
    return [[float(each.rstrip("%")) / 100 for each in row.split()] for row in rows]


def _found(pattern: str, output: str) -> str:
    found = re.search(pattern, output)
    assert found is not None, output
    return str(found[1])


# their parts


def test_the_optimum_of_the_text_is_one() -> None:
    """By strong convexity: the objective can't be below by more than |gradient|^2 / 2 lambda."""
    text, names = hogwild_text.load(500)
    count = len(text.classes)
    assert len(names) == len(text.paragraphs)
    best = hogwild_text.optimum(text)
    gap = (_gradient(text, best) ** 2).sum() * count / 2
    assert gap < 1e-6 * text.objective(best)
    assert text.objective(best) < 0.9 * text.objective(np.zeros_like(best))


def test_steps_on_text_add_up_to_its_gradient() -> None:
    """Regularisation, too, though each step has only its own words' part of it."""
    text, names = hogwild_text.load(300)
    weights = np.random.default_rng(5).normal(size=len(names))
    total = np.zeros_like(weights)
    for at in range(0, len(text.classes), hogwild_text.BATCH):
        batch = text.batch(at)
        total[batch.words] += batch.step(weights[batch.words], len(batch.classes))
    np.testing.assert_allclose(total, -len(text.classes) * _gradient(text, weights), atol=1e-12)


def _gradient(text: hogwild_text.Text, weights: hogwild_text.Floats) -> hogwild_text.Floats:
    """Return the gradient of `Text.objective`, by dense matrices."""
    count = len(text.classes)
    matrix = np.zeros((count, len(weights)))
    matrix[np.repeat(np.arange(count), np.diff(text.starts)), text.words] = text.values
    chances = 1 / (1 + np.exp(matrix @ weights * text.classes))
    found: hogwild_text.Floats = (weights - matrix.T @ (chances * text.classes)) / count
    return found


def test_the_optimum_of_the_digits_is_one() -> None:
    images = train_digits.load()
    best = train_digits.optimum(images)
    least = images.objective(best)
    gradient = (images.gradient(best) + train_digits.PENALTY * best) / len(images.digits)
    gap = (gradient**2).sum() * len(images.digits) / train_digits.PENALTY / 2
    assert gap < 1e-6 * least
    for nudge in np.random.default_rng(5).normal(0, 0.01, (5, *best.shape)):
        assert images.objective(best + nudge) > least


def test_the_digits_are_shared_out() -> None:
    images = train_digits.load()
    batches = [batch for share in range(train_digits.SHARES) for batch in images.batches(share)]
    assert sum(len(batch.digits) for batch in batches) == len(images.digits) == 1_797
