"""Packages for another platform, by pip or uv."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from asyncfabric._exceptions import ConfigurationError, DeploymentError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ._target import Target


def install(
    requirements: Sequence[str], folder: Path, target: Target, *, dependencies: bool = True
) -> None:
    """Install packages for `target` into a directory. Only wheels are used: nothing is built.

    Args:
        requirements: requirements (`numpy>=2`) and requirements files (`-r` isn't needed).
        folder: where to.
        target: for which Python and architecture.
        dependencies: whether what they need is installed too.

    Raises:
        ConfigurationError: there is neither pip nor uv here.
        DeploymentError: no fitting wheel, a version conflict, no network.
    """
    arguments = [] if dependencies else ["--no-deps"]
    for each in requirements:
        arguments += ["-r", each] if _is_file(each) else [each]
    done = subprocess.run(  # noqa: S603 - the user's own requirements
        [*_installer(target), "--target", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [each.strip() for each in done.stderr.splitlines() if each.strip()]
        errors = [each for each in lines if each.lower().startswith("error")] or lines[-3:]
        what = ", ".join(requirements)
        msg = (
            f"{what} can't be installed for {target.runtime} on {target.arch} "
            f"(glibc 2.{target.glibc}): {' '.join(errors)}. Only wheels are used; "
            "ask for another version, or build an image (docs/deploy.md)"
        )
        raise DeploymentError(msg)


def _is_file(requirement: str) -> bool:
    from pathlib import Path

    if Path(requirement).is_file():
        return not requirement.endswith(".whl")
    if requirement.endswith(".txt"):
        msg = f"there is no requirements file {requirement!r}; give its path"
        raise ConfigurationError(msg)
    return False


def _installer(target: Target) -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
        command += ["--disable-pip-version-check", "--no-input", "--only-binary=:all:"]
        command += ["--implementation", "cp", "--python-version", target.python]
        for platform in target.platforms:
            command += ["--platform", platform]
        return command
    if uv := shutil.which("uv"):
        libc = f"manylinux_2_{28 if target.glibc >= 28 else 17}"  # noqa: PLR2004
        command = [uv, "pip", "install", "--quiet", "--only-binary", ":all:"]
        command += ["--python-platform", f"{target.machine}-{libc}"]
        return [*command, "--python-version", target.python]
    msg = "packages are installed by pip or uv and there is neither; run 'python -m ensurepip'"
    raise ConfigurationError(msg)
