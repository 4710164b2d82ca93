"""The user's own modules inside the worker's package: for workers that take no code."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from asyncfabric._exceptions import ConfigurationError, FabricError
from asyncfabric.shipping._archive import build_archive
from asyncfabric.shipping._compiled import Target as Platform
from asyncfabric.shipping._places import Places
from asyncfabric.shipping._survey import survey_modules
from asyncfabric_runtime._named import Served

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ._target import Target


def check_served(names: Sequence[str]) -> None:
    """Refuse names that are neither modules nor `module:function`s. Raises `ConfigurationError`."""
    try:
        Served(names)
    except FabricError:
        msg = f"--serve can't be {' '.join(names)!r}; write MODULE or MODULE:FUNCTION"
        raise ConfigurationError(msg) from None


def served_files(names: Sequence[str], target: Target, folder: Path) -> dict[str, Path]:
    """Unpack the user's own modules that are served into `folder`; return them by their names.

    With them go the user's own modules that they import, and never what looks like a secret. A
    module that is installed here is the business of `--requirements`.

    Raises:
        ConfigurationError: a module is neither here nor to be installed.
        SerializationError: its files can't be packed.
    """
    places = Places()
    own: list[str] = []
    for name in dict.fromkeys(name.partition(":")[0] for name in names):
        kind = places.find(name).kind
        if kind == "own":
            own.append(name)
        elif kind != "installed":
            msg = (
                f"--serve {name}: there is no such module of yours here ({kind}); run the command "
                "where it can be imported"
            )
            raise ConfigurationError(msg)
    if not own:
        return {}
    packed = build_archive(survey_modules(own), Platform(target.python, target.arch))
    folder.mkdir()
    with zipfile.ZipFile(io.BytesIO(packed.data)) as archive:
        archive.extractall(folder)  # ours, of a moment ago
    return {name: folder / name for name in packed.files}
