"""What the type checkers must refuse. A marked line must have an error, any other must not.

`# error` is for both checkers, `# error: mypy` or `# error: pyright` for one of them.
"""

import asyncfabric as af
from tests.typing.functions import add, fetch, name, price, simulate


async def submit(fabric: af.Fabric) -> None:
    fine = fabric.submit(price, 1)
    text: str = await fine  # error
    a = fabric.submit(price, "1")  # error
    b = fabric.submit(price)  # error
    c = fabric.submit(price, 1, 2, 3)  # error
    d = fabric.submit(price, 1, volatile=2)  # error
    e = fabric.submit(3)  # error
    f = fabric.submit(fetch, 1)  # error
    g: af.Call[str] = fabric.submit(fetch, "x")  # error
    print(text, a, b, c, d, e, f, g)


async def maps(fabric: af.Fabric) -> None:
    a = fabric.map(price, ["1"])  # error
    b = fabric.map(price, 3)  # error
    c = fabric.map(price, [1], ordered="yes")  # error
    d = fabric.map(price, [1], results="both")  # error
    e = fabric.map(price, [1], chunksize="some")  # error
    f = fabric.map(fn=price, items=[1])  # error
    g = fabric.map("price", [1])  # error
    h: list[str] = await fabric.map(price, [1])  # error
    i = fabric.map(price, [1], timeout=3)  # error
    for value in fabric.map(price, [1]):  # error
        print(value)
    print(a, b, c, d, e, f, g, h, i)


async def results(fabric: af.Fabric) -> None:
    with_errors = await fabric.map(name, [1], return_exceptions=True)
    print(with_errors[0].upper())  # error
    refs = await fabric.map(name, [1], results="ref")
    print(refs[0].upper())  # error
    print((await refs[0].get()).upper())


async def starmaps(fabric: af.Fabric) -> None:
    a = fabric.starmap(add, [(1, "2")])  # error
    b = fabric.starmap(add, [(1,)])  # error
    c = fabric.starmap(add, [1])  # error
    print(a, b, c)


async def shared(fabric: af.Fabric) -> None:
    print(fabric.map(simulate, [1], shared=["market"]))  # error


async def combinators(fabric: af.Fabric) -> None:
    a = await af.gather(1)  # error
    b = await af.gather(price)  # error
    c = af.as_completed(fabric.submit(price, 1))  # error
    for call in af.as_completed(fabric.map(price, [1])):  # error
        print(call)
    print(a, b, c)
