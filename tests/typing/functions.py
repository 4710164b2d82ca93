"""Functions of several shapes for the type tests."""

import functools
from collections.abc import AsyncIterator, Callable, Iterator


def price(seed: int, volatility: float = 0.2) -> float:
    return seed * volatility


def name(value: int) -> str:
    return str(value)


async def fetch(url: str) -> bytes:
    return url.encode()


def add(left: int, right: float) -> float:
    return left + right


def simulate(seed: int, *, market: list[float]) -> float:
    return seed * sum(market)


def nothing() -> None:
    return None


def pair(value: int) -> tuple[int, str]:
    return value, str(value)


def make() -> Callable[[int], str]:
    return name


class Model:
    def __init__(self, scale: float) -> None:
        self.scale = scale

    def predict(self, value: int) -> float:
        return value * self.scale

    def __call__(self, value: int) -> complex:
        return complex(value, self.scale)


doubled: functools.partial[float] = functools.partial(price, volatility=0.4)


def seeds() -> Iterator[int]:
    yield 1


async def later() -> AsyncIterator[int]:
    yield 1
