"""What a head may claim: that its parts are of their types, and that they agree with each other.

Plain data of the wrong shape would be found out much later, in the middle of the calls or of the
driver's books, where nobody expects it any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._envelope import Envelope, Plan
    from ._outcome import Outcome

_INT, _TEXT, _BYTES = frozenset((int,)), frozenset((str,)), frozenset((bytes,))
_FLAG = frozenset((bool,))
_NUMBERS = frozenset((int, float, bool))
# Kinds of values whose body says which segments they are in; see `_values` and `_data`.
_IN_SEGMENTS = frozenset((2, 6))
_CONVENTIONS = frozenset(("one", "star", "full"))
_PLAN: dict[str, tuple[type, ...]] = {
    "job": (str,),
    "function": (str,),
    "convention": (str,),
    "seed": (int,),
    "timeout": (int, float, type(None)),
    "initializer": (str, type(None)),
    "store_url": (str, type(None)),
    "python": (str,),
    "archive": (str, type(None)),
    "area": (str, type(None)),
    "inline": (int, type(None)),
    "heartbeats": (tuple, type(None)),
}


def plan_agrees(plan: Plan) -> bool:
    """Tell whether every part of a plan is of its type; flags may be anything."""
    beats: Any = plan.heartbeats
    return (
        all(isinstance(getattr(plan, name), kinds) for name, kinds in _PLAN.items())
        and plan.convention in _CONVENTIONS
        and _maps(plan.shared, str)
        and _maps(plan.secrets, str)
        and _maps(plan.code, bytes)
        and (plan.env is None or _maps(plan.env, str))
        and (beats is None or (len(beats) == 2 and type(beats[0]) is str))  # noqa: PLR2004 - a pair
        and (beats is None or type(beats[1]) in _NUMBERS)
    )


def envelope_agrees(envelope: Envelope) -> bool:
    """Tell whether an envelope has as many inputs as calls, and all parts are of their types."""
    indices, attempts = envelope.indices, envelope.attempts
    count = len(indices)
    return (
        type(envelope.flight) is int
        and _places(indices)
        and _are(envelope.inputs, count, len(envelope.segments))
        and (
            type(attempts) is int
            or (type(attempts) is list and len(attempts) == count and _all(attempts, _INT))
        )
        and type(envelope.refs) is list
        and _all(envelope.refs, _TEXT)
        and _all(envelope.attachments, _TEXT)
        and _all(envelope.seals or (), _BYTES)
    )


def outcome_agrees(outcome: Outcome) -> bool:
    """Tell whether an outcome has as many values and times as positions, and all of its types."""
    failures = outcome.failures
    return (
        type(outcome.flight) is int
        and _places(outcome.positions)
        and _are(outcome.values, len(outcome.positions), len(outcome.segments))
        and len(outcome.run) == len(outcome.positions)
        and _all(failures, _INT)
        and _all(outcome.elsewhere, _INT)
        and all(_all(failure[:4], _TEXT) for failure in failures.values())
        and all(type(failure.pickled) in {bytes, type(None)} for failure in failures.values())
        and _maps(outcome.logs, str, _INT)
        and type(outcome.busy) in _NUMBERS
        and _all(outcome.phases, _NUMBERS)
        and _all((outcome.cold, outcome.final), _FLAG)
        and type(outcome.peak_memory) is int
        and type(outcome.lacks) is list
        and _all(outcome.lacks, _TEXT)
        and _all(outcome.elsewhere, _INT)
    )


def _all(values: Any, kinds: frozenset[type]) -> bool:  # noqa: ANN401 - whatever was sent
    return kinds.issuperset(map(type, values))


def _places(places: Sequence[int]) -> bool:
    return isinstance(places, range) or _all(places, _INT)


def _maps(mapping: Mapping[Any, Any], kind: type, keys: frozenset[type] = _TEXT) -> bool:
    # The plan has taken empty ones of any type for none.
    return (
        isinstance(mapping, dict)
        and _all(mapping, keys)
        and _all(mapping.values(), frozenset((kind,)))
    )


def _are(encoded: Any, count: int, segments: int) -> bool:  # noqa: ANN401 - `Encoded`
    """Tell whether these are so many values; each that lies in segments, in some that are there."""
    kinds, bodies = encoded
    if type(bodies) is not list or len(bodies) != count:  # pyright: ignore[reportUnknownArgumentType]
        return False
    if kinds is None:
        return True
    if type(kinds) is not bytes or len(kinds) != count:
        return False
    if _IN_SEGMENTS.isdisjoint(kinds):
        return True
    return all(
        _is_place(body, segments)
        for kind, body in zip(kinds, bodies, strict=True)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        if kind in _IN_SEGMENTS
    )


def _is_place(body: Any, segments: int) -> bool:  # noqa: ANN401 - whatever was sent
    if type(body) is not tuple or list(map(type, body)) != [int, int]:  # pyright: ignore[reportUnknownArgumentType]
        return False
    first, count = cast("tuple[int, int]", body)
    return 0 <= first < segments and 0 < count <= segments - first
