"""The meaning of `start` and `end`, the same in every store."""

from ._errors import ConfigurationError, StorageError


def check_range(start: int, end: int | None) -> None:
    """Refuse a range that no object could have.

    Raises:
        ConfigurationError: negative, or the end comes before the start.
    """
    if start < 0 or (end is not None and end < start):
        msg = f"the range [{start}, {end}) makes no sense; need 0 <= start <= end"
        raise ConfigurationError(msg)


def clip_range(key: str, size: int, start: int, end: int | None) -> tuple[int, int]:
    """Return the range cut to an object of `size` bytes.

    Raises:
        StorageError: it starts beyond the object.
    """
    if start > size:
        msg = (
            f"the range of object {key!r} starts at byte {start}, but it has only {size} bytes; "
            "look at its size with head(key)"
        )
        raise StorageError(msg)
    return start, size if end is None else min(end, size)
