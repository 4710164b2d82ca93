"""The part of asyncfabric's exception tree that storage raises.

FabricError
├── ConfigurationError (ValueError)          an argument or a URL that can never work
└── StorageError                             an operation on a store failed
    ├── ObjectNotFound (FileNotFoundError)   there is no object under that key
    └── IntegrityError                       what was read is not what was written

Each takes one message, keeps it as `str(error)`, and survives pickling.
"""


class FabricError(Exception):
    """Base of every error that asyncfabric raises on its own account."""


class ConfigurationError(FabricError, ValueError):
    """An argument, key, URL or setting that cannot work; trying again will not help."""


class StorageError(FabricError):
    """An operation on an object store failed."""


class ObjectNotFound(StorageError, FileNotFoundError):  # reads as the fact it states
    """There is no object under that key."""


class IntegrityError(StorageError):
    """What was read from a store is not what was written to it."""


class AccessDenied(StorageError):
    """The store may not be used so; where names may not be listed, or there is no such object.

    Not a name of its own for users, to whom it is a `StorageError`.
    """
