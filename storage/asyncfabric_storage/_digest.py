"""Content addresses: an object named by the SHA-256 of its bytes."""

from typing import TYPE_CHECKING

from ._buffers import as_views

if TYPE_CHECKING:
    from ._buffers import Data


def digest(buffers: "Data") -> str:
    """Return the SHA-256 of `buffers` as 64 lowercase hex digits.

    A sequence of buffers has the digest of their concatenation, which is never built.

    Raises:
        TypeError: not a buffer or a sequence of buffers.

    >>> digest([b"ab", b"c"]) == digest(b"abc")
    True
    """
    import hashlib  # OpenSSL costs 2 ms to load and many workers never hash

    sha = hashlib.sha256()
    for view in as_views(buffers):
        sha.update(view)
    return sha.hexdigest()


def object_key(digest: str) -> str:
    """Return the key of the object whose content has this digest.

    >>> object_key("ba78" + "0" * 60)[:14]
    'objects/ba7800'
    """
    return f"objects/{digest}"
