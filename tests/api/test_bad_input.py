"""What makes no sense is refused: by type, and with what to do instead."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from tests.api.until import untyped
from tests.api.work import square

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _set_up() -> None: ...


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_concurrency": 0}, "max_concurrency=0 .*1 or more"),
        ({"max_concurrency": -1}, "1 or more"),
        ({"max_concurrency": 1.5}, "whole number"),
        ({"max_concurrency": True}, "whole number"),
        ({"max_pending": 0}, "max_pending=0 .*1 or more"),
        ({"backend": "ray://"}, "use 'local://'"),
        ({"backend": "local"}, "use 'local://'"),
        ({"backend": "local:4"}, "use 'local://'"),
        ({"backend": "local://?proceses=4"}, "the only option is 'processes'"),
        ({"backend": "local://?processes=0"}, "a number from 1"),
        ({"backend": "local://?processes=many"}, "a number from 1"),
        ({"backend": "local://?processes="}, "a number from 1"),
        ({"backend": "local://host"}, "nothing may follow"),
        ({"backend": "inline://?processes=1"}, "takes no options"),
        ({"backend": 3}, "give a URL"),
        ({"storage": "memory://"}, "file:///a/directory"),
        ({"storage": "s4://bucket"}, "file://"),
        ({"timeout": 0}, "seconds above 0"),
        ({"timeout": -1}, "seconds above 0"),
        ({"timeout": float("nan")}, "seconds above 0"),
        ({"timeout": "5"}, "seconds above 0"),
        ({"weight": 0}, "above 0"),
        ({"idempotent": 1}, "True or False"),
        ({"retry": 3}, r"asyncfabric\.Retry"),
        ({"initializer": "setup"}, "a function"),
        ({"initializer": _set_up}, "a plain function"),
        ({"env": {"A": 1}}, "mapping from str to str"),
        ({"env": "A=1"}, "mapping from str to str"),
        ({"timout": 5}, "the options are .*timeout"),
    ],
)
async def test_fabrics(
    arguments: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASYNCFABRIC_BACKEND", raising=False)
    with pytest.raises(af.ConfigurationError, match=message):
        af.Fabric(**arguments)


async def test_memory_goes_with_inline() -> None:
    async with af.Fabric("inline://", storage="memory://") as fabric:
        assert await fabric.submit(square, 3) == 9


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": -1},
        {"tiemout": 1},
        {"weight": float("inf")},
        {"hedge": 2.0},
        {"hedge": True},
        {"retry": 3},
        {"idempotent": None},
    ],
)
async def test_options_anywhere(inline: af.Fabric, options: dict[str, Any]) -> None:
    with pytest.raises(af.ConfigurationError):
        inline.with_options(**options)
    with pytest.raises(af.ConfigurationError):
        af.function(**options)


def _generator(x: int) -> Iterator[int]:
    yield x


async def _async_generator(x: int) -> AsyncIterator[int]:
    yield x


class _GeneratorMethod:
    def __call__(self, x: int) -> Iterator[int]:
        yield x

    def method(self, x: int) -> Iterator[int]:
        yield x


class _AnyAttribute:
    """As a mock: it has every attribute one asks for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (3, "pass a function"),
        (None, "pass a function"),
        ("square", "pass a function"),
        (_AnyAttribute(), "pass a function"),
        (_generator, "return a list"),
        (_async_generator, "return a list"),
        (_GeneratorMethod(), "return a list"),
        (_GeneratorMethod().method, "return a list"),
    ],
)
async def test_functions(fabric: af.Fabric, function: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        untyped(fabric).map(function, [1])
    with pytest.raises(TypeError, match=message):
        untyped(fabric).submit(function, 1)


async def test_coroutines_and_futures(fabric: af.Fabric) -> None:
    async def fetch(x: int) -> int:
        return x

    with pytest.raises(TypeError, match="pass the function itself"):
        untyped(fabric).submit(fetch(1))
    with pytest.raises(TypeError, match="pass the function itself"):
        untyped(fabric).map(fetch(1), [1])
    with pytest.raises(TypeError, match="pass the function itself"):
        untyped(fabric).submit(asyncio.get_running_loop().create_future())


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"items": 3}, TypeError, "fabric.submit"),
        ({"items": None}, TypeError, "iterable"),
        ({"items": _async_generator}, TypeError, "iterable"),
        ({"buffersize": 0}, af.ConfigurationError, "1 or more"),
        ({"buffersize": "auto"}, af.ConfigurationError, "whole number"),
        ({"chunksize": 0}, af.ConfigurationError, "1 or more"),
        ({"chunksize": "some"}, af.ConfigurationError, "whole number"),
        ({"results": "x"}, af.ConfigurationError, "'value', 'ref'"),
        ({"seed": -1}, af.ConfigurationError, "0 or more"),
        ({"seed": 1.5}, af.ConfigurationError, "whole number"),
        ({"shared": [1]}, af.ConfigurationError, "mapping"),
        ({"shared": {"not a name": 1}}, af.ConfigurationError, "mapping"),
        ({"shared": {1: 1}}, af.ConfigurationError, "mapping"),
    ],
)
async def test_maps(
    fabric: af.Fabric, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    arguments = {"items": [1], **arguments}
    items = arguments.pop("items")
    with pytest.raises(kind, match=message):
        untyped(fabric).map(square, items, **arguments)
    with pytest.raises(kind, match=message):
        untyped(fabric).starmap(square, items, **arguments)


async def test_starmap_of_what_is_no_tuple(fabric: af.Fabric) -> None:
    with pytest.raises(TypeError):
        await untyped(fabric).starmap(square, [1])
    with pytest.raises(TypeError, match="positional argument"):
        await untyped(fabric).starmap(square, [(1, 2)])
    assert await fabric.submit(square, 3) == 9


async def test_as_completed_of_something_else(fabric: af.Fabric) -> None:
    with pytest.raises(TypeError, match="Map or calls"):
        af.as_completed(untyped(3))
    with pytest.raises(TypeError, match="Calls"):
        af.as_completed(untyped([1]))


async def test_a_closed_fabric() -> None:
    fabric = af.Fabric("inline://")
    unused = fabric.map(square, [1])
    await fabric.aclose()
    await fabric.aclose()
    for use in (
        lambda: fabric.submit(square, 1),
        lambda: fabric.map(square, [1]),
        lambda: fabric.starmap(square, [(1,)]),
        lambda: fabric.with_options(timeout=3),
        unused.start,
    ):
        with pytest.raises(RuntimeError, match="closed; make a new one"):
            use()
    with pytest.raises(RuntimeError, match="closed; make a new one"):
        await fabric.put(1)
    with pytest.raises(RuntimeError, match="closed; make a new one"):
        await fabric.__aenter__()
    await unused.aclose()


async def test_a_ref_of_another_store(fabric: af.Fabric, tmp_path: Path) -> None:
    async with af.Fabric("inline://", storage=tmp_path.as_uri()) as other:
        ref = await other.put([1, 2])
        with pytest.raises(af.ConfigurationError, match=r"another store.*fabric\.put"):
            await untyped(fabric).submit(len, ref)
        with pytest.raises(af.ConfigurationError, match="another store"):
            await untyped(fabric).starmap(pow, [(1, ref)])
        with pytest.raises(af.ConfigurationError, match="another store"):
            await fabric.map(_with_shared, [1], shared={"value": ref})
        assert await untyped(fabric).submit(len, await fabric.put(await ref.get())) == 2


def _with_shared(x: int, *, value: list[int]) -> int:
    return x + len(value)


@pytest.mark.parametrize("name", ["limit", "max_concurrency", "max_pending"])
async def test_what_is_no_option_but_the_fabrics(inline: af.Fabric, name: str) -> None:
    with pytest.raises(af.ConfigurationError, match=rf"give it to Fabric\({name}=\.\.\.\)"):
        untyped(inline).with_options(**{name: 3})


@pytest.mark.parametrize("policy", [af.Retry, af.Limit])
@pytest.mark.parametrize("value", [-1, "5", None, True, float("nan")])
async def test_policies_that_make_no_sense(policy: Any, value: Any) -> None:
    """Each field refuses them, and says which it is and what it wants."""
    for field in fields(policy):
        with pytest.raises(ValueError, match=rf"{policy.__name__}\({field.name}=.*; give \w+"):
            policy(**{field.name: value})


async def test_policies_that_need_a_hint() -> None:
    with pytest.raises(ValueError, match="use 1 for no retry"):
        af.Retry(attempts=0)
    with pytest.raises(ValueError, match=r"a tuple of exception types, such as \(Connection"):
        af.Retry(on=untyped(ConnectionError))
    with pytest.raises(ValueError, match="a tuple of exception types"):
        af.Retry(on=untyped((KeyboardInterrupt,)))
    assert af.Limit(patience=float("inf")).patience > 60


async def test_options_on_what_cannot_carry_them() -> None:
    with pytest.raises(TypeError, match=r"with_options"):
        af.function(timeout=3)(abs)
