"""Where the master key is: `ASYNCFABRIC_KEY`, or AWS KMS as that says, or a file of its owner's."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import secrets
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from asyncfabric._exceptions import ConfigurationError

from ._keys import MasterKey

if TYPE_CHECKING:
    from ._keys import KeySource

VARIABLE = "ASYNCFABRIC_KEY"
_OF_KMS = ("arn:", "alias/")  # and no key in base64 begins so
_HEX = re.compile(r"[0-9a-fA-F]+\Z")
_NEW_BYTES = 32
_MOST_BYTES = 4096
_HOW = "python -c 'import secrets; print(secrets.token_hex(32))'"


def find_master_key() -> KeySource:
    """Return the user's master key: of the environment, else of the file, made on first use.

    Where that names a key in AWS KMS, nothing is asked of it before something is derived.

    Raises:
        ConfigurationError: the variable or the file holds no key, or others can read the file.
    """
    text = os.environ.get(VARIABLE)
    if text is not None:
        if text.strip().startswith(_OF_KMS):
            from ._kms_key import KmsKey  # a room that other keys don't need

            return KmsKey(text.strip())
        return MasterKey(decode_key(text, f"the environment variable {VARIABLE}"))
    return read_key_file(key_path())


def key_path() -> Path:
    """Return where the key file is: `asyncfabric/key` in the user's configuration directory."""
    if base := os.environ.get("XDG_CONFIG_HOME"):
        return Path(base) / "asyncfabric" / "key"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "asyncfabric" / "key"
    return Path.home() / ".config" / "asyncfabric" / "key"


def decode_key(text: str, where: str) -> bytes:
    """Read a key in hexadecimal (64 digits or more) or base64; never shows it.

    Raises:
        ConfigurationError: it is neither, or too short.
    """
    text = text.strip()
    try:
        if _HEX.match(text):  # a shortened one is not taken for base64
            key = bytes.fromhex(text)
        else:
            plain = text.replace("-", "+").replace("_", "/")
            key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _NEW_BYTES:
        raise ConfigurationError(
            f"{where} holds no key: give at least {_NEW_BYTES} bytes in hexadecimal or base64, "
            f"such as the output of {_HOW}"
        )
    return key


def read_key_file(path: Path) -> MasterKey:
    """Read the key file; make it, with a new key, if there is none.

    Of several processes that do so at once one makes it, and all read the same key.

    Raises:
        ConfigurationError: it can't be read or made, is no regular file of this user's, can be read
            or written by others, or holds no key.
    """
    try:
        try:
            text = _read(path)
        except FileNotFoundError:
            _make(path)
            text = _read(path)
    except OSError as error:
        raise ConfigurationError(
            f"the key file {path} can't be read or made ({error.strerror or error}); set "
            f"{VARIABLE} instead, to the output of {_HOW}"
        ) from error
    return MasterKey(decode_key(text, f"the key file {path}"))


def _read(path: Path) -> str:
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    # Not waiting for a writer, should it be a pipe.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        _check(path, os.fstat(descriptor))
        return os.read(descriptor, _MOST_BYTES).decode("ascii", "replace")
    finally:
        os.close(descriptor)


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"the key file {path} is no regular file; remove it")
    if sys.platform == "win32":
        return  # its permissions don't show in the mode
    if status.st_uid != os.geteuid():
        raise ConfigurationError(
            f"the key file {path} belongs to another user (id {status.st_uid}); set {VARIABLE}, or "
            "make the file your own"
        )
    if status.st_mode & 0o077:
        raise ConfigurationError(
            f"the key file {path} can be read or written by others (mode "
            f"{stat.S_IMODE(status.st_mode):04o}); run: chmod 600 {path}. If others may have read "
            "it, remove it: a new one is made, and jobs of the old one can't be resumed"
        )


def _make(path: Path) -> None:
    """Make the file with a new key, whole and readable by its owner alone from its first moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(staged, flags, 0o600)
    try:
        try:
            os.write(descriptor, secrets.token_hex(_NEW_BYTES).encode() + b"\n")
            os.fsync(descriptor)  # a key that is lost with the power takes its jobs along
        finally:
            os.close(descriptor)
        # A link and not a rename: who comes second must not replace the key.
        with contextlib.suppress(FileExistsError):
            os.link(staged, path)
    finally:
        staged.unlink()
