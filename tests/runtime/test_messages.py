"""Envelopes and outcomes: what is sent arrives, and other shapes are refused."""

from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric_runtime import Envelope, Failure, Outcome, Phases, Plan, WireError
from asyncfabric_runtime._envelope import Seals
from asyncfabric_runtime._values import PICKLED, PLAIN, RAW, TUPLE, Encoded
from asyncfabric_runtime._wire import dump_head
from tests.runtime.helpers import frame_bytes, read_frame
from tests.runtime.test_wire import plain

text = st.text(max_size=5)
number = st.integers(0, 2**40)
seconds = st.floats(0, 1e6)
places = st.lists(number, max_size=5) | st.integers(0, 9).flatmap(
    lambda count: number.map(lambda first: range(first, first + count))
)
plans = st.builds(
    Plan,
    job=text,
    function=text,
    is_async=st.booleans(),
    convention=st.sampled_from(["one", "star", "full"]),
    shared=st.dictionaries(text, text, max_size=2),
    seed=st.integers(),
    timeout=st.none() | seconds,
    initializer=st.none() | text,
    env=st.none() | st.dictionaries(text, text, max_size=2),
    store_url=st.none() | text,
    by_reference=st.booleans(),
    prompt=st.booleans(),
    python=text,
)
binaries = st.lists(st.binary(max_size=20), max_size=3)

IN_THE_HEAD = st.sampled_from([PLAIN, PICKLED, RAW, TUPLE])


def exactly(count: int, each: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(each, min_size=count, max_size=count)


def encoded(count: int) -> st.SearchStrategy[Encoded]:
    """So many values, none of which lies in a segment."""
    kinds = exactly(count, IN_THE_HEAD).map(bytes)
    return st.builds(Encoded, st.none() | kinds, exactly(count, plain))


def envelopes(indices: Any) -> st.SearchStrategy[Envelope]:
    count = len(indices)
    return st.builds(
        Envelope,
        plan=plans,
        flight=number,
        indices=st.just(indices),
        attempts=st.integers(1, 9) | exactly(count, st.integers(1, 9)),
        inputs=encoded(count),
        refs=st.lists(text, max_size=3),
        segments=binaries,
        attachments=st.dictionaries(text, st.binary(max_size=9), max_size=3),
        seals=st.none() | st.builds(Seals, st.binary(), st.binary(), st.binary()),
    )


def outcomes(positions: Any) -> st.SearchStrategy[Outcome]:
    count = len(positions)
    return st.builds(
        Outcome,
        flight=number,
        positions=st.just(positions),
        values=encoded(count),
        run=exactly(count, seconds).map(lambda each: array("d", each)),
        failures=st.dictionaries(
            number, st.builds(Failure, text, text, text, text, st.none() | st.binary()), max_size=2
        ),
        logs=st.dictionaries(number, text, max_size=2),
        busy=seconds,
        phases=st.builds(Phases, seconds, seconds, seconds, seconds, seconds),
        cold=st.booleans(),
        peak_memory=number,
        final=st.booleans(),
        lacks=st.lists(text, max_size=2),
        segments=binaries,
        elsewhere=st.lists(number, max_size=3),
    )


@given(places.flatmap(envelopes))
def test_envelopes_round_trip(envelope: Envelope) -> None:
    _, parts = read_frame(frame_bytes(envelope.to_frame()))
    back = Envelope.from_segments(parts)
    assert back.plan == envelope.plan
    assert list(back.indices) == list(envelope.indices)
    assert isinstance(back.indices, range) == isinstance(envelope.indices, range)
    for name in ("flight", "attempts", "inputs", "refs", "seals"):
        assert getattr(back, name) == getattr(envelope, name)
    count = len(envelope.segments)
    assert [bytes(segment) for segment in back.segments[:count]] == envelope.segments
    assert {k: bytes(v) for k, v in back.attachments.items()} == envelope.attachments


@given(places.flatmap(outcomes))
def test_outcomes_round_trip(outcome: Outcome) -> None:
    _, parts = read_frame(frame_bytes(outcome.to_frame()))
    back = Outcome.from_segments(parts)
    assert list(back.positions) == list(outcome.positions)
    assert [bytes(segment) for segment in back.segments] == outcome.segments
    for name in (
        "flight", "values", "run", "failures", "logs", "busy", "phases", "cold", "peak_memory",
        "final", "lacks", "elsewhere",
    ):  # fmt: skip
        assert getattr(back, name) == getattr(outcome, name)
    assert all(type(failure) is Failure for failure in back.failures.values())


@given(plain | st.lists(plain, min_size=7, max_size=12).map(tuple))
def test_heads_of_another_shape_are_refused(head: Any) -> None:
    for kind in (Envelope, Outcome):
        try:
            kind.from_segments([dump_head(head)])
        except WireError:
            continue


@pytest.mark.parametrize(
    "head", [None, 1, (), (1, 2), {"a": 1}, b"", "x" * 7, (None,) * 8, (None,) * 13]
)
def test_shapes_that_make_no_message(head: Any) -> None:
    with pytest.raises(WireError, match=r"another shape|can't be read"):
        Envelope.from_segments([dump_head(head)])
    with pytest.raises(WireError, match="another shape"):
        Outcome.from_segments([dump_head(head)])


def test_an_outcome_with_half_a_number() -> None:
    head: Any = (1, [], (None, []), b"seven b", {}, {}, 0.0, (0.0,) * 5, False, 0, True, [], [])
    with pytest.raises(WireError, match="another shape"):
        Outcome.from_segments([dump_head(head)])
