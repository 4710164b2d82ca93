"""The command `asyncfabric`: deploy, doctor, destroy, dev, jobs, gc."""

from ._main import main as main

__all__ = ["main"]
