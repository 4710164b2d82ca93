"""What is read from a store, and what the function is invoked with."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import sys
import tempfile
import zipfile
from binascii import b2a_base64
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from asyncfabric._exceptions import IntegrityError, StorageError
from asyncfabric.jobs import _inputs, _lease, _manifest, _results
from asyncfabric.jobs._keys import JobKey
from asyncfabric.jobs._manifest import Code, Manifest, Terms
from asyncfabric.shipping._identity import Identity
from asyncfabric_runtime import _archives, _aws_lambda
from asyncfabric_runtime._archives import ArchiveError, Archives
from asyncfabric_runtime._heartbeat import read_name
from asyncfabric_storage import MemoryStore, _job_places, digest
from asyncfabric_storage._sealed import (
    DONE,
    ENDED,
    FAILED,
    FIXED_BYTES,
    INPUTS,
    LEASE,
    MANIFEST,
    Sealed,
    parse,
    seal,
)

from .drawn import Drawn
from .guard import Unpickled, names_refused, nothing_is_unpickled
from .wire_targets import frames

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = JobKey(b"k" * 32)
AREA = "0123456789abcdef" * 2


def manifest() -> Manifest:
    """Return a manifest."""
    terms = Terms(Identity({"function f": "12", "module m": "34"}), "3.11", shared={"x": "ff"})
    return Manifest("name", AREA, terms, Code("f" * 64), 5, "0.1", "2026-11-23T08:00:00Z")


def _failed() -> Sealed:
    failed = _results.Failed("user", "ValueError", "no", "Traceback", b"\x80\x05N.", 1)
    return failed.sealed(KEY, 7, 1, bytes(32))


def _result(head: dict[str, Any], payload: bytes) -> Sealed:
    nonce, subject = bytes(16), bytes(32)
    token = KEY.token(nonce, 7, 1, subject)
    place = _job_places.done(7)
    more: dict[str, Any] = {"nonce": nonce, "subject": subject, "index": 7, "number": 1}
    return parse(place, seal(token, place, DONE, head, payload, **more))


_DONE_HEAD = {"codec": "pickle", "size": 4, "digest": "", "execution": "0" * 32}
HEADS: list[tuple[str, int, dict[str, Any], bytes]] = [
    ("names/name", MANIFEST, {}, b""),  # the head is the manifest's own
    (_job_places.done(7), DONE, _DONE_HEAD, b"\x80\x05N."),
    (
        _job_places.done(7),
        FAILED,
        {"epoch": 1, "kind": "user", "message": "no", "traceback": "", "type": "ValueError"},
        b"",
    ),
    (_job_places.ENDED, ENDED, {"total": 3}, bytes(48)),
    (_job_places.segment(0), INPUTS, {}, bytes(256 * 16)),
    (_job_places.lease(1), LEASE, {"host": "h", "pid": 1}, b""),
]


def records() -> list[bytes]:
    """Return valid records of all kinds, each after a byte that says who reads it."""
    made = [manifest().sealed(KEY), _result(_DONE_HEAD, b"\x80\x05N."), _failed()]
    made.append(_lease.Lease(1, bytes(16), "h", 1).sealed(KEY))
    return [bytes([0, reader]) + record.body for reader in range(5) for record in made]


def _readers() -> list[tuple[str, Callable[[Sealed], object]]]:
    return [
        ("names/name", lambda record: _manifest.opened(record, "name", KEY)),
        (_job_places.done(7), lambda record: _results.opened(record, 7, KEY)),
        (_job_places.ENDED, lambda record: _inputs._ended(record, KEY)),
        (_job_places.segment(0), lambda record: _inputs._digests(record, 0, KEY)),
        (_job_places.lease(1), _read_lease),
    ]


def _read_lease(record: Sealed) -> object:
    store = MemoryStore()

    async def read() -> object:
        await store.put(f"jobs/{AREA}/{record.place}", record.body)
        return await _lease.newest_lease(store, f"jobs/{AREA}", KEY)

    return asyncio.run(read())


def record(data: bytes) -> None:
    """A sealed record: refused, or as it was sealed; and one that its own writer forged."""
    drawn = Drawn(data)
    forged = drawn.below(2) == 1
    with nothing_is_unpickled():
        try:
            if not forged:
                place, read = _readers()[drawn.below(5)]
                raw = drawn.rest()
                found = parse(place, raw)
                assert len(raw) >= FIXED_BYTES
                read(found)
                return
            place, kind, head, payload = drawn.choice(HEADS)
            if kind == MANIFEST:
                head = manifest().sealed(KEY).open(KEY.driver)[0]
            changed: Any = drawn.changed(head)
            payload = drawn.some() if drawn.below(2) else payload
            nonce, subject = bytes(16), bytes(32)
            index, number = drawn.choice([7, 0, 1, 3, 2**63 - 1]), drawn.choice([1, 0, 2**32 - 1])
            key = KEY.token(nonce, index, number, subject) if kind == DONE else KEY.driver
            if not isinstance(changed, dict):
                return
            try:
                body = seal(
                    key, place, kind, cast("dict[str, Any]", changed), payload,
                    nonce=nonce, subject=subject, index=index, number=number,
                )  # fmt: skip
            except (ValueError, TypeError):
                return  # what JSON can't say
            reader = dict(_readers())[place]
            got = reader(parse(place, body))
        except (IntegrityError, StorageError):
            return
    if isinstance(got, Manifest):
        assert _manifest.opened(got.sealed(KEY), "name", KEY) == got
    if isinstance(got, _results.Committed) and got.failed is None:
        asyncio.run(_read_payload(got))


async def _read_payload(got: _results.Committed) -> None:
    store = MemoryStore()
    await store.put(f"jobs/{AREA}/{got.place or 'none'}", b"other")
    with suppress(IntegrityError, StorageError):
        await _results.read_payload(store, f"jobs/{AREA}", got)


def names(data: bytes) -> None:
    """Names of objects, which anybody may choose who can write: read as ours, or left alone."""
    text = data.decode("latin-1")
    found = read_name(text)
    assert found is None or found[0] >= 0
    for folder in (_job_places.DONE, _job_places.LEASE, _job_places.INPUTS):
        number = _job_places.number_in(folder + text, folder)
        spelt = {
            _job_places.DONE: _job_places.done,
            _job_places.LEASE: _job_places.lease,
            _job_places.INPUTS: _job_places.segment,
        }[folder]
        assert number is None or spelt(number) == folder + text
    found_data = _job_places.execution_in(text)
    assert found_data is None or _job_places.data(*found_data, text[-32:]) == text


# -- archives -----------------------------------------------------------------------------------


def zips() -> list[bytes]:
    """Return valid archives."""
    made: list[bytes] = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("package/__init__.py", "value = 1\n" * 5)
            archive.writestr("package/data.bin", bytes(200))
            archive.writestr("empty/", "")
        made.append(buffer.getvalue())
    return made


def archive(data: bytes) -> None:
    """An archive: refused without a trace, or files and folders below its own directory."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as outer:
        root = Path(outer) / "root"
        with mock.patch.object(_archives, "MAX_BYTES", 1 << 20):
            try:
                Archives(str(root)).install(digest(data), data)
            except (ArchiveError, IntegrityError):
                assert not root.exists() or list(root.iterdir()) == []
            else:
                assert [path.name for path in root.iterdir()] == [digest(data)]
        assert {path.name for path in Path(outer).iterdir()} <= {"root"}
        total = 0
        for path in root.rglob("*"):
            status = path.lstat()
            assert stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
            assert not status.st_mode & 0o7022
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
        assert total <= 1 << 20


# -- the function's handler ---------------------------------------------------------------------


class _Nowhere:
    """A store with nothing in it."""

    async def get(self, key: str, **_: object) -> memoryview:
        return memoryview(b"not what was asked for")


def events() -> list[bytes]:
    """Return the base64 of valid frames."""
    return [b"\0" + b2a_base64(frame, newline=False) for frame in frames()]


def event(data: bytes) -> None:
    """What the function is invoked with: an answer or a refusal, and nothing is imported for it.

    An envelope names its code by digest. Here no code comes along that could be unpickled.
    """
    drawn = Drawn(data)
    raw = drawn.plain() if drawn.below(2) else drawn.rest().decode("latin-1")
    worker = _aws_lambda.LambdaWorker()
    worker._served = worker._equipped = True
    worker._archives = Archives(os.devnull)  # no directory, so that it holds none
    environment = dict(os.environ)
    streams = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = io.StringIO()
    try:
        with (
            names_refused(),
            mock.patch.object(_aws_lambda, "open_shared_store", return_value=_Nowhere()),
        ):
            answer = worker.serve(raw, 0.0)
    except Unpickled:
        return  # code that came along: whoever may invoke may run it
    finally:
        sys.stdout, sys.stderr = streams
        os.environ.clear()
        os.environ.update(environment)
        if worker._process._loop is not None:
            worker._process._loop.close()
    if isinstance(answer, dict):
        assert answer["asyncfabric"] == "refused"
        told = cast("dict[str, Any]", answer)
        assert len(told["reason"]) < 1000
    else:
        assert isinstance(answer, str)
        assert answer.isascii()
