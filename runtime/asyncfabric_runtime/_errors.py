"""Errors that both ends raise."""

from __future__ import annotations

from asyncfabric_storage import FabricError


class SerializationError(FabricError, TypeError):
    """A function, an input or a result can't be pickled or read back; the message names which."""
