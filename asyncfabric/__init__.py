"""asyncfabric: run plain functions on thousands of stateless workers, and await the results.

import asyncfabric as af

def price(seed): ...

async def main():
    async with af.Fabric() as fabric:
        prices = await fabric.map(price, range(10_000))

af.run(main())
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from asyncfabric_runtime import Context as Context
from asyncfabric_runtime import Ref as Ref
from asyncfabric_runtime import current as current
from asyncfabric_storage import ObjectInfo as ObjectInfo
from asyncfabric_storage import ObjectStore as ObjectStore

from ._call import Attempt as Attempt
from ._call import Call as Call
from ._combinators import as_completed as as_completed
from ._combinators import gather as gather
from ._exceptions import AttemptTimeout as AttemptTimeout
from ._exceptions import ConfigurationError as ConfigurationError
from ._exceptions import DeploymentError as DeploymentError
from ._exceptions import FabricError as FabricError
from ._exceptions import IntegrityError as IntegrityError
from ._exceptions import InvocationError as InvocationError
from ._exceptions import ObjectNotFound as ObjectNotFound
from ._exceptions import OutOfMemory as OutOfMemory
from ._exceptions import PayloadTooLarge as PayloadTooLarge
from ._exceptions import RemoteError as RemoteError
from ._exceptions import Saturated as Saturated
from ._exceptions import SerializationError as SerializationError
from ._exceptions import StorageError as StorageError
from ._exceptions import Throttled as Throttled
from ._exceptions import VersionMismatch as VersionMismatch
from ._exceptions import WorkerCrashed as WorkerCrashed
from ._fabric import Fabric as Fabric
from ._function import function as function
from ._loop import run as run
from ._map import Map as Map
from ._options import Options as Options
from ._stats import MapStats as MapStats
from .scheduling import Hedge as Hedge
from .scheduling import Limit as Limit
from .scheduling import Retry as Retry

if _TYPE_CHECKING:
    from types import ModuleType as _ModuleType

    from . import bsp as bsp
    from . import jobs as jobs
    from . import params as params

__all__ = [
    "Attempt",
    "AttemptTimeout",
    "Call",
    "ConfigurationError",
    "Context",
    "DeploymentError",
    "Fabric",
    "FabricError",
    "Hedge",
    "IntegrityError",
    "InvocationError",
    "Limit",
    "Map",
    "MapStats",
    "ObjectInfo",
    "ObjectNotFound",
    "ObjectStore",
    "Options",
    "OutOfMemory",
    "PayloadTooLarge",
    "Ref",
    "RemoteError",
    "Retry",
    "Saturated",
    "SerializationError",
    "StorageError",
    "Throttled",
    "VersionMismatch",
    "WorkerCrashed",
    "as_completed",
    "bsp",
    "current",
    "function",
    "gather",
    "jobs",
    "params",
    "run",
]

_PACKAGES = frozenset({"bsp", "jobs", "params"})


def __getattr__(name: str) -> "_ModuleType":
    """Import a package of this one when it is first named: most programs need none of them."""
    if name in _PACKAGES:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
