"""Workers on Lambda that were deployed with `--serve`, and drivers of both kinds."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncfabric as af
from asyncfabric.testing import LambdaFront
from asyncfabric_runtime._stores import lend
from tests.security.gadgets import Gadget, no_pickles
from tests.security.work import echo, fail, later, with_shared
from tests.sources import ROOT

ENVIRONMENT = {
    "ASYNCFABRIC_SERVES": "tests.security.work",
    "PYTHONPATH": os.pathsep.join(str(ROOT / each) for each in (".", "runtime", "storage")),
}


def _a_function() -> Any:
    return lend


async def test_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large and small, plain and coroutine functions, stored values, a durable job, a failure."""
    monkeypatch.setenv("ASYNCFABRIC_KEY", "5a" * 32)
    given: Any = {"storage": (tmp_path / "store").as_uri(), "max_concurrency": 2, "hedge": None}
    canary = tmp_path / "canary"
    async with LambdaFront(environment=ENVIRONMENT) as front:
        with no_pickles():
            async with af.Fabric(front.backend, trust="data", code="deployed", **given) as fabric:
                values: list[Any] = [1, {"a": (2, b"x" * 300_000)}, [{3}, None]]
                assert await fabric.map(echo, values) == values
                assert await fabric.map(later, values) == values
                big = np.arange(100_000.0)
                (found,) = await fabric.map(with_shared, [big], shared={"table": {4}})
                assert np.array_equal(found[0], big)
                assert found[1] == {4}
                for _ in range(2):
                    assert await fabric.map(echo, values, job="service") == values
                run: Any = fabric.map
                assert await run(echo, await run(echo, values, results="ref")) == values
                with pytest.raises(af.RemoteError, match="OwnError: why"):
                    await fabric.map(fail, ["why"])
        async with af.Fabric(front.backend, **given) as shipping:
            with pytest.raises(af.FabricError, match=r"takes no code.*code='deployed'"):
                await shipping.map(lambda x: x, [Gadget(canary)])
        async with af.Fabric(front.backend, code="deployed", **given) as fabric:
            with pytest.raises(af.FabricError, match=r"not asyncfabric_runtime\._stores:lend"):
                await fabric.submit(_a_function(), 1)
    assert not canary.exists()
