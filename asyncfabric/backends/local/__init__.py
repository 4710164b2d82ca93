"""The local backend: worker processes of this machine, each running the one stateless function."""

from ._pool import LocalBackend as LocalBackend

__all__ = ["LocalBackend"]
