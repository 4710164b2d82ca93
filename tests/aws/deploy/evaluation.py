"""What a policy allows, decided as AWS does: for what our policies use, and refusing all else.

An explicit denial wins, then an explicit permission; what nobody mentions is denied.
"""

import re
from collections.abc import Mapping
from typing import Any

_KEYS = {"Sid", "Effect", "Action", "Resource", "Condition"}


def allows(
    document: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]
) -> bool:
    """Decide about one request; `context` is what it has of condition keys."""
    assert document["Version"] == "2012-10-17"
    effects: set[str] = set()
    for statement in document["Statement"]:
        assert set(statement) <= _KEYS, f"not understood: {set(statement) - _KEYS}"
        if (
            any(_like(each, action, fold=True) for each in _list(statement["Action"]))
            and any(_like(each, resource) for each in _list(statement["Resource"]))
            and _holds(statement.get("Condition", {}), context)
        ):
            effects.add(statement["Effect"])
    assert effects <= {"Allow", "Deny"}
    return "Deny" not in effects and "Allow" in effects


def _holds(condition: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    """All operators and all keys must hold; of several values one."""
    return all(
        _one_holds(operator, context.get(key), [str(each) for each in _list(values)])
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


def _one_holds(operator: str, has: str | None, values: list[str]) -> bool:
    if operator == "Null":
        (absent,) = values
        return (has is None) == (absent == "true")
    name = operator.removesuffix("IfExists")
    if has is None:
        return name != operator
    match name:
        case "StringEquals":
            return has in values
        case "StringLike":
            return any(_like(each, has) for each in values)
        case "Bool":
            return has.lower() in values
        case _:
            raise AssertionError(f"not understood: {operator}")


def _like(pattern: str, text: str, *, fold: bool = False) -> bool:
    """`*` and `?` stand for anything, slashes included."""
    parts = (".*" if each == "*" else "." if each == "?" else re.escape(each) for each in pattern)
    return re.fullmatch("".join(parts), text, re.IGNORECASE if fold else 0) is not None


def _list(value: Any) -> list[Any]:
    return [*value] if isinstance(value, list) else [value]
