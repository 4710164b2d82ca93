"""The simulated object store."""

from __future__ import annotations

from asyncfabric_storage import MemoryStore


class SimulatedStore(MemoryStore):
    """An object store of a simulated account."""

    @property
    def shared(self) -> bool:
        """True: simulated workers can open it."""
        return True

    @property
    def remote(self) -> bool:
        """True: they are on other machines, as far as the simulation goes."""
        return True
