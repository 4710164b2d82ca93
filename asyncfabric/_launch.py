"""From a user's call of `map` or `submit` to a Run: ship the code, store what is shared, plan."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, TypeGuard

from asyncfabric_runtime import Plan, Ref
from asyncfabric_runtime._blame import blame
from asyncfabric_runtime._context import running_context
from asyncfabric_runtime._data import NotDataError, pack_data
from asyncfabric_runtime._named import unpack_name
from asyncfabric_runtime._packing import pack_object
from asyncfabric_runtime._values import TooLargeError
from asyncfabric_storage import digest, object_key

from ._codec import HEAVY_BYTES, check_ref, not_data
from ._exceptions import ConfigurationError, SerializationError
from ._run import Run
from ._travel import Rooted
from .scheduling import FanOut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncfabric_runtime import Convention

    from ._around import Delivery
    from ._core import Core
    from ._options import Settings
    from ._sources import Source
    from .jobs._job import Job
    from .jobs._opening import Asked
    from .shipping import Shipped


class Launch:
    """All that is needed to begin one fan-out."""

    def __init__(
        self,
        core: Core,
        settings: Settings,
        function: Callable[..., Any],
        *,
        convention: Convention,
        shared: Mapping[str, object] | None = None,
        seed: int | None = None,
        by_reference: bool = False,
        chunksize: int | None = None,
        ordered: bool = False,
        fail_fast: bool = False,
        job: str | None = None,
        version: str | None = None,
    ) -> None:
        self.job = os.urandom(16).hex()
        self._core = core
        self._settings = settings
        self._function = function
        self._convention: Convention = convention
        self._shared = dict(shared or {})
        self._asked: Asked | None = None
        if job is not None:
            from .jobs._opening import Asked

            self._asked = Asked(
                job,
                version,
                convention,
                by_reference,
                core.takes_data_only,
                self._shared,
                seed,
            )
        self._seed = core.bind().random.getrandbits(128) if seed is None else seed
        self._by_reference = by_reference
        self._code: list[Shipped] | None = None
        self._preparing = False
        self._area: str | None = None
        self.fan_out = FanOut(
            core.pace(""),
            lanes=core.backend.lanes,
            chunksize=_chunksize(core, settings, chunksize),
            retry=settings.retry,
            hedge=settings.hedge if core.backend.traits.copies else None,
            idempotent=settings.idempotent,
            ordered=ordered,
            fail_fast=fail_fast,
        )

    def begin(self, delivery: Delivery, source: Source | None) -> Run:
        """Make the run, and start it: now, or when large values have been packed and stored."""
        run = Run(self._core, self.fan_out, delivery, source)
        run.weight = self._settings.weight
        with contextlib.suppress(TooLargeError):
            self._code = self._ship(HEAVY_BYTES)
        prepares = self._core.backend.traits.prepares or self._asked is not None
        if self._code is not None and not self._shared and not prepares:
            self._join(run, self._code, {}, None)
        else:
            run.prepare = self._prepare_once
            self._prepare_once(run)
        return run

    def _prepare_once(self, run: Run) -> None:
        run.dispatcher.expect(run)
        if not self._preparing:
            self._preparing = True
            run.dispatcher.later(self._prepare(run))

    def _ship(self, limit: int | None) -> list[Shipped]:
        return [self._core.ship(each, limit) for each in self._functions()]

    async def _prepare(self, run: Run) -> None:
        try:
            code, stored, archive = await self._store()
            if self._asked is not None and not run.over:
                from .jobs._driving import Driving

                job, code, archive = await self._open(self._asked, code, archive)
                if not run.over:  # else it is opened again when the run is revived
                    run.driving = Driving(job, run)
        except Exception as error:  # noqa: BLE001 - it is the map's to raise
            run.finish(error)
            return
        finally:
            self._preparing = False
        if not run.over:
            self._join(run, code, stored, archive)

    async def leave(self) -> tuple[Job, Plan, dict[str, bytes]]:
        """Prepare a durable job that is left to events; return it, their plan, and their code.

        Raises what a map of it would raise.
        """
        assert self._asked is not None  # noqa: S101 - its caller gives job=
        code, stored, archive = await self._store()
        job, code, archive = await self._open(self._asked, code, archive)
        plan, rest = self._plan(code, stored, archive, left=True)
        return job, plan, rest

    async def _store(self) -> tuple[list[Shipped], dict[str, str], str | None]:
        """Pack the code, store what is shared; return both, and the archive of the modules."""
        for value in self._shared.values():
            if self._core.backend.traits.remote and isinstance(value, Rooted):
                value.__asyncfabric_remote__()
        if self._code is None:
            self._code = await asyncio.to_thread(self._ship, None)
        archive = await self._archive(self._code)
        stored: dict[str, str] = {}
        for name, value in self._shared.items():
            ref: Ref[Any]
            if _is_ref(value):
                ref = value
            else:
                ref = await put(self._core, value, f"shared {name!r}")
            stored[name] = check_ref(ref, self._core.store.url).digest
        return self._code, stored, archive

    async def _open(
        self, asked: Asked, code: list[Shipped], archive: str | None
    ) -> tuple[Job, list[Shipped], str | None]:
        """Begin the durable job, or go on with it; return it, and the code it was begun with."""
        from .jobs._opening import open_for

        opened = await open_for(self._core.store, asked, self._functions(), code, archive)
        if self._core.sends_no_code and any(unpack_name(each.data) is None for each in opened.code):
            msg = (
                f"job {asked.name!r} was begun with functions by value, and with code='deployed' "
                "none are sent: go on without it, or give this program another job= name"
            )
            raise ConfigurationError(msg)
        self._area = self.job = opened.job.manifest.area
        self._seed = opened.job.manifest.seed
        self._code = opened.code
        return opened

    async def _archive(self, code: list[Shipped]) -> str | None:
        if self._core.sends_no_code:
            return await self._core.backend.prepare({})
        digests = (each.digest for each in code)
        # A job may have been begun without the initializer; `version=` doesn't look at it.
        functions = dict(zip(digests, self._functions(), strict=False))
        return await self._core.backend.prepare(functions)

    def _functions(self) -> list[Callable[..., Any]]:
        """Return the function, and the initializer if there is one."""
        initializer = self._settings.initializer
        return [self._function] if initializer is None else [self._function, initializer]

    def _join(
        self, run: Run, code: list[Shipped], stored: dict[str, str], archive: str | None
    ) -> None:
        self.fan_out.pace = self._core.pace(code[0].digest)
        run.plan, run.code = self._plan(code, stored, archive)
        if run.driving is not None:
            run.driving.begin()
        run.prepare = None
        run.dispatcher.join(run)

    def _plan(
        self,
        code: list[Shipped],
        stored: dict[str, str],
        archive: str | None,
        *,
        left: bool = False,
    ) -> tuple[Plan, dict[str, bytes]]:
        """Return the plan, and the code that doesn't ride in it."""
        settings, traits = self._settings, self._core.backend.traits
        function = code[0]
        small = {each.digest: each.data for each in code if len(each.data) <= traits.riding}
        plan = Plan(
            job=self.job,
            function=function.digest,
            is_async=function.is_async,
            convention=self._convention,
            shared=stored,
            seed=self._seed,
            timeout=_within_deadline(settings.timeout_on(traits.timeout)),
            initializer=code[1].digest if len(code) > 1 else None,
            env=settings.env,
            store_url=self._core.store.url,
            by_reference=self._by_reference,
            prompt=not settings.idempotent,
            archive=archive,
            inline=traits.inline,
            code=small,
            heartbeats=None if left else traits.heartbeats,
            area=self._area,
            data_inputs=self._core.sends_no_code,
            data_results=self._core.takes_data_only,
            secrets=settings.secrets,
            left=left,
        )
        return plan, {each.digest: each.data for each in code if each.digest not in small}


def _chunksize(core: Core, settings: Settings, chunksize: int | None) -> int | None:
    """Return the calls in an invocation, None to adapt them.

    Where a dead worker takes all its answers along, calls that must not be repeated go one by one.
    """
    if chunksize is None and not (settings.idempotent or core.backend.traits.streams):
        return 1
    return chunksize


def _is_ref(value: object) -> TypeGuard[Ref[Any]]:
    return isinstance(value, Ref)


def _within_deadline(timeout: float | None) -> float | None:
    """Cut a timeout down to what the enclosing call has left, inside a worker."""
    outer = running_context()
    if outer is None or outer.deadline is None:
        return timeout
    left = max(0.001, outer.deadline - time.time())
    return left if timeout is None else min(timeout, left)


async def put(core: Core, value: object, what: str = "the value") -> Ref[Any]:
    """Store a value by its digest. Raises `SerializationError`, `StorageError`."""
    as_data = core.sends_no_code
    try:
        pieces = _pack_data(value, what) if as_data else pack_object(value, HEAVY_BYTES)
    except TooLargeError:
        pieces = await asyncio.to_thread(_pack, value, what)
    except SerializationError:
        raise
    except Exception as error:
        raise SerializationError(blame(what, value, error)) from error
    size = sum(memoryview(piece).nbytes for piece in pieces)
    name = digest(pieces) if size <= HEAVY_BYTES else await asyncio.to_thread(digest, pieces)
    await core.store.put(object_key(name), pieces)
    return Ref(name, size, core.store.url, as_data)


def _pack(value: object, what: str) -> list[Any]:
    try:
        return pack_object(value)
    except Exception as error:
        raise SerializationError(blame(what, value, error)) from error


def _pack_data(value: object, what: str) -> list[Any]:
    try:
        return pack_data(value, what)
    except NotDataError as error:
        raise SerializationError(not_data(error)) from None
