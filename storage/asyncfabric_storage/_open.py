"""From a URL to a store."""

# ruff: noqa: PTH100, PTH111, PTH117
# pathlib costs 5 ms to import and several microseconds a call; paths here are strings.

import os
from typing import TYPE_CHECKING

from ._errors import ConfigurationError
from ._local import LocalStore
from ._memory import MemoryStore
from ._protocol import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult


def open_store(url: "str | ObjectStore") -> ObjectStore:
    """Return the store that `url` names; a store is returned as it is. Nothing is read or written.

    - `memory://`: a new, private store in this process; its own `url` finds it again here.
    - `file:///absolute/directory`: a directory of this machine, made by the first write.
    - `s3://bucket/prefix`: a part of an S3 bucket, with `?region=`, `endpoint_url=` and `owner=`
      (the account that must own it). Credentials are the environment's, as a worker has them.

    Raises:
        ConfigurationError: not a URL, an unknown scheme or option, or a part that is missing.

    >>> open_store("file:///tmp/results").url
    'file:///tmp/results'
    """
    if isinstance(url, ObjectStore):
        return url
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = (
            f"a store is a URL or an ObjectStore, not {type(url).__name__}; "
            "pass for example 'file:///some/dir'"
        )
        raise ConfigurationError(msg)
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise ConfigurationError(_not_a_url(url))
    opener = _SCHEMES.get(scheme.lower())
    if opener is None:
        known = ", ".join(f"{name}://" for name in sorted(_SCHEMES))
        msg = f"unknown storage scheme {scheme!r} in {url!r}; known: {known}"
        raise ConfigurationError(msg)
    from urllib.parse import parse_qsl, urlsplit  # 3 ms that few imports need

    try:
        parts = urlsplit(url)
    except ValueError as error:
        msg = f"{url!r} is not a URL: {error}; write for example 'file:///some/dir'"
        raise ConfigurationError(msg) from None
    if parts.query and parts.scheme != "s3":
        names = ", ".join(sorted({name for name, _ in parse_qsl(f"{parts.query}", True)}))  # noqa: FBT003
        msg = f"{parts.scheme}:// takes no options, but {url!r} has {names}; leave '?...' out"
        raise ConfigurationError(msg)
    if "#" in url:
        msg = f"{url!r} has a fragment; write a '#' in a name as %23"
        raise ConfigurationError(msg)
    return opener(url, parts)


def _not_a_url(url: str) -> str:
    if url.startswith(("/", ".", "~")) or os.path.isabs(url):
        from urllib.parse import quote

        path = os.path.abspath(os.path.expanduser(url))
        return f"{url!r} is a path, not a URL; write 'file://{quote(path)}'"
    return f"{url!r} is not a URL; write 'file:///absolute/dir' or 'memory://'"


def _open_memory(url: str, parts: "SplitResult") -> ObjectStore:
    if parts.path.strip("/"):
        msg = f"{url!r} has a path, which a memory store does not; write 'memory://'"
        raise ConfigurationError(msg)
    return MemoryStore.find(parts.netloc) if parts.netloc else MemoryStore()


def _open_local(url: str, parts: "SplitResult") -> ObjectStore:
    from urllib.parse import quote, unquote

    if parts.netloc not in {"", "localhost"}:
        path = os.path.abspath(unquote(parts.netloc + parts.path))
        msg = (
            f"{url!r} names a host ({parts.netloc!r}), not an absolute directory; "
            f"with three slashes: 'file://{quote(path)}'"
        )
        raise ConfigurationError(msg)
    path = unquote(parts.path)
    if not path:
        msg = f"{url!r} names no directory; write 'file:///absolute/dir'"
        raise ConfigurationError(msg)
    if "\0" in path:
        msg = f"{url!r} has a NUL character in its path; no directory can be named so"
        raise ConfigurationError(msg)
    if os.name == "nt":
        path = path.lstrip("/")  # file:///C:/dir
    return LocalStore(path)


def _open_s3(url: str, parts: "SplitResult") -> ObjectStore:
    from ._s3 import open_s3

    return open_s3(url, parts)


_SCHEMES: "dict[str, Callable[[str, SplitResult], ObjectStore]]" = {
    "memory": _open_memory,
    "file": _open_local,
    "s3": _open_s3,
}
