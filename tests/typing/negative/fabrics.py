"""What the type checkers must refuse of Fabrics and options; see calls.py for the marks."""

import asyncfabric as af
from tests.typing.functions import price


async def fabrics() -> None:
    a = af.Fabric(3)  # error
    b = af.Fabric("local://", "memory://")  # error
    c = af.Fabric(timeout="5")  # error
    d = af.Fabric(speed=3)  # error
    e = af.Fabric(max_concurrency="all")  # error
    f = a.with_options(speed=3)  # error
    with af.Fabric() as g:  # error
        print(g)
    print(b, c, d, e, f)


async def dropped(fabric: af.Fabric) -> None:
    fabric.submit(price, 1)  # error: mypy
    fabric.map(price, [1])  # error: mypy
    fabric.put(1)  # error
    af.gather(fabric.submit(price, 1))  # error


@af.function(speed=3)  # error
def decorated(seed: int) -> int:
    return seed


@af.function(timeout=3.0)
def limited(seed: int) -> int:
    return seed


async def decorated_functions(fabric: af.Fabric) -> None:
    a = limited("1")  # error
    b = fabric.submit(limited, "1")  # error
    c = af.run(limited)  # error
    print(a, b, c)
