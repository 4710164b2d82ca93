"""What the workers run."""

import asyncio
import os
import time

import asyncfabric as af


class Refused(Exception):
    """A user's own exception, with something to carry."""

    def __init__(self, number: int) -> None:
        super().__init__(f"{number} is refused")
        self.number = number


def double(x: int) -> int:
    return 2 * x


def fails_on_sevens(x: int) -> int:
    if x % 7 == 0:
        raise Refused(x)
    return x


def flaky(x: int) -> int:
    """Fail for good, after every attempt that the options allow."""
    raise Refused(x)


def dies_on_three(x: int) -> int:
    if x == 3:
        os._exit(3)
    return x


def hangs(x: int) -> int:
    while True:
        time.sleep(0.005)


def total(x: int, *, table: list[int]) -> int:
    return x + sum(table)


def large(size: int) -> bytes:
    return bytes(size)


def speaks(x: int) -> int:
    print("word", x)
    af.current().progress(0.5)
    return x


async def double_soon(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


async def waits(x: int) -> int:
    await asyncio.sleep(3600)
    return x
