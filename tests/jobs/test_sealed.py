"""Sealed records: what was written comes back, and nothing else is ever taken for one."""

import json
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncfabric import IntegrityError, ObjectNotFound, StorageError
from asyncfabric_storage import MemoryStore
from asyncfabric_storage._sealed import (
    DONE,
    FIXED_BYTES,
    KINDS,
    check_fields,
    parse,
    read_sealed,
    seal,
)

KEY, OTHER = b"k" * 32, b"o" * 32
PLACE = "done/000000000007"

heads = st.dictionaries(
    st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text(), max_size=4
)


def _record(head: Any = None, payload: bytes = b"payload", **more: Any) -> bytes:
    fields: dict[str, Any] = {"nonce": b"n" * 16, "subject": b"s" * 32, "index": 7, "number": 2}
    whole = {"a": 1} if head is None else head
    return seal(KEY, PLACE, DONE, whole, payload, **{**fields, **more})


@given(
    heads,
    st.binary(max_size=200),
    st.sampled_from(sorted(KINDS)),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**32 - 1),
)
def test_what_was_sealed_comes_back(
    head: Any, payload: bytes, kind: int, nonce: bytes, subject: bytes, index: int, number: int
) -> None:
    fields: dict[str, Any] = {"nonce": nonce, "subject": subject, "index": index, "number": number}
    record = parse(PLACE, seal(KEY, PLACE, kind, head, [payload, b"!"], **fields))
    assert (record.kind, record.nonce, record.subject) == (kind, nonce, subject)
    assert (record.index, record.number) == (index, number)
    found, rest = record.open(KEY)
    assert found == head
    assert rest == payload + b"!"


@given(st.integers(0, len(_record()) - 1), st.integers(1, 255))
def test_every_byte_counts(at: int, change: int) -> None:
    changed = bytearray(_record())
    changed[at] ^= change
    with pytest.raises((IntegrityError, StorageError)):
        parse(PLACE, changed).open(KEY)


@given(st.integers(0, len(_record()) - 1))
def test_every_cut_is_seen(size: int) -> None:
    with pytest.raises(IntegrityError):
        parse(PLACE, _record()[:size]).open(KEY)


@given(st.binary(max_size=300), st.booleans(), st.integers(0, 300))
@example(b"", True, FIXED_BYTES)
def test_anything_else_is_refused(data: bytes, begins_well: bool, at: int) -> None:
    if begins_well:
        data = _record()[:at] + data
    if data == _record():
        return
    with pytest.raises((IntegrityError, StorageError)) as raised:
        parse(PLACE, data).open(KEY)
    assert type(raised.value) in {IntegrityError, StorageError}


def test_a_record_belongs_to_its_place_and_its_key() -> None:
    body = _record()
    with pytest.raises(IntegrityError, match="ASYNCFABRIC_KEY"):
        parse(PLACE, body).open(OTHER)
    for place in ("done/000000000008", "lease/00000007", f"{PLACE}0", ""):
        with pytest.raises(IntegrityError, match="changed"):
            parse(place, body).open(KEY)


def test_another_version_is_named() -> None:
    body = bytearray(_record())
    body[3] = 2
    with pytest.raises(StorageError, match=r"format 2.*reads 1") as raised:
        parse(PLACE, body)
    assert not isinstance(raised.value, IntegrityError)


_MAC = slice(8, 40)


def _resealed(text: bytes) -> bytes:
    """A record with any text as its head, and a right MAC: whoever has the key may write badly."""
    import hashlib
    import hmac

    plain = bytearray(_record({}, b""))
    head = struct.pack("!I", len(text))
    body = bytearray(
        plain[: FIXED_BYTES - 20] + head + plain[FIXED_BYTES - 16 : FIXED_BYTES] + text
    )
    body[_MAC] = bytes(32)
    name = PLACE.encode()
    domain = b"asyncfabric sealed record 1\0" + len(name).to_bytes(4) + name
    body[_MAC] = hmac.digest(KEY, domain + bytes(body), hashlib.sha256)
    return bytes(body)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"1",
        b'{"a": 1}',
        b'{"a":1,"a":1}',
        b'{"b":1,"a":1}',
        b'{"a":NaN}',
        b'{"a":1e400}',
        b'{"a":1.50}',
        b'{"a":"\xc3\xa9"}',
        b'{"a":"\xff"}',
        b"[" * 100_000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":1} ',
        b'{"a":1}{',
    ],
)
def test_a_sealed_head_has_one_spelling(text: bytes) -> None:
    with pytest.raises(IntegrityError, match="head"):
        parse(PLACE, _resealed(text)).open(KEY)


def test_the_helper_above_seals_as_it_should() -> None:
    assert parse(PLACE, _resealed(b'{"a":1}')).open(KEY)[0] == {"a": 1}


@pytest.mark.parametrize(
    "head",
    [{}, {"a": 1, "b": 2}, {"a": True}, {"a": 1.0}, {"a": None}, {"b": 1}],
    ids=json.dumps,
)
def test_fields_are_exactly_those(head: dict[str, Any]) -> None:
    check_fields(PLACE, {"a": 1}, {"a": int})
    with pytest.raises(IntegrityError, match="other fields"):
        check_fields(PLACE, head, {"a": int})


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": b""},
        {"subject": b""},
        {"index": -1},
        {"index": 1 << 63},
        {"number": 1 << 32},
        {"head": {"a": "x" * (3 << 20)}},
        {"head": {"a": float("nan")}},
    ],
    ids=str,
)
def test_nothing_is_sealed_that_could_not_be_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        _record(**wrong)


async def test_what_is_too_large_is_not_read() -> None:
    store = MemoryStore()
    body = _record(payload=b"x" * 1000)
    await store.put(f"root/{PLACE}", body)
    assert (await read_sealed(store, "root", PLACE, len(body))).body == body
    with pytest.raises(IntegrityError, match="more than"):
        await read_sealed(store, "root", PLACE, len(body) - 1)
    with pytest.raises(ObjectNotFound):
        await read_sealed(store, "root", "done/0", 10)
