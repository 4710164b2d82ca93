"""What may be a key: one rule for every store, so that a program moves between stores unchanged.

The rule is the part of S3's that every store can keep, and that a path can hold without leaving
its root. It is checked before any input or output.
"""

import re

from ._errors import ConfigurationError

MAX_KEY_BYTES = 1024
"""The longest key, in bytes of UTF-8 (S3's own limit)."""

# A character outside ASCII takes at most four bytes, so a shorter key needs no counting.
_SURELY_SHORT = MAX_KEY_BYTES // 4

_SHOWN = 60  # characters of a key in a message

# Control characters, lone surrogates (not UTF-8) and U+FFFE/U+FFFF (not XML: one such key would
# spoil a whole S3 listing).
_FORBIDDEN = "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
_BAD_SEGMENT = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)")


def validate_key(key: str) -> str:
    """Return `key` unchanged if it may name an object.

    A key is 1 to 1024 bytes of UTF-8 without control characters, made of segments between
    slashes none of which is empty, `.` or `..`. All else is allowed and comes back as it was
    given: spaces, `#`, `%2e`, backslashes, colons, any script.

    Raises:
        ConfigurationError: the key breaks the rule. No input or output has happened.

    >>> validate_key("jobs/nightly/done/17")
    'jobs/nightly/done/17'
    """
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"an object key must be a str, not {type(key).__name__}; convert it with str(...)"
        raise ConfigurationError(msg)
    if _BAD_SEGMENT.search(key) or _forbidden(key) or _too_long(key):
        raise ConfigurationError(_complaint(key, "object key"))
    return key


def validate_prefix(prefix: str) -> str:
    """Return `prefix` unchanged if some key could start with it.

    A prefix is matched as a string: `"a/b"` matches the keys `a/b`, `a/bc` and `a/b/c`.

    Raises:
        ConfigurationError: no key can start with it.
    """
    if not isinstance(prefix, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"a key prefix must be a str, not {type(prefix).__name__}"
        raise ConfigurationError(msg)
    # The last segment may go on in the key ("a/." is a prefix of "a/.b"), so complete it.
    if (
        _BAD_SEGMENT.search(prefix + "x")
        or _forbidden(prefix)
        or len(prefix.encode()) > MAX_KEY_BYTES
    ):
        raise ConfigurationError(_complaint(prefix, "key prefix"))
    return prefix


def _forbidden(key: str) -> "re.Match[str] | None":
    # What is printable is allowed. Few keys need the pattern, so it is compiled when one does.
    return None if key.isprintable() else re.search(_FORBIDDEN, key)


def _too_long(key: str) -> bool:
    return len(key) > _SURELY_SHORT and len(key.encode()) > MAX_KEY_BYTES


def _complaint(key: str, what: str) -> str:
    shown = ascii(key) if len(key) <= _SHOWN else f"{key[:_SHOWN]!a}..."
    if not key:
        return f"an {what} must not be empty; name the object, for example 'results/0'"
    if bad := _forbidden(key):
        return (
            f"the {what} {shown} contains {bad[0]!a} at position {bad.start()}; use text "
            "without control characters and lone surrogates, or encode it, for example as hex"
        )
    if key.startswith("/"):
        return f"the {what} {shown} starts with '/'; leave the leading slash out"
    if _BAD_SEGMENT.search(key):
        return (
            f"the {what} {shown} has an empty, '.' or '..' segment; "
            "join non-empty names with single slashes"
        )
    return (
        f"the {what} {shown} is {len(key.encode())} bytes of UTF-8, more than {MAX_KEY_BYTES}; "
        "shorten it, for example to its SHA-256"
    )
