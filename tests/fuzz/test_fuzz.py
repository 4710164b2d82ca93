"""A short form of the fuzzing, by hypothesis; `python -m tests.fuzz` is the long one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .edits import edited, edits
from .targets import TARGETS

CHEAP = sorted(name for name, target in TARGETS.items() if target.cheap)
DEAR = sorted(name for name, target in TARGETS.items() if not target.cheap)


def _tried(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    messages = st.sampled_from(target.seeds)
    message, other = data.draw(messages), data.draw(messages)
    for edit in data.draw(st.lists(edits(), max_size=6)):
        message = edited(message, edit, other)
    target.run(message)


@pytest.mark.parametrize("name", TARGETS)
def test_valid_messages_break_no_law(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", CHEAP)
@settings(max_examples=100)
@given(data=st.data())
def test_changed_messages_break_no_law(name: str, data: st.DataObject) -> None:
    _tried(name, data)


@pytest.mark.parametrize("name", DEAR)
@settings(max_examples=40)
@given(data=st.data())
def test_changed_messages_of_dear_targets_break_no_law(name: str, data: st.DataObject) -> None:
    _tried(name, data)


@pytest.mark.parametrize("name", ["envelope", "outcome", "record", "event", "reply", "answers"])
@settings(max_examples=100)
@given(drawn=st.binary(max_size=120))
def test_drawn_parts_break_no_law(name: str, drawn: bytes) -> None:
    TARGETS[name].run(drawn)
