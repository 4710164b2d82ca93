"""Numbers of bytes as people write them."""

from __future__ import annotations

import contextlib
import re

from asyncfabric._exceptions import ConfigurationError

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_size(name: str, size: int | str) -> int:
    """Return a number of bytes, at least 1.

    Args:
        name: of the argument, for the error.
        size: bytes, or a text such as "64MiB", "1.5 GB" (a billion and a half) or "4096".

    Raises:
        ConfigurationError: it is no size.

    >>> parse_size("size", "64MiB")
    67108864
    """
    given: object = size
    bytes_ = 0
    if isinstance(given, int) and not isinstance(given, bool):
        bytes_ = given
    elif isinstance(given, str) and (found := _SIZE.fullmatch(given)):
        with contextlib.suppress(OverflowError):  # hundreds of digits
            bytes_ = int(float(found[1]) * _UNITS.get(found[2].lower(), 0))
    if bytes_ < 1:
        msg = (
            f"{name}={size!r:.80} is no size; give a number of bytes, or a text such as '64MiB' "
            "or '1.5GB'"
        )
        raise ConfigurationError(msg)
    return bytes_
