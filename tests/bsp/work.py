"""Functions that the tests have run by workers."""

from __future__ import annotations

import os
import random
import re
import resource
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncfabric as af
from asyncfabric_runtime._bsp._mapper import Mapper

if TYPE_CHECKING:
    from collections.abc import Iterator


def given(item: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """The pairs are the item."""
    return item


def one_by_one(item: list[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """The same as a generator."""
    yield from item


def kept(key: Any, values: Iterator[Any]) -> tuple[Any, list[Any]]:
    """All that came."""
    return key, list(values)


def joined(one: Any, other: Any) -> Any:
    """Associative, and not commutative."""
    return (*one, *other)


def words(text: str) -> Counter[str]:
    return Counter(text.split())


def words_of(chunk: af.bsp.Chunk) -> Counter[str]:
    return Counter(chunk.lines())


def length(chunk: af.bsp.Chunk) -> int:
    return sum(1 for _ in chunk.lines())


def largest(pairs: list[tuple[str, int]]) -> tuple[int, str]:
    return max((count, word) for word, count in pairs)


def total(word: str, counts: Iterator[int]) -> tuple[str, int]:
    return word, sum(counts)


def by_length(pairs: list[tuple[str, int]]) -> Iterator[tuple[int, int]]:
    for word, count in pairs:
        yield len(word), count


def largest_or_none(pairs: list[tuple[str, int]]) -> tuple[int, str] | None:
    return max(((count, word) for word, count in pairs), default=None)


def maximum(found: Iterator[tuple[int, str] | None]) -> tuple[int, str]:
    return max(each for each in found if each is not None)


def divides(partition: list[Any]) -> list[tuple[int, int]]:
    raise ZeroDivisionError


def given_kept(partition: list[tuple[int, list[int]]]) -> list[tuple[int, int]]:
    return [(key, value) for key, values in partition for value in values]


Node = tuple[int, tuple[int | None, tuple[int, ...]]]


def reach(nodes: list[Node]) -> Iterator[Node]:
    """Each node itself, and its neighbours one step further."""
    for node, (distance, neighbours) in nodes:
        yield node, (distance, neighbours)
        if distance is not None:
            for neighbour in neighbours:
                yield neighbour, (distance + 1, ())


def nearest(node: int, known: Iterator[tuple[int | None, tuple[int, ...]]]) -> Node:
    found = list(known)
    distances = [distance for distance, _ in found if distance is not None]
    return node, (min(distances, default=None), max(neighbours for _, neighbours in found))


def summed(key: int, counts: Iterator[int]) -> tuple[int, int]:
    return key, sum(counts)


def frequent(word: str, counts: Iterator[int]) -> Iterator[str]:
    """None, or several results for a key."""
    number = sum(counts)
    for _ in range(number - 1):
        yield word


def wide(number: int) -> Iterator[tuple[int, tuple[int, str]]]:
    """3,000 pairs of a kilobyte: three times the memory limit."""
    draw = random.Random(number)
    for place in range(3000):
        yield draw.randrange(40), (number * 3000 + place, "x" * 1000)


def increasing(key: int, values: Iterator[tuple[int, str]]) -> tuple[int, int, bool]:
    """How many there are, and whether they are in order."""
    count, last, ordered = 0, -1, True
    for number, _ in values:
        ordered = ordered and number > last
        count, last = count + 1, number
    return key, count, ordered


def dies_once(item: tuple[str, int]) -> list[tuple[int, int]]:
    """Its first attempt ends the process after some work."""
    _, number = item
    if number == 1 and af.current().attempt == 1:
        os._exit(1)
    return [(number % 3, number)]


def fails(item: int) -> list[tuple[int, int]]:
    if item == 3:
        raise ZeroDivisionError
    return [(item, item)]


def adds_none(item: Any) -> Iterator[tuple[int, int]]:
    """Its second pair is an error of its own, and a TypeError as the others."""
    yield 1, item
    yield 2, item + None


def fails_to_reduce(key: int, values: Iterator[int]) -> int:
    return 1 // (key - 2) + sum(values)


def one_each(item: int) -> list[tuple[int, int]]:
    return [(item, item)]


def square(number: int) -> int:
    return number * number


async def square_later(number: int) -> int:
    return number * number


def scaled(number: int, /, *, factor: int) -> int:
    return number * factor


def wrapped(number: int) -> tuple[int, ...]:
    return (number,)


def concatenated(parts: Iterator[tuple[int, ...]]) -> tuple[int, ...]:
    """Associative, and not commutative."""
    return tuple(number for part in parts for number in part)


def big(number: int) -> bytes:
    return bytes([number]) * 300_000


def lengths(parts: Iterator[bytes]) -> list[tuple[int, int]]:
    return [(part[0], len(part)) for part in parts]


def tells_and_waits(_: object, values: Iterator[Any]) -> None:
    """Say that it runs, and take its time."""
    print("reducing", flush=True)
    time.sleep(60)


def tells_and_waits_for_more(values: Iterator[Any]) -> None:
    tells_and_waits(None, values)


def first_only(parts: Iterator[Any]) -> Any:
    return next(parts)


def not_sendable(_: int) -> Any:
    return (number for number in range(3))


def added(numbers: Iterator[int]) -> int:
    return sum(numbers)


def filled(item: tuple[int, int]) -> Iterator[tuple[int, tuple[int, str]]]:
    """So many pairs of a kilobyte, of 200 keys."""
    number, count = item
    for place in range(count):
        yield place % 200, (number * count + place, chr(97 + place % 26) * 1000)


def filled_lists(item: tuple[int, int]) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """The same in lists of one."""
    for key, value in filled(item):
        yield key, [value]


def lengths_of(key: int, values: Iterator[list[Any]]) -> tuple[int, int]:
    return key, sum(map(len, values))


def large(item: tuple[int, int]) -> Iterator[tuple[int, tuple[int, bytes]]]:
    """So many pairs of 20 kB."""
    number, count = item
    for place in range(count):
        yield place, (number * count + place, bytes(20_000))


def fails_while_another_works(item: tuple[str, int]) -> list[tuple[int, int]]:
    """Number 0 fails when 1 has begun; that ends a little later, sooner than it is killed."""
    folder, number = item
    begun = Path(folder) / "begun"
    if number:
        begun.touch()
        time.sleep(0.04)
        return [(1, 1)]
    while not begun.exists():
        time.sleep(0.001)
    raise ZeroDivisionError


def meets(item: tuple[str, int]) -> None:
    """Return when the other one has begun, too."""
    folder, number = item
    (Path(folder) / f"meets{number}").touch()
    end = time.monotonic() + 30
    while not (Path(folder) / f"meets{1 - number}").exists():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.001)


class Bounded:
    """Keeps a process from taking so much more memory for data than it has."""

    def __init__(self, more: int) -> None:
        self._more = more

    def __call__(self) -> None:
        threading.stack_size(256 * 1024)  # stacks count as data
        [taken] = re.findall(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
        limit = int(taken) * 1024 + self._more
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def spread(size: int) -> int:
    return len(bytearray(size))


class DiesWhenDone(Mapper):
    """The first attempt at the item 1 ends its process when it has written its object."""

    def __call__(self, item: Any) -> tuple[str, bytes]:
        told = super().__call__(item)
        if item[1] == 1 and af.current().attempt == 1:
            os._exit(1)
        return told


class HangsWhenDone(Mapper):
    """The first execution of the item 1 writes its object, and doesn't answer until it is let go.

    The items are a directory and a number.
    """

    def __call__(self, item: Any) -> tuple[str, bytes]:
        folder = Path(item[0])
        told = super().__call__(item)
        if item[1] == 1:
            try:
                (folder / "written").touch(exist_ok=False)
            except FileExistsError:
                return told
            end = time.monotonic() + 30
            while not (folder / "go").exists():
                assert time.monotonic() < end, "it was never let go"
                time.sleep(0.005)
        return told


def second(item: tuple[str, int]) -> int:
    return item[1]


def by_three(item: tuple[str, int]) -> list[tuple[int, int]]:
    return [(item[1] % 3, item[1])]


def _note(folder: str, what: str) -> None:
    (Path(folder) / f"{what}.{os.urandom(6).hex()}").touch()


def noted_pairs(item: tuple[str, int]) -> list[tuple[int, tuple[str, int]]]:
    """A pair, and a note that it ran."""
    _note(item[0], "mapped")
    return [(item[1] % 3, item)]


def noted_values(key: int, values: Iterator[tuple[str, int]]) -> tuple[int, list[tuple[str, int]]]:
    """All values, and a note that it ran. It fails unless the file "go" is there."""
    found = list(values)
    folder = found[0][0]
    if (Path(folder) / "tell").exists():
        tells_and_waits(key, iter(()))
    (Path(folder) / "go").stat()
    _note(folder, "reduced")
    return key, found


def noted_number(item: tuple[str, int]) -> tuple[str, int]:
    _note(item[0], "mapped")
    return item


def noted_sum(items: Iterator[tuple[str, int]]) -> tuple[str, int]:
    found = list(items)
    folder = found[0][0]
    (Path(folder) / "go").stat()
    _note(folder, "reduced")
    return folder, sum(number for _, number in found)


def lines_in(chunk: af.bsp.Chunk) -> int:
    return sum(1 for _ in chunk.lines())


async def lines_below(url: str) -> int:
    """The same where the chunks are planned by the worker."""
    return sum([len([1 async for _ in chunk.lines()]) async for chunk in af.bsp.chunks(url)])


def nothing(_: object) -> Any:
    return None
