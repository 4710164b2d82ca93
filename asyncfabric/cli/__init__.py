"""The command `asyncfabric`: deploy, doctor, destroy, dev."""

from ._main import main as main

__all__ = ["main"]
