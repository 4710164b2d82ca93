"""A Fabric on whatever cloud the environment names."""

import os
from collections.abc import AsyncGenerator

import pytest

import asyncfabric as af

PATIENCE = 200.0  # seconds for a test: cold starts, and waits for throttling to pass


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    backend = os.environ.get("ASYNCFABRIC_BACKEND", "")
    if not backend.startswith("lambda://") or not os.environ.get("ASYNCFABRIC_STORAGE"):
        pytest.exit(
            "tests/aws_live runs on the cloud that ASYNCFABRIC_BACKEND=lambda://... and "
            "ASYNCFABRIC_STORAGE=s3://... name; set both (see tests/aws_live/__init__.py)",
            returncode=4,
        )
    for item in items:
        if "aws_live" in item.path.parts:
            item.add_marker(pytest.mark.timeout(PATIENCE))


@pytest.fixture
async def fabric() -> AsyncGenerator[af.Fabric, None]:
    async with af.Fabric(max_concurrency=20) as fabric:
        yield fabric
