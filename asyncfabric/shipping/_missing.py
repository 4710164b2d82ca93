"""Third-party packages that workers lack, and the command that mends it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from typing import TYPE_CHECKING, NamedTuple

from asyncfabric._exceptions import DeploymentError

from ._metadata import Origin, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._survey import Survey


class Requirement(NamedTuple):
    """An installed distribution: what pip calls it, its version here, where it came from."""

    name: str
    version: str
    origin: Origin | None = None

    def __str__(self) -> str:
        if self.origin is not None and self.origin.requirement:
            return self.origin.requirement
        # A local version (2.3.1+cpu) is no one's but its builder's.
        return f"{self.name}=={self.version.partition('+')[0]}"

    @property
    def directory(self) -> str:
        """The directory that it was installed from, "" for all others."""
        return self.origin.directory if self.origin else ""


@cache
def requirement(name: str) -> Requirement | None:
    """Return the installed distribution that an import name comes from, if there is one.

    The first call reads the records of all that is installed: some 1 ms each.
    """
    candidates = list(dict.fromkeys(_by_import_name().get(name.partition(".")[0], ())))
    if "." in name and len(candidates) > 1:
        # Several distributions share a namespace package: the one that has this part of it.
        folder = name.replace(".", "/")
        candidates = [each for each in candidates if _has(each, folder)] or candidates
    for each in candidates:
        try:
            found = distribution(each)
        except PackageNotFoundError:
            continue
        return Requirement(found.metadata["Name"] or each, found.version, origin_of(found))
    return None


@cache
def _by_import_name() -> dict[str, list[str]]:
    return {name: list(found) for name, found in packages_distributions().items()}


def _has(candidate: str, folder: str) -> bool:
    files = distribution(candidate).files or ()
    return any(str(file).startswith((f"{folder}/", f"{folder}.")) for file in files)


def missing_error(
    missing: Iterable[str], found: Survey, function: str, deploy: str = "asyncfabric deploy"
) -> DeploymentError:
    """Return the error that names all packages that the workers lack, and what to do.

    The command, which begins with `deploy`, asks for everything that the function needs, not only
    for what is missing: what is deployed later replaces what was deployed before.
    """
    described: list[str] = []
    unknown: list[str] = []
    local: list[str] = []
    for name in sorted(missing):
        here = requirement(name)
        where = found.third_party.get(name, "the function")
        if here is None:
            unknown.append(name)
            described.append(f"{name} (not installed here either; imported by {where})")
        else:
            described.append(f"{name} ({here.name} {here.version} here; imported by {where})")
            if here.directory:
                local.append(here.directory)
    known = [requirement(name) for name in {*missing, *found.need.required}]
    wanted = {str(each) for each in known if each is not None and not each.directory}
    command = " ".join(f'--requirements "{each}"' for each in sorted(wanted, key=str.lower))
    message = (
        f"{function} needs packages that the workers don't have: {'; '.join(described)}. Deploy "
        f"them: {deploy} {command or '--requirements requirements.txt'}"
    )
    if command:
        message += " (or list them in a file: --requirements requirements.txt)"
    if local:
        message += (
            f". What was installed from {' and '.join(local)} travels with the calls if it is "
            "installed as editable: pip install -e"
        )
    if unknown:
        message += (
            f". Install what provides {' and '.join(unknown)} here, too, and the command names it; "
            "if that is code of your own, put its directory on sys.path before the call"
        )
    return DeploymentError(message)
