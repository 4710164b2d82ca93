"""What a driver is told whose function isn't there."""

from typing import Any

import pytest

from asyncfabric import DeploymentError, VersionMismatch
from asyncfabric.aws._family import Member, machine, member
from asyncfabric.aws._missing import deploy_command, explain_missing, explained
from asyncfabric.aws._session import Session
from asyncfabric.aws.deploy._cloud import Cloud
from asyncfabric_runtime import PYTHON, WIRE_VERSION
from tests.aws.deploy.conftest import Family

WANTED = Member("numbers", WIRE_VERSION, PYTHON, "x86_64", 3538)


@pytest.mark.parametrize(
    ("others", "kind", "words"),
    [
        (None, DeploymentError, ["eu-west-1", "may not call it", "asyncfabric deploy --name"]),
        ([], DeploymentError, ["nor any other", "--memory 3538"]),
        (
            [WANTED._replace(memory=1769)],
            DeploymentError,
            ["deployed are numbers-w1", "or use lambda://numbers?memory=1769&arch=x86_64"],
        ),
        (
            [WANTED._replace(python="3.9")],
            VersionMismatch,
            [f"this is Python {PYTHON}, and the workers' is 3.9", "run: asyncfabric deploy"],
        ),
        ([WANTED._replace(wire=99)], VersionMismatch, ["wire version", "numbers-w99"]),
        ([WANTED._replace(memory=200 + n) for n in range(20)], DeploymentError, ["and 12 more"]),
    ],
)
def test_what_is_said(others: list[Member] | None, kind: type[Exception], words: list[str]) -> None:
    error = explained(WANTED, others, "eu-west-1")
    assert type(error) is kind
    for each in [WANTED.function_name, *words] if kind is DeploymentError else words:
        assert each in str(error)


def test_the_command_says_what_is_not_the_default() -> None:
    assert deploy_command(member("asyncfabric"), "eu-west-1") == (
        "asyncfabric deploy --region eu-west-1"
    )
    other = "arm64" if machine() == "x86_64" else "x86_64"
    assert deploy_command(member("a", memory=512, arch=other), "eu-west-1") == (
        f"asyncfabric deploy --name a --region eu-west-1 --memory 512 --arch {other}"
    )


async def test_it_looks_which_there_are(cloud: Cloud, family: Family) -> None:
    wanted = member(family.name, arch="x86_64")
    role = await cloud.call(
        "iam", "create_role", RoleName=family.name, AssumeRolePolicyDocument="{}"
    )
    assert "nor any other" in str(await explain_missing(cloud.session, wanted))
    await cloud.call(
        "lambda",
        "create_function",
        FunctionName=wanted._replace(python="3.9").function_name,
        Role=role["Role"]["Arn"],
        Runtime="python3.9",
        Handler="a.b",
        Code={"ZipFile": b"PK"},
    )
    assert isinstance(await explain_missing(cloud.session, wanted), VersionMismatch)


async def test_it_may_not_look(family: Family, unused_tcp_port: int) -> None:
    class Denied(Session):
        def client(self, service: str, **config: Any) -> Any:
            return super().client(service, retries={"mode": "standard", "total_max_attempts": 1})

    session = Denied(region="us-east-1", endpoint_url=f"http://127.0.0.1:{unused_tcp_port}")
    await session.open()
    try:
        error = await explain_missing(session, member(family.name))
    finally:
        await session.aclose()
    assert "may not call it" in str(error)
