"""Workers that were deployed with packages: they install them with their first invocation."""

from hashlib import sha256
from pathlib import Path

import pytest

import asyncfabric as af
from asyncfabric.aws.deploy._archive import write_archive
from asyncfabric.testing import LambdaFront
from asyncfabric_runtime._dependencies import VARIABLE

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _archive(folder: Path) -> tuple[Path, str]:
    path = write_archive(folder / "packages.zip", {"af_gift.py": b"X = 7"}).path
    return path, sha256(path.read_bytes()).hexdigest()


def gift(x: int) -> int:
    module = __import__("af_gift")
    return int(module.X) + x


async def test_packages_are_there_for_the_first_call(tmp_path: Path) -> None:
    path, digest = _archive(tmp_path)
    environment = {VARIABLE: f"file://{path}#{digest}"}
    async with LambdaFront(environment=environment) as front, af.Fabric(front.backend) as fabric:
        assert await fabric.map(gift, range(3)) == [7, 8, 9]
        assert front.counters.function_errors == 0


async def test_packages_that_cannot_be_installed_are_a_refusal(tmp_path: Path) -> None:
    """No crash and no retry; the worker tries again with its next invocation."""
    path, digest = _archive(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + b"0")
    environment = {VARIABLE: f"file://{path}#{digest}"}
    async with LambdaFront(environment=environment) as front, af.Fabric(front.backend) as fabric:
        for _ in range(2):
            with pytest.raises(af.IntegrityError, match=r"refused.*not the archive.*deploy"):
                await fabric.submit(gift, 1)
        assert front.counters.function_errors == 0
        path.write_bytes(whole)
        assert await fabric.submit(gift, 1) == 8
        assert front.counters.environments == 1
