"""A cloud with the worker deployed to it, for whole programs to use by their environment alone."""

import asyncio
import io
import sys
import zipfile
from collections.abc import Callable
from urllib.parse import quote

import pytest

from asyncfabric.aws._family import member
from asyncfabric.aws._session import Session
from tests.cloud.fixtures import Bucket, Cloud, make_bucket
from tests.sources import ROOT

CONCURRENCY = 6
"""Of the emulated account: less than a Fabric's 100, so that programs meet throttling, too."""

_BOOTSTRAP = f"""#!/bin/sh
export PYTHONPATH={ROOT}:{ROOT}/runtime:{ROOT}/storage
exec {sys.executable} -m awslambdaric "$_HANDLER"
"""


def _package() -> bytes:
    """A custom runtime: awslambdaric of this environment, the checkout's own packages."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        member = zipfile.ZipInfo("bootstrap")
        member.create_system = 3
        member.external_attr = 0o100755 << 16
        archive.writestr(member, _BOOTSTRAP)
    return whole.getvalue()


async def _deploy(url: str) -> None:
    session = Session(region="us-east-1", endpoint_url=url)
    await session.open()
    try:
        async with session.client("lambda") as functions:
            await functions.create_function(
                FunctionName=member("asyncfabric").function_name,
                Runtime="provided.al2023",
                Role="arn:aws:iam::000000000000:role/worker",
                Handler="asyncfabric_runtime._aws_lambda.handler",
                Code={"ZipFile": _package()},
                Timeout=900,
                MemorySize=1769,
            )
    finally:
        await session.aclose()


@pytest.fixture(scope="session")
def deployed(start_ministack: Callable[..., str]) -> str:
    """The address of a cloud that has the function of this driver's family."""
    url = start_ministack(LAMBDA_ACCOUNT_CONCURRENCY=str(CONCURRENCY))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        asyncio.run(_deploy(url))
    return url


@pytest.fixture
def bucket(deployed: str) -> Bucket:
    """A bucket there."""
    return make_bucket(Cloud("ministack", deployed))


@pytest.fixture
def environment(deployed: str, bucket: Bucket) -> dict[str, str]:
    """The variables that turn a program for one machine into one for the cloud."""
    endpoint = quote(deployed, safe="")
    return {
        "ASYNCFABRIC_BACKEND": f"lambda://asyncfabric?region=us-east-1&endpoint_url={endpoint}",
        "ASYNCFABRIC_STORAGE": bucket.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
