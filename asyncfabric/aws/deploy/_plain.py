"""Plain data, as JSON has it, told apart in a way that type checkers follow."""

from __future__ import annotations

from typing import Any, TypeGuard


def is_fields(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether `value` is an object of JSON."""
    return isinstance(value, dict)


def is_items(value: object) -> TypeGuard[list[Any]]:
    """Return whether `value` is an array of JSON."""
    return isinstance(value, list)
