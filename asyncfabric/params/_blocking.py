"""The blocking twin of a `ParameterServer`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._operations import deleting, listing, putting, restoring_from, versioning
from ._pull import pull
from ._push import Push, push
from ._snapshot import snapshot
from ._staleness import staleness
from ._stream import BlockingStream
from ._window import Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from ._home import Home
    from ._layout import Layout
    from ._pull import Pull
    from ._snapshot import Snapshot
    from ._staleness import Staleness


class BlockingParameterServer:
    """What `ParameterServer.blocking` is: its methods do what those of the same name do there.

    For plain functions that a Fabric runs; anywhere else each method raises `RuntimeError`.

        def step(batch: Batch, ps: ParameterServer) -> None:
            weights, version = ps.blocking.pull("weights", indices=batch.columns)
            ps.blocking.push(
                "weights", delta(batch, weights), indices=batch.columns, version=version
            )
    """

    def __init__(self, home: Home, max_staleness: int | None) -> None:
        self._home = home
        self._max_staleness = max_staleness

    def pull(
        self, name: str, *, indices: ArrayLike | None = None, shards: Sequence[int] | None = None
    ) -> Pull:
        """Read a parameter, or some of it: `(values, version)`."""
        return self._home.run_blocking(lambda place: pull(place, name, indices, shards))

    def version(self, name: str) -> int:
        """Return how many times a parameter was pushed to or put."""
        return self._home.run_blocking(versioning(name))

    def parameters(self) -> dict[str, Layout]:
        """Return the names of all parameters, with their types, shapes and shards."""
        return self._home.run_blocking(listing)

    def staleness(self, name: str) -> Staleness:
        """Return how stale the pushes to a parameter were."""
        return self._home.run_blocking(lambda place: staleness(place, name))

    def snapshot(self) -> Snapshot:
        """Return all parameters, as they are at one moment."""
        return self._home.run_blocking(snapshot)

    def push(
        self,
        name: str,
        delta: ArrayLike,
        *,
        indices: ArrayLike | None = None,
        shards: Sequence[int] | None = None,
        version: int | None = None,
        token: str | None = None,
    ) -> int:
        """Add to a parameter; returns its version then."""
        what = Push(name, delta, indices, shards, version, self._max_staleness)
        return self._home.run_once_blocking(
            f"push {name}", token, lambda place, ticket: push(place, what, ticket)
        )

    def stream(self, name: str, *, every: int = 1) -> BlockingStream:
        """Return a loop's pulls from and pushes to a parameter, to be entered by `with`."""
        return BlockingStream(self._home, Window(name, every, self._max_staleness))

    def put(self, name: str, values: ArrayLike, *, token: str | None = None) -> None:
        """Set a parameter, of whatever shape or type it was before."""
        self._home.run_once_blocking(f"put {name}", token, putting(name, values))

    def delete(self, name: str, *, token: str | None = None) -> None:
        """Remove a parameter; nothing happens if there is none of this name."""
        self._home.run_once_blocking(f"delete {name}", token, deleting(name))

    def restore(
        self, snapshot: Snapshot | Mapping[str, ArrayLike], *, token: str | None = None
    ) -> None:
        """Replace all parameters by those of a snapshot or a mapping."""
        self._home.run_once_blocking("restore", token, restoring_from(snapshot))
