"""From a program's `map(..., job=)` to the job: begun now, or gone on with as it was begun."""

from __future__ import annotations

import asyncio
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric.shipping._archive import build_archive
from asyncfabric.shipping._compiled import Target
from asyncfabric.shipping._fingerprints import Fingerprints
from asyncfabric.shipping._functions import Shipped
from asyncfabric.shipping._identity import identify
from asyncfabric.shipping._survey import survey
from asyncfabric_runtime import PYTHON, Ref
from asyncfabric_runtime._stores import read_checked
from asyncfabric_storage import object_key

from ._job import Job, Wanted, open_job
from ._key_file import find_master_key
from ._manifest import Code, Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncfabric.shipping._archive import Archive
    from asyncfabric.shipping._identity import Identity
    from asyncfabric_runtime import Convention
    from asyncfabric_storage import ObjectStore


class Asked(NamedTuple):
    """What a program asks for.

    Attributes:
        name: of the job.
        version: of its code, by the user's own word; None to look at the code.
        convention: how an input becomes arguments.
        by_reference: results stay in the store.
        data_results: they are data, and nothing of a worker's is unpickled.
        shared: values that go to every call, by name.
        seed: what the user gave.
    """

    name: str
    version: str | None
    convention: Convention
    by_reference: bool
    data_results: bool
    shared: Mapping[str, object]
    seed: int | None


class Opened(NamedTuple):
    """A job, and the code that it was begun with.

    Attributes:
        job: the job, driven by this process.
        code: the packed function, and the initializer if there is one.
        archive: digest of the archive of the user's own modules, which is in the store.
    """

    job: Job
    code: list[Shipped]
    archive: str | None


async def open_for(
    store: ObjectStore,
    asked: Asked,
    functions: Sequence[Callable[..., Any]],
    code: list[Shipped],
    archive: str | None,
) -> Opened:
    """Begin the job, or go on with it.

    Args:
        store: where it is.
        asked: what the program asks for.
        functions: the function, and the initializer if there is one.
        code: they, packed.
        archive: digest of the archive that their workers need; it is in the store.

    Raises:
        ConfigurationError: the job was begun with another program, or can't be where it should.
        IntegrityError: something of it was changed, or made with another key.
        SerializationError: something that the functions refer to can't be told from another.
        StorageError: the store failed.
    """
    key = find_master_key()
    terms = await asyncio.to_thread(_terms, asked, functions)
    objects: dict[str, bytes] = {each.digest: each.data for each in code}
    if archive is not None:
        objects[archive] = bytes(await read_checked(store, object_key(archive), archive))
    initializer = code[1].digest if len(code) > 1 else ""
    named = Code(code[0].digest, code[0].is_async, initializer, archive or "")
    job = await open_job(store, key, Wanted(asked.name, terms, named, objects, release()))
    if not job.resumed:
        return Opened(job, code, archive)
    # The same program, but perhaps in other bytes: those that it was begun with run.
    begun = job.manifest.code
    stored = [Shipped(begun.function, bytes(await job.code(begun.function)), begun.is_async)]
    if begun.initializer:
        data = bytes(await job.code(begun.initializer))
        stored.append(Shipped(begun.initializer, data, is_async=False))
    if begun.archive and begun.archive != archive:
        await store.put_if_absent(object_key(begun.archive), await job.code(begun.archive))
    # Where it was begun, workers may have had the modules themselves: local ones have.
    return Opened(job, stored, begun.archive or archive)


def release() -> str:
    """Return the release of asyncfabric that runs here."""
    try:
        return version("asyncfabric")
    except PackageNotFoundError:
        return "unreleased"


def _terms(asked: Asked, functions: Sequence[Callable[..., Any]]) -> Terms:
    fingerprints = Fingerprints()
    shared = {
        name: value.digest if isinstance(value, Ref) else fingerprints.of(value).hex()
        for name, value in asked.shared.items()
    }
    return Terms(
        _identity(functions, asked.version),
        PYTHON,
        asked.convention,
        asked.by_reference,
        asked.data_results,
        shared,
        asked.seed,
    )


def _identity(functions: Sequence[Callable[..., Any]], version: str | None) -> Identity:
    archive: Archive | None = None
    if version is None:
        found = survey(functions)
        if found.files:
            target = Target(PYTHON, _MACHINES.get(platform.machine(), "x86_64"))
            archive = build_archive(found, target)
    return identify(
        functions[0],
        archive=archive,
        initializer=functions[1] if len(functions) > 1 else None,
        version=version,
    )


_MACHINES = {"aarch64": "arm64", "arm64": "arm64"}
