"""Keys of durable jobs: one master key of the user's, and what is derived from it.

    master key   ASYNCFABRIC_KEY, or a file of the user's own; stays in the driver, or in AWS KMS
     +- job key  HKDF-SHA256 (RFC 5869) of the master key, the job's name and its area; KMS: an HMAC
         +- driver key    seals manifest, leases, digests of inputs, failures
         +- attempt key   of which each attempt gets HMAC(nonce, index, number, input's digest)

A worker has its attempts' tokens and nothing else: it can seal a result of its own input and no
other record. No key is ever written to a store, and none shows in a `repr` or a pickle.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from asyncfabric._exceptions import ConfigurationError
from asyncfabric_storage._sealed import KEY_BYTES, NONCE_BYTES, SUBJECT_BYTES

if TYPE_CHECKING:
    from asyncfabric_storage._sealed import Sealed

MIN_MASTER_BYTES = 32
MAX_MASTER_BYTES = 1024

_SALT = b"asyncfabric durable jobs 1"
_HASH = hashlib.sha256


class KeySource(Protocol):
    """Where job keys come from: a master key in this process, or a service that keeps one."""

    async def derive(self, context: bytes) -> bytes:
        """Return 32 bytes that only the holder of the master key can find out for this context.

        The same ones for the same context, always and in every process.
        """
        ...


class Hidden:
    """What must not leave this process: neither shown nor pickled."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, hidden>"

    def __reduce__(self) -> NoReturn:
        msg = (
            f"a {type(self).__name__} stays in the driver and can't be pickled or copied; don't "
            "name it in functions that workers run"
        )
        raise TypeError(msg)

    def __copy__(self) -> NoReturn:
        self.__reduce__()

    def __deepcopy__(self, memo: Any) -> NoReturn:  # noqa: ANN401 - as the protocol has it
        self.__reduce__()


class MasterKey(Hidden):
    """A master key in this process's memory; it derives by HKDF-SHA256."""

    __slots__ = ("_prk",)

    def __init__(self, secret: bytes) -> None:
        """Take the secret, of 32 to 1024 bytes. Raises `ConfigurationError` for another length."""
        if not MIN_MASTER_BYTES <= len(secret) <= MAX_MASTER_BYTES:
            raise ConfigurationError(
                f"a master key has {MIN_MASTER_BYTES} to {MAX_MASTER_BYTES} bytes, not "
                f"{len(secret)}; make one: python -c 'import secrets; print(secrets.token_hex(32))'"
            )
        self._prk = extract(_SALT, secret)

    async def derive(self, context: bytes) -> bytes:
        """Return the key for a context; see `KeySource`."""
        return expand(self._prk, context)


class JobKey(Hidden):
    """What is derived for one job: its driver's key, and tokens for its attempts."""

    __slots__ = ("_attempts", "_driver")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            msg = f"a key source derives {KEY_BYTES} bytes, not {len(key)}"
            raise ValueError(msg)
        self._driver = expand(key, b"driver")
        self._attempts = expand(key, b"attempts")

    @property
    def driver(self) -> bytes:
        """The key that the driver seals its own records with."""
        return self._driver

    def token(self, nonce: bytes, index: int, number: int, subject: bytes) -> bytes:
        """Return what an attempt seals its result with."""
        if len(nonce) != NONCE_BYTES or len(subject) != SUBJECT_BYTES:
            msg = "an attempt's nonce or subject has the wrong size"
            raise ValueError(msg)
        text = nonce + index.to_bytes(8) + number.to_bytes(4) + subject
        return hmac.digest(self._attempts, text, _HASH)

    def token_of(self, record: Sealed) -> bytes:
        """Return the token of the attempt that a record says it is of."""
        return self.token(record.nonce, record.index, record.number, record.subject)


async def job_key(source: KeySource, name: str, area: str) -> JobKey:
    """Derive the key of a job from its name and its area."""
    context = b"\0".join((b"asyncfabric job 1", name.encode(), area.encode()))
    return JobKey(await source.derive(context))


def extract(salt: bytes, secret: bytes) -> bytes:
    """Return HKDF-Extract of RFC 5869, with SHA-256."""
    return hmac.digest(salt or bytes(_HASH().digest_size), secret, _HASH)


def expand(key: bytes, info: bytes, size: int = KEY_BYTES) -> bytes:
    """Return HKDF-Expand of RFC 5869, with SHA-256: at most 8160 bytes."""
    done = block = b""
    for counter in range(1, 256):
        if len(done) >= size:
            break
        block = hmac.digest(key, block + info + bytes([counter]), _HASH)
        done += block
    if len(done) < size:
        msg = f"HKDF gives at most {255 * _HASH().digest_size} bytes"
        raise ValueError(msg)
    return done[:size]
