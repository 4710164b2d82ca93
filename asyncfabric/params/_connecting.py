"""What the blocking and the async connection have in common: handshake, backoff, what to repeat."""

from __future__ import annotations

import logging
import random
import secrets
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import ConfigurationError

from ._errors import ParameterError, ServerUnreachable
from ._scripts import SCRIPTS
from ._steps import Answer, text_of, translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._address import Address
    from ._steps import Command, Reply, Word

_CONNECT_TIMEOUT = 5.0  # seconds; then it tries again
_BACKOFF = 0.02
_BACKOFF_MOST = 1.0
_FAILURES_TOLD = 2  # the first may be a connection that was idle for long

_log = logging.getLogger("asyncfabric.params")

# The server can't do it just now: connect again and repeat. NOSCRIPT: somebody flushed the scripts,
# which every new connection loads.
_TRANSIENT = ("NOSCRIPT", "READONLY", "LOADING", "MASTERDOWN", "BUSY ", "TRYAGAIN")

HANDSHAKE: tuple[Command, ...] = (
    *(("SCRIPT", "LOAD", script.text) for script in SCRIPTS),
    ("INFO", "server"),
)


class Again(Exception):
    """The server can't carry a command out just now."""


def require_redis() -> None:
    """Raise `ConfigurationError` where redis-py is missing."""
    if find_spec("redis") is None:
        raise ConfigurationError(
            "a ParameterServer needs redis-py: pip install 'asyncfabric[redis]'; on Lambda it must "
            "be among the packages that are deployed with the function"
        )


def connection_options(address: Address) -> tuple[str, dict[str, Any]]:
    """Return the scheme, and the keywords that make a redis-py connection behave.

    It repeats nothing by itself, looks after its health when it is used, and says nothing of a
    maintenance.
    """
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    scheme, options = address.options()
    # A connection that nobody says is dead: the system finds out while it is idle.
    alive = {} if scheme == "unix" else {"socket_keepalive": True}
    return scheme, {
        **alive,
        "socket_connect_timeout": min(_CONNECT_TIMEOUT, address.silence),
        **options,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "protocol": 2,
        "driver_info": None,
    }


def incarnation_of(replies: Sequence[Reply]) -> str:
    """Return the name of the server's process, from the replies to the handshake."""
    for reply in replies[:-1]:
        if isinstance(reply, Exception):
            raise translated(reply)
    info = replies[-1]
    if isinstance(info, bytes):
        for line in info.splitlines():
            if line.startswith(b"run_id:"):
                return line[7:].decode()
    # Not allowed to ask: every connection may be to another one.
    return secrets.token_hex(8)


def pack(commands: Sequence[Command]) -> bytes:
    """Return commands as Redis reads them. Raises `TypeError` for a word that can't be sent."""
    # Not by hiredis, which crashes where a signal's handler raises while it packs an integer.
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for word in command:
            data = word if isinstance(word, bytes) else _encoded(word)
            parts += b"$%d\r\n" % len(data), data, b"\r\n"
    return b"".join(parts)


def _encoded(word: Word) -> bytes:
    if isinstance(word, str):
        return word.encode()
    if isinstance(word, int):
        return b"%d" % word
    msg = f"{type(word).__name__} can't be sent to Redis"
    raise TypeError(msg)


def answer(replies: Sequence[Reply], incarnation: str) -> Answer:
    """Return replies; raises `Again` if one says that the server can't do it just now."""
    for reply in replies:
        # A transaction's replies are in the last one.
        for each in reply if isinstance(reply, list) else (reply,):  # pyright: ignore[reportUnknownVariableType]
            if isinstance(each, Exception) and any(code in text_of(each) for code in _TRANSIENT):
                raise Again(text_of(each))
    return Answer(replies, incarnation)


def fatal(error: Exception) -> Exception | None:
    """Return what to raise for an error while connecting that no repetition mends, or None."""
    from redis.exceptions import AuthenticationError, AuthorizationError

    if isinstance(error, AuthenticationError | AuthorizationError):
        return ParameterError(
            f"Redis did not let us in ({error}): check user and password, in the URL or in the "
            "variable that password_env= names"
        )
    if isinstance(error, ConfigurationError | ParameterError | TypeError):
        return error
    text = text_of(error)
    if "DB index" in text or "Invalid Database" in text:
        return ParameterError(
            "Redis has no database of the number that the URL ends with; its setting 'databases' "
            "says how many there are, from 0"
        )
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return ParameterError(
            f"Redis's certificate can't be trusted ({text}): name its authority with "
            "?ssl_ca_certs=FILE in the URL"
        )
    return None


def unreachable(address: Address, error: BaseException) -> ServerUnreachable:
    """Return the error for a server that doesn't answer."""
    tls = ", and that this port speaks TLS" if address.url.startswith("rediss:") else ""
    return ServerUnreachable(
        f"no answer from Redis at {address} within patience={address.patience:g} s "
        f"({_named(error)}); check that it runs and can be reached from here{tls}. What was being "
        "pushed or put was applied once or not at all"
    )


def note(address: Address, error: BaseException, failures: int) -> None:
    """Say in the log, once, that a server doesn't answer and that it isn't given up yet."""
    if failures == _FAILURES_TOLD:
        _log.warning(
            "no answer from Redis at %s yet (%s); trying for up to %g s",
            *(address, _named(error), address.patience),
        )


def _named(error: BaseException) -> str:
    text = f": {error}" if str(error) else ""
    return f"{type(error).__name__}{text}"


def new_connection(classes: Mapping[str, Any], address: Address, **more: Any) -> Any:  # noqa: ANN401
    """Return a connection of the class for the URL's scheme, not connected yet."""
    scheme, options = connection_options(address)
    try:
        return classes[scheme](**options, **more)
    except TypeError as error:
        raise ConfigurationError(
            f"the Redis URL has an option that redis-py doesn't know ({error})"
        ) from None


def pause(failures: int) -> float:
    """Return how many seconds to wait after so many failures: full jitter."""
    return random.uniform(0, min(_BACKOFF_MOST, _BACKOFF * 2**failures))  # noqa: S311
