"""Keys: where they come from, what is derived from them, and that they never show."""

import base64
import copy
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from asyncfabric import ConfigurationError
from asyncfabric.jobs._key_file import (
    VARIABLE,
    decode_key,
    find_master_key,
    key_path,
    read_key_file,
)
from asyncfabric.jobs._keys import JobKey, MasterKey, expand, extract, job_key
from asyncfabric_storage._commits import Attempt
from tests.shipping.projects import PATH

SECRET = bytes(range(32))


def test_hkdf_gives_what_rfc_5869_says() -> None:
    """Test cases 1, 2 and 3 of its appendix A."""
    prk = extract(bytes(range(13)), b"\x0b" * 22)
    assert prk.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    assert expand(prk, bytes(range(0xF0, 0xFA)), 42).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    prk = extract(bytes(range(0x60, 0xB0)), bytes(range(0x50)))
    assert expand(prk, bytes(range(0xB0, 0x100)), 82).hex() == (
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e"
        "590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
    )
    prk = extract(b"", b"\x0b" * 22)
    assert expand(prk, b"", 42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )
    with pytest.raises(ValueError, match="8160"):
        expand(prk, b"", 8161)


async def test_every_job_and_every_attempt_has_a_key_of_its_own() -> None:
    master = MasterKey(SECRET)
    keys = [
        await job_key(source, name, area)
        for source in (master, MasterKey(SECRET[::-1]))
        for name, area in (("a", "1"), ("a", "2"), ("b", "1"))
    ]
    nonces, subjects = (b"1" * 16, b"2" * 16), (b"3" * 32, b"4" * 32)
    tokens = {
        key.token(nonce, index, number, subject)
        for key in keys
        for nonce in nonces
        for index in (0, 1)
        for number in (1, 2)
        for subject in subjects
    }
    assert len(tokens) == len(keys) * 16
    assert len({key.driver for key in keys} | tokens) == len(keys) * 17
    again = await job_key(MasterKey(SECRET), "a", "1")
    assert again.token(nonces[0], 0, 1, subjects[0]) in tokens
    assert again.driver == keys[0].driver


@pytest.mark.parametrize("size", [0, 16, 31, 1025])
def test_a_master_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ConfigurationError, match="32 to 1024 bytes"):
        MasterKey(b"x" * size)


def _attempt() -> Attempt:
    return Attempt("0" * 32, 1, 1, bytes(16), bytes(32), SECRET)


HIDDEN: dict[str, Any] = {
    "master key": lambda: MasterKey(SECRET),
    "job key": lambda: JobKey(SECRET),
    "attempt": _attempt,
}


@pytest.mark.parametrize("make", HIDDEN.values(), ids=HIDDEN)
def test_keys_never_show(make: Any) -> None:
    hidden = make()
    for shown in (repr(hidden), str(hidden), f"{hidden}", f"{[hidden]}"):
        assert "\\x" not in shown
        assert SECRET.hex()[:8] not in shown
    leaving: list[Any] = [pickle.dumps, vars(cloudpickle)["dumps"], copy.copy, copy.deepcopy]
    for leave in leaving:
        with pytest.raises(TypeError, match="pickle"):
            leave(hidden)
    assert not hasattr(hidden, "__dict__")


TEXTS = {
    "hex": SECRET.hex(),
    "large hex": SECRET.hex().upper(),
    "base64": base64.b64encode(SECRET).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(SECRET).decode().rstrip("="),
    "with white space": f"  {SECRET.hex()}\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_the_environment_holds_a_key(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    assert await find_master_key().derive(b"x") == await MasterKey(SECRET).derive(b"x")


@pytest.mark.parametrize(
    "text", ["", "sesame", SECRET.hex()[:62], SECRET.hex() + "g!", "ü" * 64, "a" * 42, "\0" * 64]
)
def test_what_is_no_key_is_refused_and_not_shown(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{VARIABLE} holds no key") as raised:
        decode_key(text, VARIABLE)
    assert not text.strip("\0") or text not in str(raised.value)


async def test_a_key_file_is_made_on_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    umask = os.umask(0)
    try:
        first = find_master_key()
    finally:
        os.umask(umask)
    path = key_path()
    assert path == tmp_path / "config" / "asyncfabric" / "key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(bytes.fromhex(path.read_text().strip())) == 32
    assert await find_master_key().derive(b"x") == await first.derive(b"x")
    assert [each.name for each in path.parent.iterdir()] == ["key"]


def test_processes_that_make_the_file_at_once_have_the_same_key(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from asyncfabric.jobs._key_file import find_master_key
sys.stdin.read()
print(asyncio.run(find_master_key().derive(b"x")).hex())
"""
    environment = {"PYTHONPATH": PATH, "XDG_CONFIG_HOME": str(tmp_path)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(4)
    ]
    for each in running:  # all of them wait: now they may
        assert each.stdin is not None
        each.stdin.close()
        each.stdin = None
    assert len({each.communicate()[0] for each in running}) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text(SECRET.hex())
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"mode {mode:04o}.*chmod 600"):
        read_key_file(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(SECRET.hex())
    key.chmod(0o600)
    link, pipe, folder = tmp_path / "link", tmp_path / "pipe", tmp_path / "folder"
    link.symlink_to(key)
    os.mkfifo(pipe, 0o600)
    folder.mkdir(0o700)
    for path in (link, pipe, folder, key / "below"):
        with pytest.raises(ConfigurationError, match="key file"):
            read_key_file(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    with pytest.raises(ConfigurationError, match="holds no key"):
        read_key_file(path)
