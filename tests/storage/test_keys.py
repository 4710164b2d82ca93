"""The rule for keys, and the way from keys to paths and back."""

import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric_storage import MAX_KEY_BYTES, ConfigurationError, validate_key
from asyncfabric_storage._paths import from_name, is_staged, staged_name, to_path

from .conformance import BAD_KEYS, ODD_KEYS, short

_CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cc"])
_SEGMENTS = (
    st.text(_CHARACTERS, min_size=1)
    | st.text("aé日\U0001f600", min_size=80, max_size=300)
    | st.sampled_from(["..", ".", "", "a", "...", "%2e", "C:", "a\\b"])
)
keys = (
    st.lists(_SEGMENTS, min_size=1, max_size=6)
    .map("/".join)
    .filter(lambda key: len(key.encode()) <= MAX_KEY_BYTES)
)


def is_valid(key: str) -> bool:
    """Tell by the words of the rule, not by its pattern."""
    return (
        0 < len(key.encode(errors="replace")) <= MAX_KEY_BYTES
        and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in key)
        and not any("\ud800" <= c <= "\udfff" or c in "\ufffe\uffff" for c in key)
        and not any(segment in {"", ".", ".."} for segment in key.split("/"))
    )


valid_keys = keys.filter(is_valid)


@pytest.mark.parametrize("key", ODD_KEYS, ids=short)
def test_odd_keys_are_allowed(key: str) -> None:
    assert validate_key(key) is key


@pytest.mark.parametrize("key", BAD_KEYS, ids=short)
def test_bad_keys_are_refused_with_advice(key: str) -> None:
    with pytest.raises(ConfigurationError, match="object key") as caught:
        validate_key(key)
    assert isinstance(caught.value, ValueError)
    assert ";" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("key", [None, 3, b"k", Path("k")])
def test_what_is_no_str_is_refused(key: object) -> None:
    with pytest.raises(ConfigurationError, match="must be a str"):
        validate_key(key)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@given(st.text() | st.text(_CHARACTERS) | keys)
def test_the_rule_is_what_it_says(key: str) -> None:
    try:
        validate_key(key)
    except ConfigurationError:
        assert not is_valid(key)
    else:
        assert is_valid(key)


@given(valid_keys)
def test_a_path_stays_below_the_root_and_fits(key: str) -> None:
    path = to_path(key)
    parts = PurePosixPath(path).parts
    assert "/".join(parts) == path
    assert not path.startswith("/")
    assert ".." not in parts
    assert os.path.normpath(path) == path
    assert all(len(part.encode()) <= 255 for part in parts)


@given(valid_keys)
def test_the_way_back(key: str) -> None:
    back = ""
    for part in to_path(key).split("/"):
        name = from_name(part)
        assert name is not None
        text, continued = name
        back += text if continued else text + "/"
    assert back == key + "/"


@given(valid_keys, valid_keys)
def test_two_keys_have_two_paths(one: str, two: str) -> None:
    assert (to_path(one) == to_path(two)) is (one == two)


@given(st.text(_CHARACTERS.filter(lambda c: c != "/"), min_size=1, max_size=60))
def test_an_ordinary_key_is_its_own_path(key: str) -> None:
    assert to_path(key) == key


def test_no_key_names_a_file_that_is_being_written() -> None:
    name = staged_name()
    assert is_staged(name)
    assert from_name(name) is None
    with pytest.raises(ConfigurationError):
        validate_key(name)
    assert not any(is_staged(part) for key in ODD_KEYS for part in to_path(key).split("/"))
