"""Names of the functions of a family."""

import platform

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric import ConfigurationError
from asyncfabric.aws._family import Member, member
from asyncfabric_runtime import PYTHON, WIRE_VERSION

MEMBERS = st.builds(
    Member,
    name=st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True),
    wire=st.integers(1, 999),
    python=st.integers(9, 99).map("3.{}".format),
    arch=st.sampled_from(["x86_64", "arm64"]),
    memory=st.integers(128, 10_240),
)


def test_a_name_says_what_the_worker_is() -> None:
    name = Member("asyncfabric", 1, "3.11", "x86_64", 1769).function_name
    assert name == "asyncfabric-w1-py311-x86_64-1769"


@given(MEMBERS)
def test_what_is_written_is_read(wanted: Member) -> None:
    assert len(wanted.function_name) <= 64
    assert Member.parse(wanted.function_name) == wanted


def test_a_family_may_be_called_like_a_member() -> None:
    odd = Member("a-w1-py311-x86_64-1769", 2, "3.12", "arm64", 512)
    assert Member.parse(odd.function_name) == odd


@pytest.mark.parametrize(
    "name",
    [
        "", "asyncfabric", "asyncfabric-w1-py311-x86_64", "asyncfabric-w1-py311-mips-1769",
        "-w1-py311-x86_64-1769", "asyncfabric-w1-py311-x86_64-1769x", "a b-w1-py311-x86_64-1769",
    ],
)  # fmt: skip
def test_other_functions_are_no_members(name: str) -> None:
    assert Member.parse(name) is None


def test_this_drivers_member() -> None:
    wanted = member("numbers", memory=3538, arch="arm64")
    assert wanted == Member("numbers", WIRE_VERSION, PYTHON, "arm64", 3538)


@pytest.mark.parametrize(
    ("machine", "arch"),
    [("x86_64", "x86_64"), ("AMD64", "x86_64"), ("aarch64", "arm64"), ("arm64", "arm64")],
)
def test_the_architecture_is_this_machines(
    monkeypatch: pytest.MonkeyPatch, machine: str, arch: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert member("numbers").arch == arch


@pytest.mark.parametrize(
    ("name", "memory", "arch", "words"),
    [
        ("", 1769, None, "40 letters"),
        ("a" * 41, 1769, None, "40 letters"),
        ("a.b", 1769, None, "a.b"),
        ("a", 127, None, "128 to 10240"),
        ("a", 10_241, None, "128 to 10240"),
        ("a", 1769, "mips", "x86_64 or arm64"),
    ],
)
def test_what_can_be_no_member(name: str, memory: int, arch: str | None, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        member(name, memory=memory, arch=arch)
