"""Writes that the operating system takes in parts only."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from asyncfabric_storage._mapping import write_all

PIECES = [b"one", b"", b"two and more", bytes(range(256)) * 50, b"end"]


def written(path: Path, pieces: Sequence[bytes]) -> bytes:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        write_all(fd, [memoryview(piece) for piece in pieces], lambda: False)
    finally:
        os.close(fd)
    return path.read_bytes()


@pytest.mark.parametrize("at_most", [1, 3, 4, 10, 1000, 10**6])
def test_partial_writes_are_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_most: int
) -> None:
    whole_write = os.write

    def write(fd: int, data: memoryview) -> int:
        return whole_write(fd, data[:at_most])

    def writev(fd: int, views: Sequence[memoryview]) -> int:
        return whole_write(fd, b"".join(views)[:at_most])

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "writev", writev)
    assert written(tmp_path / "file", PIECES) == b"".join(PIECES)


def test_without_scattered_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "writev")
    assert written(tmp_path / "file", PIECES) == b"".join(PIECES)


def test_large_and_many_pieces(tmp_path: Path) -> None:
    pieces = [b"x" * 9_000_000, *(b"%d," % number for number in range(5000)), b"y" * 17_000_000]
    assert written(tmp_path / "file", pieces) == b"".join(pieces)
