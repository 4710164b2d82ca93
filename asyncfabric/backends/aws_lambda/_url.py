"""`lambda://NAME?...`: which functions, where, and how they are reached."""

from __future__ import annotations

import ipaddress
from typing import Literal, NamedTuple, cast
from urllib.parse import parse_qsl, urlsplit

from asyncfabric._exceptions import ConfigurationError
from asyncfabric.aws._family import DEFAULT_MEMORY, Member, member

TransportKind = Literal["thin", "aiobotocore"]

INLINE_BYTES = 256 * 1024
"""Inputs or results of an invocation that are larger go through the store, unless a URL says so."""
LEAST_INLINE_BYTES, MOST_INLINE_BYTES = 4 * 1024, 4 * 1024 * 1024
"""In base64 and with its envelope, a payload must stay below Lambda's 6 MB."""

_OPTIONS = (
    "region",
    "endpoint_url",
    "profile",
    "memory",
    "arch",
    "transport",
    "inline",
    "heartbeats",
)


class LambdaSettings(NamedTuple):
    """What a `lambda://` URL says.

    Attributes:
        member: the function: that of the family which fits this driver.
        region: AWS region; None for what the environment or the profile says.
        endpoint_url: where the service is, instead of AWS.
        profile: section of the AWS configuration that credentials are taken from.
        transport: how it is spoken to; None to choose.
        inline: bytes of inputs, and of results, that an invocation carries itself.
        heartbeats: how workers tell what they are at: through the store, or not at all.
    """

    member: Member
    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    transport: TransportKind | None = None
    inline: int = INLINE_BYTES
    heartbeats: Literal["store"] | None = None

    @property
    def remote(self) -> bool:
        """Whether the workers are on other machines."""
        host = urlsplit(self.endpoint_url or "").hostname
        return host is None or not _is_loopback(host)


def read_url(url: str) -> LambdaSettings:
    """Read a URL such as `lambda://asyncfabric?region=eu-west-1&memory=3538`.

    The options are `region`, `endpoint_url`, `profile`, `memory` (MB), `arch` ("x86_64" or
    "arm64"), `transport` ("thin" or "aiobotocore"), `inline` (bytes) and `heartbeats` ("store").
    Raises `ConfigurationError`.
    """
    parts = urlsplit(url)
    name = parts.netloc
    if not name or parts.path.strip("/") or parts.fragment:
        msg = (
            f"{url!r} names no function family; write 'lambda://NAME', where NAME is what was "
            "given to 'asyncfabric deploy --name NAME' (by default asyncfabric)"
        )
        raise ConfigurationError(msg)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for option, value in options.items():
        if option not in _OPTIONS:
            msg = f"{url!r}: unknown option {option!r}; the options are {', '.join(_OPTIONS)}"
            raise ConfigurationError(msg)
        if not value:
            msg = f"{url!r}: option {option!r} is empty; give it a value or leave it out"
            raise ConfigurationError(msg)
    transport = options.get("transport")
    if transport not in {None, "thin", "aiobotocore"}:
        msg = f"{url!r}: transport={transport!r} is unknown; use 'thin' or 'aiobotocore'"
        raise ConfigurationError(msg)
    endpoint = options.get("endpoint_url")
    if endpoint is not None and urlsplit(endpoint).scheme not in {"http", "https"}:
        msg = (
            f"{url!r}: endpoint_url={endpoint!r} is no address; it begins with https:// or http://"
        )
        raise ConfigurationError(msg)
    return LambdaSettings(
        member(
            name,
            memory=_number(url, options, "memory", DEFAULT_MEMORY),
            arch=options.get("arch"),
        ),
        options.get("region"),
        endpoint,
        options.get("profile"),
        cast("TransportKind | None", transport),
        _inline(url, options),
        _heartbeats(url, options),
    )


def _heartbeats(url: str, options: dict[str, str]) -> Literal["store"] | None:
    told = options.get("heartbeats")
    if told in {None, "store"}:
        return cast('Literal["store"] | None', told)
    msg = f"{url!r}: heartbeats={told!r} is unknown; use 'store', or leave it out"
    raise ConfigurationError(msg)


def _inline(url: str, options: dict[str, str]) -> int:
    size = _number(url, options, "inline", INLINE_BYTES)
    if not LEAST_INLINE_BYTES <= size <= MOST_INLINE_BYTES:
        msg = (
            f"{url!r}: inline={size} makes no sense; give {LEAST_INLINE_BYTES} to "
            f"{MOST_INLINE_BYTES} bytes"
        )
        raise ConfigurationError(msg)
    return size


def _number(url: str, options: dict[str, str], name: str, default: int) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit():
        msg = f"{url!r}: {name}={text!r} is no whole number; write for example {name}={default}"
        raise ConfigurationError(msg)
    return int(text)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
