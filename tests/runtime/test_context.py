"""`current()`, and the random numbers that depend on seed and index alone."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np
import pytest

from asyncfabric_runtime import current
from asyncfabric_storage import ConfigurationError
from tests.runtime.helpers import Worker, answers


def show(_: Any) -> Any:
    context = current()
    return context.job, context.index, context.attempt, context.seed, context.token


def test_in_a_plain_function(worker: Worker) -> None:
    found = answers(worker.run(show, [0, 0], seed=9, first=40))
    assert found == {0: ("job", 40, 1, 9, "job/40"), 1: ("job", 41, 1, 9, "job/41")}


def test_in_coroutine_functions(worker: Worker) -> None:
    async def show_later(_: int) -> int:
        first = current().index
        await asyncio.sleep(0)
        inner = await asyncio.create_task(_index())
        thread = await asyncio.to_thread(lambda: current().index)
        assert first == inner == thread
        return current().index

    async def _index() -> int:
        return current().index

    found = answers(worker.run(show_later, list(range(20)), is_async=True, first=5))
    assert found == {place: place + 5 for place in range(20)}


def test_in_threads_that_copy_the_context(worker: Worker) -> None:
    def ask(_: int) -> Any:
        with ThreadPoolExecutor(1) as pool:
            inside = pool.submit(copy_context().run, lambda: current().index).result()
            try:
                pool.submit(current).result()
            except RuntimeError:
                return inside
        return None

    assert answers(worker.run(ask, [0, 0], first=3)) == {0: 3, 1: 4}


def test_outside_it_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"Fabric\('inline://'\)"):
        current()


def test_it_ends_with_the_call(worker: Worker) -> None:
    worker.run(show, [1])
    with pytest.raises(RuntimeError):
        current()


def test_deadline(worker: Worker) -> None:
    def left(_: int) -> Any:
        deadline = current().deadline
        return None if deadline is None else deadline - time.time()

    assert answers(worker.run(left, [0])) == {0: None}
    found = answers(worker.run(left, [0, 0], timeout=100))
    assert all(0 < value <= 100 for value in found.values())


def test_without_a_store(worker: Worker) -> None:
    def ask(_: int) -> Any:
        try:
            return current().store
        except ConfigurationError as error:
            return str(error)

    assert "storage='file:///a/directory'" in answers(worker.run(ask, [0]))[0]


def test_random_numbers_are_numpys_children(worker: Worker) -> None:
    def draw(_: int) -> Any:
        first, again = (current().rng().standard_normal(5) for _ in range(2))
        assert np.array_equal(first, again)
        return first

    found = answers(worker.run(draw, list(range(6)), seed=2026))
    children = np.random.SeedSequence(2026).spawn(6)
    for place, child in enumerate(children):
        assert np.array_equal(found[place], np.random.default_rng(child).standard_normal(5))
    # whatever the chunking
    for place in (0, 3, 5):
        alone = answers(worker.run(draw, [0], seed=2026, first=place))[0]
        assert np.array_equal(alone, found[place])
    assert not np.array_equal(answers(worker.run(draw, [0], seed=2027))[0], found[0])
