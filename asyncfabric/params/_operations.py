"""The operations' arguments, checked and bound: what is left is to carry them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ._checks import float_array, parameter_name
from ._pull import version
from ._snapshot import Snapshot, restoring
from ._store import Change, commit

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from ._attempts import Ticket
    from ._layout import Layout
    from ._place import Place
    from ._steps import Steps


def putting(name: str, values: ArrayLike) -> Callable[[Place, Ticket], Steps[None]]:
    """Set one parameter."""
    change = Change({parameter_name(name): float_array(values, f"{name!r}")})
    return lambda place, ticket: commit(place, change, ticket)


def deleting(name: str) -> Callable[[Place, Ticket], Steps[None]]:
    """Remove one parameter."""
    change = Change({}, [parameter_name(name)])
    return lambda place, ticket: commit(place, change, ticket)


def restoring_from(
    snapshot: Snapshot | Mapping[str, ArrayLike],
) -> Callable[[Place, Ticket], Steps[None]]:
    """Replace everything."""
    if isinstance(snapshot, Snapshot):
        whole = snapshot
    elif not isinstance(snapshot, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = (
            f"restore takes a Snapshot or arrays by name, not {type(snapshot).__name__}; of bytes, "
            "make one by Snapshot.from_bytes"
        )
        raise TypeError(msg)
    else:
        arrays = {
            parameter_name(name): float_array(each, f"{name!r}") for name, each in snapshot.items()
        }
        whole = Snapshot(arrays, {})

    change = restoring(whole)
    return lambda place, ticket: commit(place, change, ticket)


def listing(place: Place) -> Steps[dict[str, Layout]]:
    """Say what there is."""
    names = yield from place.names()
    if not names:
        return {}
    found = yield from place.look_up(names)
    return {name: each for name, each in zip(names, found, strict=True) if each is not None}


def versioning(name: str) -> Callable[[Place], Steps[int]]:
    """Say a parameter's version."""
    return lambda place: version(place, name)
