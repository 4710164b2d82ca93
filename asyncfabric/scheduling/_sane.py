"""Whether a policy's values make sense: their types, too, since not everyone has a type checker."""

from __future__ import annotations

from math import isnan


def is_count(value: object, least: int) -> bool:
    """Tell whether it is a whole number, `least` or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_between(value: object, least: float, most: float = float("inf")) -> bool:
    """Tell whether it is a number from `least` to `most`."""
    if not isinstance(value, int | float) or isinstance(value, bool) or isnan(value):
        return False
    return least <= value <= most


def refuse(policy: str, name: str, value: object, wanted: str) -> None:
    """Raise the `ValueError` for a value that makes no sense."""
    msg = f"{policy}({name}={value!r}) makes no sense; give {wanted}"
    raise ValueError(msg)
