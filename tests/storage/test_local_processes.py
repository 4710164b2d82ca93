"""The local store among several processes, some of which are killed."""

import os
import sys
from pathlib import Path

import pytest

from asyncfabric_storage import LocalStore

from . import processes
from .conformance import keys_of
from .processes import output, running

OLD = b"old " * 2**18
NEW = b"new " * 2**18 * 64


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
async def test_one_of_32_processes_creates_an_object(tmp_path: Path) -> None:
    with running("race", str(tmp_path), "32", "100") as process:
        created = output(process).read().split()
        assert process.wait() == 0
    assert len(created) == 100
    winners = dict(word.split("=") for word in created)
    assert len(winners) == 100
    store = LocalStore(tmp_path)
    for key, winner in winners.items():
        assert await store.get(key) == winner.encode() * 200_000
    assert await keys_of(store) == sorted(winners)
    assert len([*(tmp_path / "race").iterdir()]) == 100  # and nothing hidden


async def test_a_reader_never_sees_half_an_object(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    await store.put("k", b"0" * 300_000)
    seen: set[bytes] = set()
    with running("replace", store.url) as process:
        assert output(process).readline() == "ready\n"
        while len(seen) < 10:
            data = bytes(await store.get("k"))
            assert len(data) == 300_000
            assert data == data[:1] * 300_000
            seen.add(data[:1])
        assert (await store.head("k")).size == 300_000


@pytest.mark.parametrize("old", [None, OLD])
async def test_a_process_killed_in_a_write_leaves_the_old_object(
    tmp_path: Path, old: bytes | None
) -> None:
    store = LocalStore(tmp_path)
    if old is not None:
        await store.put("big", old)
    leftovers = 0
    for _ in range(6):
        before = set(tmp_path.iterdir())
        with running("write_forever", store.url) as process:
            assert output(process).readline() == "ready\n"
            # It is in the middle of a write when its hidden file is there.
            while not any(
                path.name.startswith("\x7f") for path in set(tmp_path.iterdir()) - before
            ):
                pass
            process.kill()
        hidden = [path for path in tmp_path.iterdir() if path.name.startswith("\x7f")]
        leftovers += len(hidden)
        keys = await keys_of(store)
        assert keys in ([], ["big"])
        assert keys or old is None
        if keys:
            assert bytes(await store.get("big")) in {old, NEW}
        for path in hidden:
            assert path.stat().st_size <= len(NEW)
            path.unlink()
    assert leftovers  # else no write was interrupted, and nothing has been tested
    await store.put("big", b"next")
    assert bytes(await store.get("big")) == b"next"


async def test_another_process_opens_it_by_url(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "ü #?%20")
    await store.put("k", b"1")
    with running("show", store.url, "k") as process:
        assert output(process).read() == "1\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.skipif(sys.platform == "darwin", reason="forked threads of macOS are not safe")
def test_a_temporary_store_goes_with_its_process_and_not_with_a_child() -> None:
    with running("leave_temporary", "kept") as process:
        root, content = output(process).read().split()
    assert content == "1"
    assert not Path(root).exists()


def test_every_function_can_be_called_by_name() -> None:
    with pytest.raises(KeyError):
        processes.main(["absent"])
