"""`attach`: the results of a job that another process drives, or drove."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from itertools import takewhile
from math import isnan
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import ConfigurationError, FabricError, SerializationError

from ._follow import Follower, follow
from ._gone import is_gone
from ._indices import Indices
from ._key_file import find_master_key
from ._lease import newest_lease
from ._manifest import read_manifest
from ._notes import Noted, Notes
from ._values import error_of, value_of
from ._where import store_of, takes_data_only

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence
    from types import TracebackType
    from typing import Self, TypeVar

    from asyncfabric_storage import ObjectStore

    from ._keys import KeySource
    from ._lease import Lease
    from ._results import Committed
    from ._where import Where

    T = TypeVar("T")

PATIENCE = 1800.0
"""Seconds. On Lambda an event waits for 15 minutes at most, and is at work for as long."""
_AT_ONCE = 32
"""Records that are read at a time: 1.25 MiB each at most."""
_BYTES = 64 * 1024 * 1024
"""Of values that are decoded before they are asked for, unless one is larger."""
_FIRST_PAUSE, _LONGEST_PAUSE, _LONGER = 0.2, 10.0, 1.5
"""Seconds between looks: the longer there was no news, the longer."""


class Unfinished(FabricError):
    """`attach` waits no more, and the job isn't finished: nobody drives it, or it was discarded.

    Attributes:
        done: inputs that were done.
        total: inputs there are; None while nobody has read them to their end.
    """

    def __init__(self, message: str, done: int, total: int | None) -> None:
        super().__init__(message)
        self.done: int = done
        self.total: int | None = total

    def __reduce__(self) -> tuple[Any, ...]:
        return Unfinished, (self.args[0], self.done, self.total)


class Attached(AsyncIterator[Any], Awaitable[list[Any]]):
    """The results of a job, as they are there or get there. Await it for a list, or iterate.

    Made by `attach`. Nothing is read before it is used.

        async for price in asyncfabric.jobs.attach(fabric, "prices"): ...
        async for index, price in asyncfabric.jobs.attach(fabric, "prices", ordered=False).items():
            ...
    """

    def __init__(
        self,
        where: Where,
        source: KeySource,
        name: str,
        *,
        ordered: bool,
        return_exceptions: bool,
        patience: float,
    ) -> None:
        self._store: ObjectStore
        self._store, self._own = store_of(where)
        self._as_data = takes_data_only(where)
        self._source = source
        self._name = name
        self._ordered = ordered
        self._return_exceptions = return_exceptions
        self._patience = patience
        self._used_as: str | None = None
        self._over = False
        self._follower: Follower | None = None
        self._seen: deque[int] = deque()
        self._read = Indices()
        self._records: deque[Committed | Noted] = deque()
        self._notes = Notes()
        self._ready: deque[tuple[int, Any]] = deque()
        self._pause = _FIRST_PAUSE
        self._quiet_since = 0.0
        self._missed: Lease | None = None

    # -- using it -------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        self._claim("iterated")
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 - what a job's results are, nobody here knows
        self._claim("iterated")
        return (await self._next())[1]

    def items(self) -> AsyncIterator[tuple[int, Any]]:
        """Iterate over pairs of an input's index and its result."""
        self._claim("iterated by items()")
        return _Items(self._next)

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return self._gather().__await__()

    async def _gather(self) -> list[Any]:
        self._claim("awaited")
        found: dict[int, Any] = {}
        while True:
            try:
                index, value = await self._next()
            except StopAsyncIteration:
                return [found[index] for index in range(len(found))]
            found[index] = value

    async def aclose(self) -> None:
        """Stop following; the job goes on. Only needed where a URL was given and a loop left."""
        self._over = True
        self._ready.clear()
        if self._own:
            await self._store.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _claim(self, use: str) -> None:
        if self._used_as not in {None, use} or (use == "awaited" and self._used_as == use):
            raise RuntimeError(
                f"this was {self._used_as} already: await what attach returns, or iterate over it, "
                "once; call asyncfabric.jobs.attach(...) again"
            )
        self._used_as = use

    # -- following ------------------------------------------------------------------------------

    async def _next(self) -> tuple[int, Any]:
        """Return the next input's index and result. Raises `StopAsyncIteration` at the end."""
        try:
            while not self._ready:
                if self._over or not await self._fill():
                    raise StopAsyncIteration
            index, value = self._ready.popleft()
            if isinstance(value, _Failed):
                if not self._return_exceptions:
                    raise value.error
                return index, value.error
        except BaseException:
            await self.aclose()
            raise
        return index, value

    async def _fill(self) -> bool:
        """Get on: decode, read, look or wait; return whether there is more to come."""
        if self._follower is None:
            self._follower = await self._follow()
            self._quiet_since = _now()
        follower = self._follower
        if self._records:
            await self._decode(follower)
        elif due := self._due(follower):
            self._records.extend(await _together([self._record(follower, at) for at in due]))
        elif len(self._read) == follower.total:
            return False
        elif news := await follower.look():
            if not self._ordered:
                self._seen.extend(news)
            self._quiet_since, self._pause, self._missed = _now(), _FIRST_PAUSE, None
        elif len(self._read) != follower.total:  # which that look may have found out
            await self._wait(follower)
        return True

    async def _follow(self) -> Follower:
        """Find the job. Raises as `follow` does, and `ConfigurationError` for one of pickles."""
        found = await follow(self._store, self._source, self._name)
        is_data = found.manifest.terms.data_results
        if self._as_data and not is_data:
            raise ConfigurationError(
                f"job {self._name!r} was begun by a Fabric of trust='pickle', and this one takes "
                "data only; if you trust the job's workers, attach by the store's URL or by a "
                "Fabric of trust='pickle'"
            )
        self._as_data = is_data  # by its driver's word, whoever reads it
        return found

    def _due(self, follower: Follower) -> Sequence[int]:
        """Return the inputs whose turn it is, and of which is known what they have come to."""
        if self._ordered:
            first = len(self._read)
            known = (
                at in follower.done or at in self._notes for at in range(first, first + _AT_ONCE)
            )
            due = list(range(first, first + sum(takewhile(bool, known))))
            for at in due:
                self._read.add(at)
            return due
        due = list[int]()
        while self._seen and len(due) < _AT_ONCE:
            at = self._seen.popleft()
            if self._read.add(at):  # else it was noted to have failed before it was done
                due.append(at)
        return due

    async def _record(self, follower: Follower, index: int) -> Committed | Noted:
        """Return what an input has come to; for want of that, what its last event did."""
        if index in follower.done:
            return await follower.result(index)
        return await self._notes.read(self._store, follower.manifest.root, index)

    async def _decode(self, follower: Follower) -> None:
        """Decode the next results, as many as fit into memory."""
        records = [self._records.popleft()]
        size = records[0].size
        while self._records and (size := size + self._records[0].size) <= _BYTES:
            records.append(self._records.popleft())
        values = await _together([self._value(follower, record) for record in records])
        self._ready.extend(zip([record.at for record in records], values, strict=True))

    async def _value(self, follower: Follower, record: Committed | Noted) -> Any:  # noqa: ANN401
        number = record.epoch if isinstance(record, Noted) else record.number
        if record.failed is not None:
            error = error_of(record.failed, as_data=self._as_data)
        else:
            assert not isinstance(record, Noted)  # noqa: S101 - a note is of a failure
            payload, url = await follower.payload(record), self._store.url
            try:
                return await value_of(record, payload, store_url=url, as_data=self._as_data)
            except SerializationError as unreadable:
                error = unreadable
        error.add_note(f"asyncfabric: input {record.at} of job {self._name!r}, attempt {number}")
        return _Failed(error)

    # -- waiting --------------------------------------------------------------------------------

    async def _wait(self, follower: Follower) -> None:
        """Wait for a while, unless there is nothing to wait for.

        Raises:
            Unfinished: the job was discarded, its driver is gone, or nothing came for too long.
        """
        found = await read_manifest(self._store, self._source, self._name)
        if found is None or found[0].area != follower.manifest.area:
            raise self._unfinished(f"job {self._name!r} was discarded while it was followed")
        lease = await newest_lease(self._store, follower.manifest.root, found[1])
        if lease is not None and await self._notes.left(
            self._store, found[0].root, found[1], lease
        ):
            if news := await self._notes.look(self._store, found[0].root, follower.done):
                if not self._ordered:
                    self._seen.extend(news)
                self._quiet_since, self._pause = _now(), _FIRST_PAUSE
                return
        elif lease is not None and is_gone(lease.host, lease.pid):
            # One more look has to follow: it may have finished the job before it ended.
            if self._missed == lease:
                raise self._unfinished(
                    f"process {lease.pid} on this machine, which drove job {self._name!r}, has "
                    f"ended with {self._progress(follower)}; run its program again, which goes on"
                )
            self._missed = lease
            return
        if _now() - self._quiet_since >= self._patience:
            raise self._unfinished(
                f"nothing of job {self._name!r} got done for {self._patience:,.0f} s, with "
                f"{self._progress(follower)}: {self._suspicion(lease)}; run its program again, "
                "which goes on, or wait longer by attach(..., patience=...)"
            )
        await asyncio.sleep(self._pause)
        self._pause = min(_LONGEST_PAUSE, self._pause * _LONGER)

    def _suspicion(self, lease: Lease | None) -> str:
        if self._notes.epoch:
            return "the workers of the others seem to have died, or their events to be lost"
        who = "" if lease is None else f" (process {lease.pid} on {lease.host})"
        return f"it seems that its driver{who} is gone"

    def _unfinished(self, message: str) -> Unfinished:
        follower = self._follower
        if follower is None:
            return Unfinished(message, 0, None)
        return Unfinished(message, len(follower.done), follower.total)

    @staticmethod
    def _progress(follower: Follower) -> str:
        total = "an unknown number of" if follower.total is None else f"{follower.total:,}"
        return f"{len(follower.done):,} of {total} inputs done"


class _Failed:
    """A failure among results, which may be exceptions themselves."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Items(AsyncIterator[tuple[int, Any]]):
    """Pairs of index and result."""

    def __init__(self, following: Callable[[], Awaitable[tuple[int, Any]]]) -> None:
        self._following = following

    async def __anext__(self) -> tuple[int, Any]:
        return await self._following()


def attach(
    where: Where,
    name: str,
    /,
    *,
    ordered: bool = True,
    return_exceptions: bool = False,
    patience: float = PATIENCE,
) -> Attached:
    """Get the results of a job that another process runs or ran, on this machine or another.

        prices = await asyncfabric.jobs.attach(fabric, "prices")               # all, when it ends
        async for price in asyncfabric.jobs.attach("s3://bucket/prefix", "prices"): ...

    What is done is there at once; then it is followed until the job has ended. The job isn't taken
    over: its driver goes on undisturbed, and any number of processes may attach. Every result is
    verified with the key that the job was made with, before anything of it is read. Of a job that
    was begun by a Fabric of `trust="data"` nothing is unpickled, by whatever it is attached to; and
    a Fabric of `trust="data"` attaches to no other.

    Nobody but a driver starts calls again. If the driver is gone, that is known at once where it
    ran on this machine, and else by nothing coming for `patience` seconds: both raise `Unfinished`.
    Run the driver's program again, which goes on. Calls that AWS Lambda was running when their
    driver died come to their end, and their results are kept.

    A job that was launched and left has no driver. A call of it that failed raises its exception
    here. Of one that got lost nothing comes: after `patience` seconds without any other news, that
    is `Unfinished`, too. Launch again, which launches what has no result.

    Args:
        where: a Fabric that uses the job's store, the store itself, or its URL.
        name: the job's.
        ordered: in the order of inputs; False: as they come.
        return_exceptions: deliver exceptions in the results' places instead of raising. Failures
            are part of a job only where its driver goes on beyond them; see `docs/jobs.md`.
        patience: seconds without any news after which a job without a driver is given up.

    Raises:
        ConfigurationError: `where` or `patience` makes no sense; when used: there is no such job,
            or the Fabric takes data only and the job's results are pickles.
        Unfinished: when used: there is nothing to wait for, see above.
        IntegrityError: when used: the job was made with another key, or something of it changed.
        StorageError: when used: the store failed.
    """
    if isnan(patience) or patience < 0:
        raise ConfigurationError(f"patience={patience} makes no sense; give seconds")
    return Attached(
        where,
        find_master_key(),
        name,
        ordered=ordered,
        return_exceptions=return_exceptions,
        patience=patience,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Do several things at once; the first failure ends the others and is raised."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
