"""Data whose reading would take for ever: hashes and texts that somebody has chosen."""

import json
from array import array
from decimal import Decimal
from typing import Any

import pytest

from asyncfabric import IntegrityError
from asyncfabric._codec import decode_outcome
from asyncfabric_runtime import Outcome, Plan
from asyncfabric_runtime._data import DATA, encode_data
from asyncfabric_runtime._data_reading import BadDataError, DataReader, decode_data
from asyncfabric_runtime._values import PLAIN, Encoded

_PRIME = (1 << 61) - 1
_LARGE = (1 << 200_000) + 1


@pytest.mark.parametrize(
    "node",
    [
        {"$": "set", "v": [at * _PRIME for at in range(1, 1000)]},
        {"$": "dict", "v": [[at * _PRIME, 0] for at in range(1, 1000)]},
        {
            "$": "frozenset",
            "v": [
                {"$": "tuple", "v": [-1 - (at >> bit & 1) for bit in range(10)]}
                for at in range(1024)
            ],
        },
        {
            "$": "set",
            "v": [{"$": "int", "v": hex(_LARGE)}, {"$": "Decimal", "v": str(hash(_LARGE))}],
        },
        {
            "$": "set",
            "v": [
                {"$": "tuple", "v": [{"$": "int", "v": hex(_LARGE)}]},
                {"$": "tuple", "v": [{"$": "Decimal", "v": str(hash(_LARGE))}]},
            ],
        },
    ],
    ids=["ints", "keys", "tuples", "digits", "digits in tuples"],
)
def test_members_of_equal_hashes_are_refused(node: object) -> None:
    """A few hundred KB of them would hold the reader's interpreter for minutes."""
    with pytest.raises(BadDataError, match="equal hashes"):
        decode_data(DATA, json.dumps(node).encode(), [])


def test_members_that_only_seem_alike_are_read() -> None:
    values: list[Any] = [
        {(a, b, c) for a in range(-4, 4) for b in range(-4, 4) for c in range(-4, 4)},
        {Decimal(-1), Decimal(-2), 3},
        {-1: "a", -2: "b", _LARGE: "c"},
    ]
    for value in values:
        segments: list[Any] = []
        kind, body = encode_data(value, segments)
        assert decode_data(kind, body, segments) == value


def test_a_text_stands_for_one_value() -> None:
    text = json.dumps([[]] * 1000).encode()
    reader = DataReader([])
    assert len(reader.read(DATA, text)) == 1000
    with pytest.raises(BadDataError, match="used once"):
        reader.read(DATA, text)


def test_what_stands_in_a_head_is_flat() -> None:
    """Tuples in tuples cost a byte each, and a hash of a million of them ends the process."""
    deep: Any = ()
    for _ in range(200):
        deep = (deep,)
    for value in (deep, [1], {"a": 1}, "x" * 100_000):
        with pytest.raises(BadDataError):
            DataReader([]).read(PLAIN, value)
        outcome = Outcome(1, range(2), Encoded(None, [value, (1, "a")]), array("d", [0.0, 0.0]))
        plan = Plan(job="job", function="0" * 64, data_results=True)
        values, bad = decode_outcome(outcome, plan)
        assert values == [(1, "a")]
        assert isinstance(bad[0], IntegrityError)
