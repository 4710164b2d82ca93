"""An account at moto, where each test has a family of its own; one package for all of them."""

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from asyncfabric.aws.deploy import _plan
from asyncfabric.aws.deploy._archive import Archive, write_archive
from asyncfabric.aws.deploy._cloud import Cloud
from asyncfabric.aws.deploy._package import build_package
from asyncfabric.aws.deploy._steps import Step, carry_out
from asyncfabric.aws.deploy._target import Target
from asyncfabric.aws.doctor import _workers
from asyncfabric.cli import main
from asyncfabric_runtime import PYTHON


@dataclass(frozen=True, slots=True)
class Family:
    """A function family that nobody else uses."""

    name: str
    bucket: str
    url: str

    def run(self, command: str, *arguments: str) -> int:
        """Run the command line for this family; return its exit code."""
        where = ["--name", self.name, "--bucket", self.bucket, "--endpoint-url", self.url]
        return main([command, *where, *arguments])


@pytest.fixture
def family(moto_url: str, monkeypatch: pytest.MonkeyPatch, small: Archive) -> Family:
    """A family, with credentials and a package that is built already, and small."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    use_package(monkeypatch, small)
    mark = secrets.token_hex(4)
    return Family(f"af-{mark}", f"asyncfabric-{mark}", moto_url)


@pytest.fixture
async def cloud(family: Family) -> AsyncIterator[Cloud]:
    """The account."""
    async with Cloud(region="us-east-1", endpoint_url=family.url) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The worker's zip for this Python on x86_64."""
    folder = tmp_path_factory.mktemp("package")
    return build_package(Path(folder, "worker.zip"), Target(PYTHON, "x86_64"))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """A zip as good as a worker's for a service that runs no code."""
    folder = tmp_path_factory.mktemp("small")
    return write_archive(folder / "worker.zip", {"worker.py": b"handler = print"})


def use_package(monkeypatch: pytest.MonkeyPatch, package: Archive) -> None:
    """Have this zip deployed, and doctor expect it."""

    def built(path: Path, target: Target, serve: Sequence[str] = ()) -> Archive:
        return package

    for module in (_plan, _workers):
        monkeypatch.setattr(module, "build_package", built)


async def apply(steps: list[Step]) -> list[str]:
    """Carry out a plan and return what was said and warned."""
    said: list[str] = []
    await carry_out(steps, said.append, said.append)
    return said
