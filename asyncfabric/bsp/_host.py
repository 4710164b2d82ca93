"""What stages need of the Fabric that they run on."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import secrets
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from asyncfabric._checks import check_job
from asyncfabric._core import check_match
from asyncfabric._exceptions import ConfigurationError, StorageError
from asyncfabric._function import options_of
from asyncfabric.jobs._between import place_of
from asyncfabric.jobs._key_file import find_master_key

from ._sources import close, open_source

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from asyncfabric._core import Core
    from asyncfabric._exceptions import ObjectNotFound
    from asyncfabric._fabric import Fabric
    from asyncfabric._map import Map
    from asyncfabric_storage import ObjectStore

R = TypeVar("R")

STOPPING = 2.0
"""Seconds to wait for workers that are being stopped; on this machine it takes 0.1."""


def places(fabric: Fabric) -> int:
    """Return how many calls can be at work at a time."""
    core = fabric._core  # noqa: SLF001 - within the package
    lanes = core.backend.lanes
    return lanes if core.limit is None else min(lanes, core.limit)


def check_fabric(fabric: Fabric) -> None:
    """Refuse what is no Fabric, or a closed one, or one that takes or sends data only.

    Raises:
        ConfigurationError, RuntimeError, TypeError: it says what to give instead.
    """
    core: Core | None = getattr(fabric, "_core", None)
    if core is None:
        msg = (
            f"the first argument has to be a Fabric, and is {fabric!r:.80}; write for example "
            "`async with af.Fabric() as fabric: await af.bsp.shuffle(fabric, ...)`"
        )
        raise TypeError(msg)
    fabric._check_open()  # noqa: SLF001 - within the package
    if core.takes_data_only or core.sends_no_code:
        msg = (
            "shuffle, sort and map_reduce send functions, and workers exchange pickles, "
            'so they run on no Fabric with trust="data" or code="deployed" yet; use one without '
            "these for them, or fabric.map() here"
        )
        raise ConfigurationError(msg)


async def check_reachable(fabric: Fabric, url: str) -> None:
    """Refuse a store for results that can't be, or that workers have each for themselves.

    Raises `ConfigurationError`, before anything has run.
    """
    store = open_source(url)
    try:
        check_match(fabric._core.backend, store)  # noqa: SLF001 - within the package
        await store.open()
    finally:
        await close(store)


def check_plain(name: str, function: object) -> None:
    """Refuse what is no plain function. Raises `TypeError`."""
    target: Any = function
    while isinstance(target, functools.partial):
        target = target.func
    if not callable(target):
        msg = f"{name}={function!r:.80} can't be called; give a function"
        raise TypeError(msg)
    if inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target):
        msg = (
            f"{name} is a coroutine function, and has to be a plain one, which has a worker for "
            "itself; what it reads by asyncfabric.bsp.Chunk comes ahead of it anyway"
        )
        raise TypeError(msg)


def carrying(fabric: Fabric, function: object, **variables: str) -> Fabric:
    """Return the Fabric with the options that ride on a function, and environment variables."""
    carrier = fabric.with_options(**options_of(function))
    env = carrier._settings.env or {}  # noqa: SLF001 - within the package
    return carrier.with_options(env={**env, **variables}) if variables else carrier


class Durable(NamedTuple):
    """What stages are called as durable jobs.

    Attributes:
        name: of the whole; each stage's own is added to it. None where they are none.
        version: as for `Fabric.map`.
    """

    name: str | None = None
    version: str | None = None

    def stage(self, stage: str) -> str | None:
        """Return the name of a stage's job."""
        return None if self.name is None else f"{self.name}.{stage}"

    def prefix(self, room: str) -> str:
        """Return where its workers write for one another: for a job, in each process the same."""
        if self.name is None:
            return f"{room}/{os.urandom(16).hex()}/"
        return place_of(room, self.name)

    async def secret(self) -> bytes:
        """Return a key that only drivers know: for a job, each of them the same."""
        if self.name is None:
            return secrets.token_bytes(32)
        return await find_master_key().derive(f"exchange {self.name}".encode())

    def gone(self, error: ObjectNotFound, *stages: str) -> StorageError:
        """Say that what a job's earlier stage has written is not there any more."""
        jobs = ", ".join(f'"{self.stage(stage)}"' for stage in stages)
        return StorageError(
            f"what an earlier stage of the job {self.name!r} wrote for the next one is not there "
            f"any more ({error}): it may have expired, which it does after two days in buckets of "
            "`asyncfabric deploy`; asyncfabric.jobs.discard() the stages, and run it again: "
            f"{jobs}"
        )


ONCE = Durable()
"""No job."""

_LONGEST_NAME = 92
"""Of a job with stages: theirs are longer by up to eight, and 100 are allowed."""


def durable_of(job: str | None, version: str | None, store: ObjectStore) -> Durable:
    """Return what stages are called. Raises `ConfigurationError`, before any of them has run."""
    check_job(job, version, store)
    if job is not None and len(job) > _LONGEST_NAME:
        msg = (
            f"job={job!r:.110} has {len(job)} characters; use up to {_LONGEST_NAME} where there "
            'are stages, whose own jobs are called "NAME.regroup", for example'
        )
        raise ConfigurationError(msg)
    return Durable(job, version)


class Scratch:
    """What workers write for one another, which is not to outlive the work.

    Args:
        fabric: whose store it is in.
        prefix: of its objects.
    """

    def __init__(self, fabric: Fabric, prefix: str) -> None:
        self.prefix = prefix
        self._fabric = fabric
        self._stages: list[Map[Any]] = []

    def watch(self, stage: Map[R]) -> Map[R]:
        """Know of a map whose workers write here; return it."""
        self._stages.append(stage)
        return stage

    async def clean(self) -> None:
        """Delete it all, even if this task is cancelled meanwhile."""
        await to_the_end(self._clean())

    async def _clean(self) -> None:
        """Delete what was written, by copies that lost too.

        Workers that are being stopped may still write: they are waited for, but not for ever.
        """
        store = self._fabric.store
        core = self._fabric._core  # noqa: SLF001
        runs = [
            run
            for stage in self._stages
            if (run := stage._run) is not None  # noqa: SLF001
        ]
        try:
            if runs and not core.closed:
                await core.bind().stopped(runs, STOPPING)
            await store.delete_many([info.key async for info in store.list(self.prefix)])
        except StorageError as error:  # no reason to lose what was computed
            msg = f"intermediate objects below {self.prefix} in {store.url} may be left: {error}"
            warnings.warn(msg, RuntimeWarning, stacklevel=2)


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await something to its end even if this task is cancelled; raise that afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
