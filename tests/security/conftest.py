"""Credentials for emulators, and the loop's executor before the first test."""

from tests.aws.backend.conftest import credentials

__all__ = ["credentials"]
