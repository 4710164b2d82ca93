"""Functions that workers can import."""

FACTOR = 3


class Kind:
    """A class that workers can import."""


def plain(x: int) -> int:
    return 2 * x


def scaled(x: int) -> int:
    return FACTOR * x
