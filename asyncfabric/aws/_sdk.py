"""AWS's SDK, loaded when it is first needed. It has no types: whatever comes from it is `Any`."""

from __future__ import annotations

import importlib
from typing import Any

from asyncfabric._exceptions import ConfigurationError


def load(module: str) -> Any:  # noqa: ANN401 - the one door to untyped code
    """Import a module of aiobotocore, or of botocore, which comes with it.

    The first import takes some 300 ms: don't do it on the loop.

    Raises:
        ConfigurationError: it isn't installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"AWS needs aiobotocore ({error}); run: pip install 'asyncfabric[aws]'"
        ) from error
