"""Input of the tables of two stages: a text and records, the same on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers.stages import KEY, RECORD

if TYPE_CHECKING:
    from pathlib import Path

_SEED = 2017
_VOCABULARY = 200_000
_RECORDS_A_FILE = 640_000
_LETTERS = "etaoinshrdlcumwfgypbvkjxqz"
_SHARES = (
    12.7, 9.1, 8.2, 7.5, 7.0, 6.7, 6.3, 6.1, 6.0, 4.3, 4.0, 2.8, 2.8,
    2.4, 2.4, 2.2, 2.0, 2.0, 1.9, 1.5, 1.0, 0.8, 0.2, 0.1, 0.1, 0.1,
)  # fmt: skip


def write_text(path: Path, size: int) -> None:
    """Write lines of 20 to 140 words, of which there are 200,000 with Zipf's frequencies.

    The frequent ones are short, as in a language.
    """
    import numpy as np

    draw = np.random.default_rng(_SEED)
    rank = np.arange(1, _VOCABULARY + 1)
    lengths = np.clip(draw.poisson(np.log(rank) * 0.45 + 2), 1, 16)
    shares = np.array(_SHARES) / sum(_SHARES)
    letters = "".join(draw.choice(list(_LETTERS), p=shares, size=int(lengths.sum())))
    ends = lengths.cumsum().tolist()
    vocabulary = [letters[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    weights = (1 / (rank + 2.7) ** 1.07).cumsum()
    with path.open("w", encoding="ascii") as file:
        while file.tell() < size:
            places = np.searchsorted(weights, draw.random(100_000) * weights[-1])
            chosen = [vocabulary[place] for place in places.tolist()]
            at = 0
            for length in draw.integers(20, 140, 700).tolist():
                if line := chosen[at : at + length]:
                    file.write(" ".join(line).capitalize() + ".\n")
                at += length


def write_records(folder: Path, count: int) -> None:
    """Write records with random printable keys, their numbers and a line feed, as `gensort -a`."""
    import numpy as np

    folder.mkdir()
    draw = np.random.default_rng(_SEED)
    digits = np.frombuffer(b"0123456789ABCDEF", dtype=np.uint8)
    for first in range(0, count, _RECORDS_A_FILE):
        some = min(_RECORDS_A_FILE, count - first)
        rows = np.full((some, RECORD), ord("."), dtype=np.uint8)
        rows[:, :KEY] = draw.integers(32, 127, (some, KEY), dtype=np.uint8)
        numbers = np.arange(first, first + some, dtype=">u8").view(np.uint8).reshape(-1, 8)
        rows[:, KEY + 1 : KEY + 17 : 2] = digits[numbers >> 4]
        rows[:, KEY + 2 : KEY + 18 : 2] = digits[numbers & 15]
        rows[:, -1] = ord("\n")
        rows.tofile(folder / f"{first:012}")


def check_sorted(source: Path, target: Path, count: int) -> None:
    """See that a directory has all records of another one, in order, as valsort does."""
    from asyncfabric_runtime._bsp._rows import Rows
    from asyncfabric_storage._paths import is_staged

    def rows_of(folder: Path) -> list[Rows]:
        found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        # Checksums of Spark's; what a copy of a call, stopped in the middle, was writing.
        paths = [
            folder / path
            for path in sorted(found)
            if not path.name.startswith((".", "_")) and not is_staged(path.name)
        ]
        return [Rows(path.read_bytes(), RECORD, KEY) for path in paths if path.name[0] not in "._"]

    last, records, checksum = b"", 0, 0
    for rows in rows_of(target):
        if not rows.is_sorted() or rows.key_at(0) < last:
            message = "the records are not in order"
            raise AssertionError(message)
        last = rows.key_at(-1)
        records += len(rows)
        checksum += rows.checksum()
    expected = sum(rows.checksum() for rows in rows_of(source))
    if records != count or checksum % 2**64 != expected % 2**64:
        message = f"{records} records instead of {count}, or others"
        raise AssertionError(message)
