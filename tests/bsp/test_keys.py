"""Keys: the encoding agrees with Python's equality, and with itself in every process."""

import enum
import math
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfabric_runtime._bsp import _keys
from asyncfabric_runtime._bsp._keys import canonical, partitions_of, stable_hash
from tests.sources import PACKAGES

NUMBERS = st.integers() | st.floats(allow_nan=False) | st.booleans() | st.integers().map(float)
ATOMS = (
    NUMBERS
    | st.text(st.characters(exclude_categories=()), max_size=5)
    | st.binary(max_size=5)
    | st.none()
)
KEYS = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)
# Few values of many kinds, so that equal keys of different types are common.
CLASHING = st.recursive(
    st.sampled_from(
        [0, 1, -1, 0.0, -0.0, 1.0, True, False, None, "", "1", b"1", b"", "s", 0.5, 2**53, 255]
    )
    | st.sampled_from(
        [2**53 + 1, float(2**53), math.inf, -math.inf, 10**400, 1e300, int(1e300), "\udc80"]
    ),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)


class Point(NamedTuple):
    x: int
    y: float


class Level(enum.IntEnum):
    LOW = 1


class Colour(enum.Enum):
    RED = 1


class Loud(str):
    """Compares in its own way."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.upper() == other.upper()

    def __hash__(self) -> int:
        return hash(self.upper())


@settings(max_examples=300, deadline=None)
@given(one=CLASHING, other=CLASHING)
def test_encodings_are_equal_where_keys_are(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == (one == other)


@settings(max_examples=100, deadline=None)
@given(one=KEYS, other=KEYS)
def test_no_two_keys_share_an_encoding(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == (one == other)


@pytest.mark.parametrize(
    ("special", "plain"), [(Point(1, 2.0), (1, 2)), (Level.LOW, 1), (True, 1.0), (-0.0, 0)]
)
def test_types_that_compare_as_their_base(special: Any, plain: Any) -> None:
    assert canonical(special) == canonical(plain)


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        (math.nan, "use None"),
        ((1, (math.nan,)), "use None"),
        ([1], r"tuple\(key\)"),
        ({1}, "sorted"),
        ({1: 2}, "items"),
        (Decimal(1), "str"),
        (np.int64(1), r"key\.item\(\)"),
        (np.arange(2), "make a str"),
        (Colour.RED, r"key\.value"),
        (Loud("a"), "make a str"),
        (1j, "make a str"),
        (object(), "make a str"),
    ],
)
def test_what_is_no_key(key: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=advice):
        canonical(key)
    with pytest.raises(TypeError, match=advice):
        partitions_of([key, "a"], 5)
    with pytest.raises(TypeError, match=advice):
        partitions_of(["a", key], 5, lambda _: 0)


def test_the_hash_is_what_it_was_in_the_first_release() -> None:
    """Stored: another value would send one key to two partitions, of old and new workers."""
    keys = ["", "word", b"word", 0, 1, -1, 0.5, None, (), ("a", 1), 2**64, "\udc80"]
    assert [stable_hash(key) for key in keys] == STORED


STORED = [
    4202060187,
    3123558495,
    2240915501,
    1173173953,
    3067838039,
    3822470364,
    1519575398,
    3783624242,
    2910459432,
    761050754,
    3548667103,
    149178455,
]


@settings(max_examples=60, deadline=None)
@given(keys=st.lists(KEYS, max_size=8), partitions=st.integers(1, 1000))
def test_all_at_once_as_one_by_one(keys: list[Any], partitions: int) -> None:
    expected = [stable_hash(key) * partitions >> 32 for key in keys]
    assert partitions_of(keys, partitions) == expected
    assert all(0 <= place < partitions for place in expected)


AGREED: list[Any] = [
    "word", "", b"b", b"", 1, True, 1.0, -0.0, 2.5, 2**70, 1e300, math.inf, -math.inf, 5e-324, None,
    (), ("a", (1, None)), (("a", 1), None), ("a", b"a", ((),)), "\udc80", "\U0001f600",
    *map(str, range(50)), *range(-50, 50), *(number / 8 for number in range(50)),
]  # fmt: skip
PATH = [str(folder.parent) for folder in PACKAGES.values()]
PROGRAM = """
import sys
from math import inf
sys.path[:0] = eval(sys.argv[1])
from asyncfabric_runtime._bsp._keys import canonical, partitions_of
keys = eval(sys.argv[2])
print([canonical(key) for key in keys], partitions_of(keys, 97))
"""


def told_by(python: str, seed: str) -> str | None:
    """What another process says of the keys, None if it doesn't begin."""
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    environment.pop("PYTHONPATH", None)
    begins = subprocess.run([python, "-c", ""], env=environment, capture_output=True, check=False)
    if begins.returncode:
        return None
    done = subprocess.run(
        [python, "-c", PROGRAM, repr(PATH), repr(AGREED)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


HERE = f"{[canonical(key) for key in AGREED]} {partitions_of(AGREED, 97)}\n"


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_other_processes_agree(seed: str) -> None:
    assert told_by(sys.executable, seed) == HERE


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_other_versions_of_python_agree(version: str) -> None:
    """Those that there are on this machine."""
    pythons = [shutil.which(f"python{version}")]
    pythons += map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    told = [found for python in pythons if python and (found := told_by(python, "7"))]
    if not told:
        pytest.skip(f"there is no Python {version} here")
    assert set(told) == {HERE}


FAMILIES: dict[str, list[Any]] = {
    "numbers": list(range(20_000)),
    "even numbers": list(range(0, 65536 * 4, 16)),
    "padded": [f"user{number:09}" for number in range(20_000)],
    "hex": [f"{number:08x}" for number in range(0, 2**28, 2**14)],
    "floats": [number / 7 for number in range(1, 20_000, 3)],
    "pairs": [(a, b) for a in range(140) for b in range(140)],
    "bytes": [number.to_bytes(8, "little") for number in range(20_000)],
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("partitions", [2, 16, 97, 256])
def test_keys_that_are_alike_are_spread(family: str, partitions: int) -> None:
    """No partition has much more than chance would give it: six standard deviations."""
    keys = FAMILIES[family]
    counts = [0] * partitions
    for place in partitions_of(keys, partitions):
        counts[place] += 1
    mean = len(keys) / partitions
    assert max(counts) <= mean + 6 * math.sqrt(mean)


def half(_: object) -> Any:
    return 0.5


def test_a_partition_function_of_ones_own() -> None:
    assert partitions_of([1, 12, -1], 10, lambda key: key) == [1, 2, 9]
    assert partitions_of([5], 10, lambda _: int(np.int64(13))) == [3]
    with pytest.raises(TypeError, match="no whole number"):
        partitions_of(["a"], 10, half)


@pytest.mark.parametrize("partitions", [0, -1, 1.0, True, None, _keys.MOST_PARTITIONS + 1])
def test_numbers_of_partitions_that_make_no_sense(partitions: Any) -> None:
    with pytest.raises(ValueError, match="from 1 to"):
        _keys.check_partitions(partitions)
