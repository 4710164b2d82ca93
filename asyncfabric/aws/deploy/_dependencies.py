"""The user's dependencies: an archive in the bucket, which each worker fetches once."""

from __future__ import annotations

import importlib.metadata
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from asyncfabric._exceptions import DeploymentError

from ._archive import Archive, write_archive
from ._bytecode import compile_all
from ._install import install
from ._package import tree
from ._steps import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._bucket import Bucket
    from ._policies import Place
    from ._target import Target

FOLDER = "dependencies"
"""Where archives are, below the family's prefix."""
ROOT = "/tmp/asyncfabric"  # noqa: S108 - the place in a worker; nothing is written there here
"""Where a worker unpacks them, as tracebacks say it."""


class Dependencies(NamedTuple):
    """An archive of packages."""

    archive: Archive
    versions: dict[str, str]
    """What is in it: names and versions."""


def build_dependencies(path: Path, requirements: Sequence[str], target: Target) -> Dependencies:
    """Install requirements for `target` and write them as a zip; equal versions, equal bytes.

    Raises:
        DeploymentError: they can't be installed for the target.
        ConfigurationError: there is no such requirements file, or nothing to install with.
    """
    with tempfile.TemporaryDirectory(prefix="asyncfabric-dependencies-") as scratch:
        folder, compiled = Path(scratch, "packages"), Path(scratch, "compiled")
        install(requirements, folder, target)
        compiled.mkdir()
        files = tree(folder)
        versions = {
            each.name: each.version for each in importlib.metadata.distributions(path=[str(folder)])
        }
        archive = write_archive(path, {**files, **compile_all(files, compiled, ROOT)})
    return Dependencies(archive, dict(sorted(versions.items())))


def differences(versions: dict[str, str]) -> list[str]:
    """Return which packages have another version here: values of theirs may not travel well."""
    found: list[str] = []
    for name, version in versions.items():
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if here != version:
            found.append(f"{name} {version} on the workers, {here} here")
    return found


def check_space(archive: Archive, megabytes: int) -> None:
    """Raise `DeploymentError` where a worker's /tmp of so many megabytes can't hold it."""
    needed = (archive.size + archive.unpacked >> 20) + 64
    if needed > megabytes:
        msg = (
            f"the dependencies need {needed} MB of a worker's /tmp, which has {megabytes}; "
            f"deploy with --ephemeral-storage {-(-needed // 512) * 512}"
        )
        raise DeploymentError(msg)


def key_of(prefix: str, archive: Archive) -> str:
    """Return the archive's key in the bucket."""
    return f"{prefix}/{FOLDER}/{archive.sha256}.zip"


def reference(place: Place, archive: Archive, endpoint_url: str | None) -> str:
    """Return what a function's environment says of the archive."""
    options = {"region": place.region, "owner": place.account}
    if endpoint_url:
        options["endpoint_url"] = endpoint_url
    where = f"s3://{place.bucket}/{key_of(place.prefix, archive)}"
    return f"{where}?{urlencode(options, safe=':/')}#{archive.sha256}"


async def plan_upload(bucket: Bucket, prefix: str, archive: Archive) -> list[Step]:
    """Return the upload, unless the archive is there."""
    key = key_of(prefix, archive)
    if await bucket.exists() and await bucket.has(key):
        return []

    async def upload() -> None:
        with archive.path.open("rb") as file:
            await bucket.call("put_object", Key=key, Body=file)

    what = f"dependencies s3://{bucket.name}/{key}"
    return [Step("upload", what, upload, f"{archive.size / 1e6:.1f} MB")]
