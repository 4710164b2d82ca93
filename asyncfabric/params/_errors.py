"""What a parameter server raises.

    FabricError
     +- ParameterError                     the server refused, or holds something else
         +- ParameterNotFound (LookupError)    nothing was put under this name, or it is gone
         +- StaleUpdate                        a push came from a version too old; nothing applied
         +- ServerUnreachable (ConnectionError)    no answer within `patience`

A wrong shape or number is a `ValueError`, a wrong type or dtype a `TypeError`, an index beyond the
array an `IndexError`: all come before anything is sent.
"""

from __future__ import annotations

from asyncfabric_storage import FabricError


class ParameterError(FabricError):
    """The parameter server refused, and changed nothing; the message says what to do."""


class ParameterNotFound(ParameterError, LookupError):
    """There is no parameter of this name, or parts of it are gone from Redis."""


class StaleUpdate(ParameterError):
    """A push was computed from too old a version, and was not applied: pull, compute, push again.

    Attributes:
        staleness: how many pushes came between the pull and this push.
    """

    def __init__(self, message: str, staleness: int = 0) -> None:
        super().__init__(message)
        self.staleness = staleness

    def __reduce__(self) -> tuple[type[StaleUpdate], tuple[str, int]]:
        return type(self), (str(self), self.staleness)


class ServerUnreachable(ParameterError, ConnectionError):
    """Redis gave no answer within `patience` seconds.

    A push or put that raises this was applied once or not at all.
    """
