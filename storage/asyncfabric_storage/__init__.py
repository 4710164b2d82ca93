"""Object stores for asyncfabric: one protocol, a memory store and a local-directory store.

This package imports nothing else of asyncfabric, and neither asyncio nor anything that talks to
a network until a store is used: every worker imports it at start.

    >>> import asyncio
    >>> from asyncfabric_storage import open_store
    >>> async def main() -> bytes:
    ...     store = open_store("memory://")
    ...     await store.put("greetings/en", b"hello")
    ...     return bytes(await store.get("greetings/en"))
    >>> asyncio.run(main())
    b'hello'
"""

from ._buffers import Data as Data
from ._digest import digest as digest
from ._digest import object_key as object_key
from ._errors import ConfigurationError as ConfigurationError
from ._errors import FabricError as FabricError
from ._errors import IntegrityError as IntegrityError
from ._errors import ObjectNotFound as ObjectNotFound
from ._errors import StorageError as StorageError
from ._keys import MAX_KEY_BYTES as MAX_KEY_BYTES
from ._keys import validate_key as validate_key
from ._local import LocalStore as LocalStore
from ._many import GetMany as GetMany
from ._memory import MemoryStore as MemoryStore
from ._open import open_store as open_store
from ._protocol import ObjectInfo as ObjectInfo
from ._protocol import ObjectStore as ObjectStore

__all__ = [
    "MAX_KEY_BYTES",
    "ConfigurationError",
    "Data",
    "FabricError",
    "GetMany",
    "IntegrityError",
    "LocalStore",
    "MemoryStore",
    "ObjectInfo",
    "ObjectNotFound",
    "ObjectStore",
    "StorageError",
    "digest",
    "object_key",
    "open_store",
    "validate_key",
]
