"""Backends by URL."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from asyncfabric._exceptions import ConfigurationError

if TYPE_CHECKING:
    from ._protocol import Backend


_MOST = 4096
"""Processes; each takes descriptors and tens of MB, so more is a slip of the keyboard."""


def open_backend(url: str, limit: int | None = None) -> Backend:
    """Make a backend: `local://`, `local://?processes=8`, `lambda://NAME` or `inline://`.

    Nothing is started yet. `limit` is how many attempts may run at once, if there is a limit.
    Raises `ConfigurationError` for what it doesn't know.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme not in ("local", "inline", "lambda") or "://" not in url:
        msg = (
            f"no backend is called {url!r}; use 'local://' (optionally '?processes=N'), "
            "'lambda://NAME' or 'inline://'"
        )
        raise ConfigurationError(msg)
    if parts.scheme == "lambda":
        from .aws_lambda import LambdaBackend, read_url

        return LambdaBackend(read_url(url), limit)
    if parts.netloc or parts.path.strip("/") or parts.fragment:
        msg = f"{url!r}: nothing may follow {parts.scheme}:// but options, as in 'local://?processes=8'"
        raise ConfigurationError(msg)
    if parts.scheme == "inline":
        _refuse_unknown(url, options, ())
        from ._inline import InlineBackend

        return InlineBackend()
    _refuse_unknown(url, options, ("processes",))
    from .local import LocalBackend

    return LocalBackend(_processes(url, options.get("processes")))


def _refuse_unknown(url: str, options: dict[str, str], known: tuple[str, ...]) -> None:
    for name in options:
        if name not in known:
            takes = f"the only option is {known[0]!r}" if known else "this backend takes no options"
            msg = f"{url!r}: unknown option {name!r}; {takes}"
            raise ConfigurationError(msg)


def _processes(url: str, text: str | None) -> int:
    if text is None:
        return usable_cores()
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST:
        msg = f"{url!r}: processes={text!r} makes no sense; give a number from 1 to {_MOST}"
        raise ConfigurationError(msg)
    return int(text)


def usable_cores() -> int:
    """Return the cores this process may run on: in a container perhaps fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
