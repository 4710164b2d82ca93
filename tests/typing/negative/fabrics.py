"""What the type checkers must refuse of Fabrics and options; see calls.py for the marks."""

import asyncfabric as af
from tests.typing.functions import price


async def fabrics() -> None:
    af.Fabric("local://", storage="memory://", max_concurrency=2, timeout=5)
    af.Fabric(3)  # error
    af.Fabric("local://", "memory://")  # error
    af.Fabric(timeout="5")  # error
    af.Fabric(speed=3)  # error
    af.Fabric(max_concurrency="all")  # error
    af.Fabric().with_options(speed=3)  # error
    af.Fabric(hedge=2.0)  # error
    af.Fabric(hedge=True)  # error
    af.Fabric(retry=3)  # error
    af.Fabric(limit=5)  # error
    af.Fabric(idempotent="no")  # error
    af.Fabric(weight="2")  # error
    af.Fabric(trust="json")  # error
    af.Fabric(code="none")  # error
    af.Fabric(secrets=["DSN"])  # error
    af.Fabric().with_options(limit=af.Limit())  # error
    with af.Fabric():  # error
        pass


def policies() -> None:
    af.Retry(3)  # error
    af.Retry(on=ConnectionError)  # error
    af.Retry(on=(KeyboardInterrupt,))  # error
    af.Hedge(2.0)  # error
    af.Hedge(copies=2.5)  # error
    af.Limit(start=1.5)  # error
    af.Limit(patience=None)  # error
    af.Retry().attempts = 3  # error


async def dropped(fabric: af.Fabric) -> None:
    fabric.submit(price, 1)  # error: mypy
    fabric.map(price, [1])  # error: mypy
    fabric.put(1)  # error
    af.gather(fabric.submit(price, 1))  # error


@af.function(hedge=True)  # error
def hedged(seed: int) -> int:
    return seed


@af.function(speed=3)  # error
def decorated(seed: int) -> int:
    return seed


@af.function(timeout=3.0)
def limited(seed: int) -> int:
    return seed


async def decorated_functions(fabric: af.Fabric) -> None:
    limited(1)
    limited("1")  # error
    await fabric.submit(limited, 1)
    await fabric.submit(limited, "1")  # error
    af.run(limited)  # error
