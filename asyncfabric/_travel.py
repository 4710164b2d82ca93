"""Values that not every worker can make use of."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Rooted(Protocol):
    """A value that stands for something which may be on the driver's machine alone."""

    def __asyncfabric_remote__(self) -> None:
        """Raise `ConfigurationError` if workers on other machines can't reach it."""
