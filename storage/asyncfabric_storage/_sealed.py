"""Sealed records: small objects of durable jobs that say who wrote them, and where they belong.

    fixed    120 bytes: magic, version, kind, MAC, nonce, subject, index, number, length of the head
    head     JSON in its canonical spelling, a flat object
    payload  the rest, opaque

The MAC (HMAC-SHA256) covers the name of the place the record belongs to, and every byte of it but
the MAC's own. Nothing beyond the fixed part is looked at before the MAC was found right, and
nothing is ever unpickled here. A reader takes its own version only; this is the first.
"""

import struct
from typing import TYPE_CHECKING, Any, cast

from ._errors import IntegrityError, StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._buffers import Data
    from ._protocol import ObjectStore

MANIFEST, LEASE, DONE, FAILED, INPUTS, ENDED, FINISHED, NOTED, LEFT = range(1, 10)
KINDS = frozenset(range(1, 10))

NONCE_BYTES = 16
SUBJECT_BYTES = 32
KEY_BYTES = 32
VERSION = 1
MAX_HEAD_BYTES = 2 * 1024 * 1024

_FIXED = struct.Struct("!3sBB3s32s16s32sQII16s")
_MAGIC = b"AFJ"
_MAC = slice(8, 40)
_NO_MAC = bytes(32)
_PADDING, _RESERVED = bytes(3), bytes(16)
_DOMAIN = b"asyncfabric sealed record 1\0"
_NOBODY = bytes(SUBJECT_BYTES)

FIXED_BYTES = _FIXED.size


class Sealed:
    """A record as it was read: nothing in it is to be believed before `open` has returned.

    Attributes:
        place: the key that it was read from, below its job.
        kind: what it is: one of the numbers above.
        mac: its MAC.
        nonce: a random number: a driver's, an attempt's or a job's.
        subject: what it is about; of a result, the digest of the input.
        index: which input, lease or segment.
        number: of a result, which attempt.
        head_bytes: how long its head is.
        body: the record's bytes.
    """

    __slots__ = (
        "body",
        "head_bytes",
        "index",
        "kind",
        "mac",
        "nonce",
        "number",
        "place",
        "subject",
    )

    def __init__(self, place: str, body: bytes) -> None:
        """Read the fixed part of a record, which must be one; see `parse`."""
        _, _, kind, _, mac, nonce, subject, index, number, head, _ = _FIXED.unpack_from(body)
        self.place: str = place
        self.body: bytes = body
        self.kind: int = kind
        self.mac: bytes = mac
        self.nonce: bytes = nonce
        self.subject: bytes = subject
        self.index: int = index
        self.number: int = number
        self.head_bytes: int = head

    def makes_sense(self) -> bool:
        """Tell whether the fixed part has only values that are ever written."""
        _, _, _, padding, *_, reserved = _FIXED.unpack_from(self.body)
        fits = FIXED_BYTES + self.head_bytes <= len(self.body)
        in_range = self.kind in KINDS and self.index < 1 << 63 and self.head_bytes <= MAX_HEAD_BYTES
        return fits and in_range and padding == _PADDING and reserved == _RESERVED

    def open(self, key: bytes) -> "tuple[dict[str, Any], memoryview]":
        """Return head and payload, if the record was sealed with this key for this place.

        Raises:
            IntegrityError: it was not, or it has been changed since.
        """
        import hmac

        if not hmac.compare_digest(_mac(key, self.place, self.body), self.mac):
            msg = (
                f"the object {self.place} of a job is not what was written there: it was changed, "
                "or sealed with another key; set ASYNCFABRIC_KEY to the key that the job was made "
                "with, and if it is that one, discard the job and find out who writes to the store"
            )
            raise IntegrityError(msg)
        payload = memoryview(self.body)[FIXED_BYTES + self.head_bytes :]
        return _head(self.place, self.body[FIXED_BYTES : FIXED_BYTES + self.head_bytes]), payload


def seal(
    key: bytes,
    place: str,
    kind: int,
    head: "Mapping[str, Any]",
    payload: "Data" = b"",
    *,
    nonce: bytes,
    subject: bytes = _NOBODY,
    index: int = 0,
    number: int = 0,
) -> bytes:
    """Return the bytes of a record for one place.

    Raises:
        ValueError: a field is out of its range, or the head is too large or holds what JSON can't.
    """
    from ._buffers import as_views

    text = _dump(head)
    if len(text) > MAX_HEAD_BYTES or len(nonce) != NONCE_BYTES or len(subject) != SUBJECT_BYTES:
        msg = "a sealed record's head, nonce or subject has the wrong size"
        raise ValueError(msg)
    if kind not in KINDS or not (0 <= index < 1 << 63 and 0 <= number < 1 << 32):
        msg = "a sealed record's kind, index or number is out of range"
        raise ValueError(msg)
    fixed = _FIXED.pack(
        _MAGIC, VERSION, kind, _PADDING, _NO_MAC, nonce, subject, index, number, len(text),
        _RESERVED,
    )  # fmt: skip
    body = bytearray(b"".join([fixed, text, *as_views(payload)]))
    body[_MAC] = _mac(key, place, body)
    return bytes(body)


def parse(place: str, data: "bytes | bytearray | memoryview") -> Sealed:
    """Read the fixed part of a record; nothing is verified yet.

    Raises:
        IntegrityError: this is no record.
        StorageError: it is one of another version.
    """
    body = bytes(data)
    if len(body) < FIXED_BYTES or body[:3] != _MAGIC:
        msg = (
            f"the object {place} of a job is no record of asyncfabric ({len(body)} bytes); it was "
            "changed or cut off: discard the job, or put the object back"
        )
        raise IntegrityError(msg)
    if body[3] != VERSION:
        msg = (
            f"the object {place} of a job has format {body[3]}, and this asyncfabric reads "
            f"{VERSION}: use the release that the job was made with"
        )
        raise StorageError(msg)
    found = Sealed(place, body)
    if not found.makes_sense():
        msg = f"the object {place} of a job makes no sense: it was changed; discard the job"
        raise IntegrityError(msg)
    return found


async def read_sealed(store: "ObjectStore", root: str, place: str, most: int) -> Sealed:
    """Read the record at `root/place` if it has at most `most` bytes.

    Raises:
        ObjectNotFound: there is none.
        IntegrityError: it is larger, or no record.
        StorageError: it is of another version, or the store failed.
    """
    # One byte more than is allowed: what is there may be of any size, and is not read then.
    data = await store.get(f"{root}/{place}", start=0, end=most + 1)
    if len(data) > most:
        msg = (
            f"the object {place} of a job has more than the {most} bytes that a record may have: "
            "it was changed; discard the job"
        )
        raise IntegrityError(msg)
    return parse(place, data)


def check_fields(place: str, head: "Mapping[str, Any]", fields: "Mapping[str, type]") -> None:
    """Check that a head has these fields, of exactly these types, and no others.

    Raises:
        IntegrityError: it has not. Since its MAC was right, another release wrote it.
    """
    if {name: type(value) for name, value in head.items()} != dict(fields):
        msg = (
            f"the object {place} of a job has other fields than this asyncfabric knows; use the "
            "release that the job was made with"
        )
        raise IntegrityError(msg)


def _mac(key: bytes, place: str, body: "bytes | bytearray") -> bytes:
    import hashlib
    import hmac

    if len(key) != KEY_BYTES:
        msg = f"a key to seal with has {KEY_BYTES} bytes"
        raise ValueError(msg)
    name = place.encode()
    mac = hmac.new(key, _DOMAIN + len(name).to_bytes(4) + name, hashlib.sha256)
    view = memoryview(body)
    mac.update(view[: _MAC.start])
    mac.update(_NO_MAC)
    mac.update(view[_MAC.stop :])
    view.release()
    return mac.digest()


def _dump(head: "Mapping[str, Any]") -> bytes:
    import json

    return json.dumps(dict(head), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _head(place: str, text: bytes) -> "dict[str, Any]":
    import json

    try:
        head: Any = json.loads(text.decode("ascii"))
        # One spelling only: no key twice, no NaN, nothing that another reader takes differently.
        if type(head) is dict and _dump(cast("dict[str, Any]", head)) == text:
            return cast("dict[str, Any]", head)
    except (ValueError, RecursionError):
        pass
    msg = f"the head of {place} can't be read, though it was sealed; discard the job"
    raise IntegrityError(msg)
