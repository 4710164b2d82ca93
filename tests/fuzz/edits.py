"""Changes that turn valid messages into others: as a hypothesis strategy, and by a seed."""

from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

# Where lengths, counts and signs turn over, and what pickles, JSON, zip files and HTTP are made of.
NUMBERS = (0, 1, 2, 7, 8, 63, 64, 127, 128, 255, 256, 4096, 65535, 65536, 2**31 - 1, 2**31,
           2**32 - 1, 2**32, 2**40, 2**40 + 1, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
PIECES = (
    b"\x80\x05", b"\x94", b"h\x00", b"r\xff\xff\xff\x0f", b"2", b"0", b"(", b"t", b"\x85", b"\x86",
    b"\x87", b"]", b"a", b"e", b"}", b"s", b"u", b"N", b"\x88", b"\x8a\x08" + b"\xff" * 8, b"\x8f",
    b"\x90", b"\x93", b"cos\nsystem\n", b"R", b"\x81", b"b", b"Q", b"\x82\x01", b"\x97", b"\x98",
    b"\x96" + b"\xff" * 8, b"\x8e\xff\xff\xff\xff\x00\x00\x00\x00", b"G" + b"\x7f\xf8" + b"\0" * 6,
    b"\r\n", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 99999999999999999999\r\n", b"Content-Length: -1",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"0\r\n\r\n", b"5;a=b\r\n",
    b"ffffffffffffffff\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n",
    b"AF\x01", b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"../", b"/", b"\0",
    b'{"', b'":', b"[" * 40, b'"', b"1e999", b"NaN", b"-Infinity", b"\xff\xfe", b"=", b"==",
)  # fmt: skip


class Edit(NamedTuple):
    """One change: what to do, where (in thousandths of the message), with what."""

    what: str
    place: int
    number: int
    piece: bytes


KINDS = ("set", "insert", "remove", "cut", "double", "number", "splice", "flip")


def edits() -> st.SearchStrategy[Edit]:
    """Return changes for hypothesis to choose and to shrink."""
    return st.builds(
        Edit,
        st.sampled_from(KINDS),
        st.integers(0, 1000),
        st.sampled_from(NUMBERS) | st.integers(0, 255),
        st.sampled_from(PIECES) | st.binary(min_size=1, max_size=8),
    )


def random_edit(random: Random) -> Edit:
    """Return a change by a seeded source."""
    number = random.choice(NUMBERS) if random.random() < 0.5 else random.randrange(256)
    piece = (
        random.choice(PIECES) if random.random() < 0.6 else random.randbytes(random.randrange(1, 9))
    )
    return Edit(random.choice(KINDS), random.randrange(1001), number, piece)


def edited(message: bytes, edit: Edit, other: bytes) -> bytes:  # noqa: PLR0911 - a table
    """Return the message changed; `other` is a second one, to splice with."""
    at = min(len(message), edit.place * (len(message) + 1) // 1000)
    before, after = message[:at], message[at:]
    size = 1 + edit.number % 9
    match edit.what:
        case "set":
            return before + edit.piece + after[len(edit.piece) :]
        case "insert":
            return before + edit.piece + after
        case "remove":
            return before + after[size:]
        case "cut":
            return before
        case "double":
            return before + after[: 4 * size] + after
        case "number":
            width = (1, 2, 4, 8)[edit.piece[0] % 4]
            value = (edit.number % (1 << 8 * width)).to_bytes(width)
            return before + (value if edit.piece[0] & 4 else value[::-1]) + after[width:]
        case "splice":
            return before + other[edit.place * (len(other) + 1) // 1000 :]
        case _:
            if not after:
                return message
            return before + bytes([after[0] ^ (1 << edit.number % 8)]) + after[1:]
