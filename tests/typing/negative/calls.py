"""What the type checkers must refuse. A marked line must have an error, any other must not.

`# error` is for both checkers, `# error: mypy` or `# error: pyright` for one of them.
"""

import asyncfabric as af
from tests.typing.functions import add, fetch, name, price, simulate


async def submit(fabric: af.Fabric) -> str:
    await fabric.submit(price, 1)
    await fabric.submit(price, "1")  # error
    await fabric.submit(price)  # error
    await fabric.submit(price, 1, 2, 3)  # error
    await fabric.submit(price, 1, volatile=2)  # error
    await fabric.submit(3)  # error
    await fabric.submit(fetch, 1)  # error
    await fabric.submit(fn=price)  # error
    return await fabric.submit(price, 1)  # error


async def what_a_coroutine_function_gives(fabric: af.Fabric) -> af.Call[str]:
    return fabric.submit(fetch, "x")  # error


async def maps(fabric: af.Fabric) -> list[str]:
    await fabric.map(price, [1])
    await fabric.map(price, ["1"])  # error
    await fabric.map(price, 3)  # error
    await fabric.map(price, [1], ordered="yes")  # error
    await fabric.map(price, [1], results="both")  # error
    await fabric.map(price, [1], chunksize="some")  # error
    await fabric.map(price, [1], timeout=3)  # error
    await fabric.map(fn=price, items=[1])  # error
    await fabric.map("price", [1])  # error
    for value in fabric.map(price, [1]):  # error
        print("never", value is None)
    return await fabric.map(price, [1])  # error


async def results(fabric: af.Fabric) -> None:
    with_errors = await fabric.map(name, [1], return_exceptions=True)
    with_errors[0].upper()  # error
    refs = await fabric.map(name, [1], results="ref")
    refs[0].upper()  # error
    (await refs[0].get()).upper()


async def starmaps(fabric: af.Fabric) -> None:
    await fabric.starmap(add, [(1, 2.0)])
    await fabric.starmap(add, [(1, "2")])  # error
    await fabric.starmap(add, [(1,)])  # error
    await fabric.starmap(add, [1])  # error


async def shared(fabric: af.Fabric) -> None:
    await fabric.map(simulate, [1], shared={"market": [1.0]})
    await fabric.map(simulate, [1], shared=["market"])  # error
    await fabric.map(simulate, ["1"], shared={"market": [1.0]})  # error


async def combinators(fabric: af.Fabric) -> None:
    await af.gather(fabric.submit(price, 1), fabric.map(price, [1]))
    await af.gather(1)  # error
    await af.gather(price)  # error
    af.as_completed(price)  # error
    af.as_completed([1])  # error
    for call in af.as_completed(fabric.map(price, [1])):  # error
        print("never", call is None)
