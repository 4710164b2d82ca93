"""`ParameterServer`: arrays in Redis that many workers read and add to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from asyncfabric._exceptions import ConfigurationError

from ._address import Address
from ._blocking import BlockingParameterServer
from ._checks import part_of_keys, whole_number
from ._home import Home
from ._keys import Keys
from ._operations import deleting, listing, putting, restoring_from, versioning
from ._pull import pull
from ._push import Push, push
from ._snapshot import Snapshot, snapshot
from ._staleness import Staleness, staleness
from ._stream import Stream
from ._window import Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from numpy.typing import ArrayLike

    from ._layout import Layout
    from ._pull import Pull


class ParameterServer:
    """Named arrays of floats in Redis, which many workers pull from and push to at the same time.

        async def step(batch: Batch, ps: ParameterServer) -> None:
            weights, version = await ps.pull("weights", indices=batch.columns)
            delta = -0.1 * gradient(batch, weights)
            await ps.push("weights", delta, indices=batch.columns, version=version)

        async with af.params.ParameterServer("redis://host/0", name="model") as ps:
            await ps.put("weights", np.zeros(1_000_000))
            await fabric.map(step, batches, shared={"ps": ps})
            weights, _ = await ps.pull("weights")

    A push adds, on the server: pushes of many workers don't overwrite each other, in whatever order
    they come, and none waits for another. That is HOGWILD! with nothing lost. Within a Fabric's
    call each push is applied once, even when the call is retried or hedged: its pushes to a
    parameter are known by their order, so a repeated call has to make as many of them (the deltas
    may differ, the first that came counts), one after another. In a call that skips what raised
    `StaleUpdate`, instead of computing it again, give each push a `token`.

    It travels to workers as an address and a name, the password included if it is in the URL: name
    a variable by `password_env=` to keep it out of pickles. A worker process has one connection and
    a copy of the shards that it met, and keeps both from call to call.

    Outside of workers, leave it with `async with` or `aclose()`. Without a URL, and without one in
    `ASYNCFABRIC_REDIS`, it starts a private Redis on this machine with the first operation; that
    one is gone, with all that is in it, when the server is closed or the program ends.

    Args:
        url: `redis://host:6379/0`, `rediss://user:password@host` (TLS; options such as
            `?ssl_ca_certs=FILE` are redis-py's) or `unix:///path`.
        name: which server: equal names at equal addresses share their parameters.
        prefix: what keys begin with, `{prefix:name}`: an ACL rule or a job's own corner.
        password_env: environment variable that holds the password, read where a connection is made.
        max_staleness: refuse a push with `StaleUpdate` if more pushes than this were applied to
            the parameter since the version that it was computed from; None refuses none.
        patience: seconds to go on trying when Redis doesn't answer or restarts, until
            `ServerUnreachable`.

    Raises:
        ConfigurationError: the URL makes no sense, redis-py is missing, or no private Redis can be
            started.
        ParameterError: what any operation raises when Redis refuses.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        name: str,
        prefix: str = "asyncfabric",
        password_env: str | None = None,
        max_staleness: int | None = None,
        patience: float = 30.0,
    ) -> None:
        part_of_keys(name, "name=")
        part_of_keys(prefix, "prefix=")
        if max_staleness is not None and whole_number(max_staleness, "max_staleness=") < 0:
            msg = f"max_staleness={max_staleness}: give a number of pushes from 0 on, or None"
            raise ConfigurationError(msg)
        if not patience > 0:
            msg = f"patience={patience}: give a number of seconds above 0"
            raise ConfigurationError(msg)
        url = url or os.environ.get("ASYNCFABRIC_REDIS")
        if url is None and password_env is not None:
            msg = (
                f"password_env={password_env!r} is for a Redis that has a URL, and there is none: "
                "give url=, or set ASYNCFABRIC_REDIS"
            )
            raise ConfigurationError(msg)
        self.name: str = name
        self._max_staleness = max_staleness
        address = None if url is None else Address(url, password_env, patience)
        self._home = Home(Keys.of(prefix, name), address, patience)

    def __repr__(self) -> str:
        return f"<ParameterServer {self.name!r} at {self._home}>"

    # -- reading --------------------------------------------------------------------------------

    async def pull(
        self, name: str, *, indices: ArrayLike | None = None, shards: Sequence[int] | None = None
    ) -> Pull:
        """Read a parameter: `(values, version)`.

        All of it, in its shape; or its elements at some `indices` into the flattened array, in
        their order; or some `shards`, one after another. What others pushed before is in it. Each
        64 shards or 4 MB are of one moment.

        Raises `ParameterNotFound`, `IndexError`, `ValueError` (shards) or `ParameterError`.
        """
        return await self._home.run(lambda place: pull(place, name, indices, shards))

    async def version(self, name: str) -> int:
        """Return how many times a parameter was pushed to or put. Raises `ParameterNotFound`."""
        return await self._home.run(versioning(name))

    async def parameters(self) -> dict[str, Layout]:
        """Return the names of all parameters, with their types, shapes and shards."""
        return await self._home.run(listing)

    async def staleness(self, name: str) -> Staleness:
        """Return how stale the pushes to a parameter were. Raises `ParameterNotFound`."""
        return await self._home.run(lambda place: staleness(place, name))

    async def snapshot(self) -> Snapshot:
        """Return all parameters, as they are at one moment."""
        return await self._home.run(snapshot)

    # -- writing --------------------------------------------------------------------------------

    async def push(
        self,
        name: str,
        delta: ArrayLike,
        *,
        indices: ArrayLike | None = None,
        shards: Sequence[int] | None = None,
        version: int | None = None,
        token: str | None = None,
    ) -> int:
        """Add to a parameter; returns its version then.

        The whole array, of the same shape; or one value for each of `indices` into the flattened
        array, where an index that is given twice is added to twice; or whole `shards`, one after
        another. Of the parameter's dtype, and finite. All of it is added at one moment.

        `version` is that of the pull that the delta was computed from: it is what staleness is
        measured by. A push with a `token` of your own is applied once for that token, instead of
        once for its place in the call.

        Raises:
            ParameterNotFound: it was never put, or is gone.
            StaleUpdate: see `max_staleness`. Nothing was added.
            ServerUnreachable: it was added once or not at all; to try again outside of a call
                without adding twice, give it a `token`.
            TypeError, ValueError, IndexError: the delta doesn't fit. Nothing was added.
        """
        what = Push(name, delta, indices, shards, version, self._max_staleness)
        return await self._home.run_once(
            f"push {name}", token, lambda place, ticket: push(place, what, ticket)
        )

    def stream(self, name: str, *, every: int = 1) -> Stream:
        """Return a loop's pulls from and pushes to one parameter, to be entered by `async with`.

        It is what makes many small updates fast: it sends `every` so many of them as one push, and
        brings what others pushed with the answer.

            async with ps.stream("weights", every=8) as weights:
                for batch in batches:
                    values, _ = await weights.pull(indices=batch.columns)
                    await weights.push(step(batch, values), indices=batch.columns)
        """
        return Stream(self._home, Window(name, every, self._max_staleness))

    async def put(self, name: str, values: ArrayLike, *, token: str | None = None) -> None:
        """Set a parameter, of whatever shape or type it was before: all of it at one moment.

        Raises `TypeError` or `ValueError` unless `values` are float32 or float64 and finite.
        """
        await self._home.run_once(f"put {name}", token, putting(name, values))

    async def delete(self, name: str, *, token: str | None = None) -> None:
        """Remove a parameter; nothing happens if there is none of this name."""
        await self._home.run_once(f"delete {name}", token, deleting(name))

    async def restore(
        self, snapshot: Snapshot | Mapping[str, ArrayLike], *, token: str | None = None
    ) -> None:
        """Replace all parameters, at one moment, by those of a snapshot or a mapping.

        Others that are there are removed. With a snapshot, Redis also remembers again which pushes
        are in it. Versions go on rising.
        """
        await self._home.run_once("restore", token, restoring_from(snapshot))

    # -- its life -------------------------------------------------------------------------------

    @property
    def blocking(self) -> BlockingParameterServer:
        """The same operations for plain (not async) functions that a Fabric runs.

        Anywhere else they raise `RuntimeError`: they would hold up the event loop.
        """
        return BlockingParameterServer(self._home, self._max_staleness)

    async def aclose(self) -> None:
        """Disconnect from Redis; a private one ends. Parameters in any other one stay."""
        await self._home.aclose()

    def __asyncfabric_remote__(self) -> None:
        self._home.check_remote()

    async def __aenter__(self) -> Self:
        await self._home.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
