"""Where a Redis is and how to log on to it, without saying the password."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from asyncfabric._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SILENCE_MOST = 3600.0  # seconds; sockets take no more than some years
# What this module sets itself, or what would change the meaning of replies.
_OURS = ("decode_responses", "protocol", "encoding", "max_connections", "client_name")


@dataclass(frozen=True)
class Address:
    """The address of a Redis.

    Attributes:
        url: `redis://`, `rediss://` (TLS) or `unix://`; may hold user and password.
        password_env: environment variable that holds the password, in every process that connects.
        patience: seconds without any answer until `ServerUnreachable`.
        private: whether only this machine can reach it.
    """

    url: str = field(repr=False)
    password_env: str | None = None
    patience: float = 30.0
    private: bool = False

    def __post_init__(self) -> None:
        # Read early, so that a slip shows where it was made. No message repeats the URL.
        try:
            parts = urlsplit(self.url)
            parts.port  # noqa: B018 - raises for a port that is none
        except ValueError:
            raise ConfigurationError(
                "the Redis URL can't be read: its port is no number, or characters like '@', '/' "
                "and '#' in its password aren't escaped (urllib.parse.quote)"
            ) from None
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise ConfigurationError(
                f"a Redis URL begins with redis://, rediss:// or unix://, not {parts.scheme!r}"
            )
        for name, value in parse_qsl(parts.query):
            if name in _OURS:
                raise ConfigurationError(f"?{name}= can't be chosen for a parameter server")
            if name == "db":
                _check_database(value)
        if parts.scheme != "unix" and (database := parts.path.strip("/")):
            _check_database(database)
        if self.password_env is not None and parts.password:
            raise ConfigurationError(
                "the Redis URL holds a password and password_env= names another one; leave one out"
            )

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        if parts.scheme == "unix":
            return f"unix://{parts.path}"
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or 'localhost'}{port}{parts.path}"

    @cached_property
    def identity(self) -> str:
        """Equal for addresses at which the same connection serves."""
        return f"{self.url} {self.password_env or ''} {self.patience}"

    @property
    def silence(self) -> float:
        """Seconds without an answer until a connection is taken for dead and replaced."""
        return min(self.patience / 3, _SILENCE_MOST)

    def options(self) -> tuple[str, Mapping[str, Any]]:
        """Return the scheme and what redis-py's connection classes take.

        Raises `ConfigurationError` if it can't be reached from here by its nature, if the variable
        with the password is missing, or if redis-py doesn't know an option of the URL.
        """
        if self.private and "AWS_LAMBDA_RUNTIME_API" in os.environ:
            raise ConfigurationError(
                "this ParameterServer has a private Redis on the driver's machine, which Lambda "
                "can't reach: give it the URL of a Redis that can be, in the function's VPC say"
            )
        # The blocking and the async module read URLs the same way.
        import redis.connection

        connection: Any = redis.connection  # whose types are partly unknown
        try:
            options: dict[str, Any] = dict(connection.parse_url(self.url))
        except ValueError as error:
            raise ConfigurationError(f"the Redis URL can't be used: {error}") from None
        options.pop("connection_class", None)
        if self.password_env is not None:
            password = os.environ.get(self.password_env)
            if password is None:
                raise ConfigurationError(
                    f"environment variable {self.password_env} holds no password for Redis in this "
                    "process: set it where the workers run, as password_env= says"
                )
            options["password"] = password
        return urlsplit(self.url).scheme, options


def _check_database(text: str) -> None:
    # redis-py takes 0 where it can't read a number.
    if not text.isdecimal():
        raise ConfigurationError(f"a Redis database is a number, not {text!r}: redis://host:6379/0")
