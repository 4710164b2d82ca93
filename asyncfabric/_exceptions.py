"""Every exception of asyncfabric.

    FabricError
     +- ConfigurationError (ValueError)      the Fabric, an option or a URL makes no sense
     +- SerializationError (TypeError)       a function, input or result can't be sent
     +- InvocationError                      an attempt ended without an answer of the function's
     |   +- Throttled                        the service kept refusing to start it
     |   +- AttemptTimeout (TimeoutError)    it outlived timeout=
     |   +- WorkerCrashed                    its worker died: a signal, os._exit, a segfault
     |   +- OutOfMemory (MemoryError)        its worker was killed for lack of memory
     |   +- PayloadTooLarge                  input or result exceed what an invocation carries
     +- DeploymentError                      the workers are not what the driver needs
     |   +- VersionMismatch                  other Python or wire version
     +- StorageError                         the object store failed
     |   +- ObjectNotFound (FileNotFoundError)
     |   +- IntegrityError                   stored bytes are not those that were written
     +- Saturated                            max_pending calls are waiting already
     +- RemoteError                          the function raised what can't be raised here
     +- jobs.TakenOver                       another program drives the durable job, or it is gone
     +- jobs.Unfinished                      there is nothing to wait for, and the job isn't done

What a function itself raises is raised as it is, with the remote traceback as its `__cause__`.
"""

from __future__ import annotations

from asyncfabric_runtime._errors import SerializationError
from asyncfabric_storage import (
    ConfigurationError,
    FabricError,
    IntegrityError,
    ObjectNotFound,
    StorageError,
)

__all__ = [
    "AttemptTimeout",
    "ConfigurationError",
    "DeploymentError",
    "FabricError",
    "IntegrityError",
    "InvocationError",
    "ObjectNotFound",
    "OutOfMemory",
    "PayloadTooLarge",
    "RemoteError",
    "RemoteTraceback",
    "Saturated",
    "SerializationError",
    "StorageError",
    "Throttled",
    "VersionMismatch",
    "WorkerCrashed",
]


class InvocationError(FabricError):
    """An attempt ended without an answer of the function's own."""


class Throttled(InvocationError):
    """The service refused to start attempts for a minute on end, and none succeeded meanwhile."""


class AttemptTimeout(InvocationError, TimeoutError):
    """An attempt outlived the `timeout=` of its Fabric."""


class WorkerCrashed(InvocationError):
    """The worker process died while it ran the call."""


class OutOfMemory(InvocationError, MemoryError):
    """The worker process was killed because the machine ran out of memory."""


class PayloadTooLarge(InvocationError):
    """An invocation's payload or answer is larger than the service carries."""


class DeploymentError(FabricError):
    """The workers are not what this driver needs."""


class VersionMismatch(DeploymentError):
    """Driver and worker run different Python or wire versions."""


class Saturated(FabricError):
    """`max_pending` submitted calls are waiting; nothing was submitted."""


class RemoteError(FabricError):
    """The function raised something that can't be raised in the driver.

    That is an exception that can't be pickled, `StopIteration`, `CancelledError`, or what is not an
    `Exception` (`SystemExit`, `KeyboardInterrupt`).

    Attributes:
        type_name: name of the original exception's type.
    """

    def __init__(self, message: str, type_name: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name


class RemoteTraceback(Exception):
    """The traceback in the worker, as text; the `__cause__` of what a call raises."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'
