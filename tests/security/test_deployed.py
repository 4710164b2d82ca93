"""`code="deployed"`: functions by name, held to by the worker itself."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.shipping import Shipped, named, ship
from asyncfabric_runtime import Envelope, Plan
from asyncfabric_runtime._data import pack_data
from asyncfabric_runtime._named import Served, served, unpack_name
from asyncfabric_runtime._packing import pack_object
from asyncfabric_runtime._values import PICKLED, Encoded
from asyncfabric_storage import ConfigurationError, LocalStore, digest, object_key
from tests.runtime.helpers import answers
from tests.runtime.test_aws_lambda import Fake, outcome_of, sent
from tests.runtime.test_aws_lambda import worker as any_worker
from tests.security.gadgets import Gadget, gadget, no_pickles
from tests.security.work import OwnError, echo, later, map_inside, total, variable

__all__ = ["any_worker"]

HERE = "tests.security.work"


@functools.cache
def cached(x: int) -> int:
    return x


class Tools:
    @staticmethod
    def double(x: int) -> int:
        return 2 * x

    def method(self, x: int) -> int:
        return x


imported_from_elsewhere = echo


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, any_worker: Fake) -> Fake:
    """A worker on Lambda that serves one module."""
    any_worker.process.served = Served([HERE])
    return any_worker


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def _envelope(shipped: Shipped, value: Any = 1, *, kind: int | None = None, **plan: Any) -> str:
    given: dict[str, Any] = {
        "data_inputs": True,
        "data_results": True,
        "code": {shipped.digest: shipped.data},
        **plan,
    }
    kinds = None if kind is None else bytes([kind])
    made = Plan(job="j", function=shipped.digest, **given)
    return sent(Envelope(made, 1, range(1), 1, Encoded(kinds, [value]), [], []))


def _by_name(text: bytes) -> Shipped:
    data = b"AFN1" + text
    return Shipped(digest(data), data, is_async=False)


def _said(worker: Fake, event: str) -> str:
    with no_pickles():
        outcome = outcome_of(worker.serve(event, 60.0))
    (failure,) = outcome.failures.values()
    assert failure.pickled is None
    return failure.message


# -- the worker ---------------------------------------------------------------------------------


def test_what_is_served_runs(worker: Fake) -> None:
    with no_pickles():
        outcome = outcome_of(worker.serve(_envelope(named(echo), 5), 60.0))
    assert answers(outcome) == {0: 5}
    outcome = outcome_of(worker.serve(_envelope(named(later), 6, is_async=True), 60.0))
    assert answers(outcome) == {0: 6}


@pytest.mark.parametrize(
    "name",
    [
        b"os:system",
        b"subprocess:run",
        b"builtins:exec",
        b"tests.security.workers:echo",
        b"tests.security:work.echo",
        b"tests.security.test_deployed:Tools.double",
        f"{HERE}:af.run".encode(),
        f"{HERE}:OwnError".encode(),
        f"{HERE}:echo.__globals__".encode(),
        f"{HERE}:echo.__init__".encode(),
        f"{HERE}:nothing".encode(),
        f"{HERE}:".encode(),
        b":",
        b"",
        b"\xff:\xff",
        f"{HERE}:echo:more".encode(),
        f"..{HERE}:echo".encode(),
    ],
)
def test_no_other_name_runs(worker: Fake, name: bytes) -> None:
    said = _said(worker, _envelope(_by_name(name), "true"))
    assert "not" in said or "no" in said


def test_shipped_code_is_refused_before_it_is_read(worker: Fake, canary: Path) -> None:
    data = b"".join(map(bytes, pack_object(Gadget(canary))))
    shipped = Shipped(digest(data), data, is_async=False)
    assert "takes no code" in _said(worker, _envelope(shipped, data_inputs=False))
    assert "came by value" in _said(worker, _envelope(shipped))
    assert "came by value" in _said(
        worker,
        _envelope(named(echo), initializer=shipped.digest, code={
            shipped.digest: data, named(echo).digest: named(echo).data
        }),
    )  # fmt: skip
    assert not canary.exists()


def test_an_archive_is_refused_before_it_is_fetched(worker: Fake, tmp_path: Path) -> None:
    said = _said(worker, _envelope(named(echo), archive="0" * 64, store_url=f"file://{tmp_path}"))
    assert "takes no code" in said


def test_code_from_the_store_is_refused(worker: Fake, tmp_path: Path, canary: Path) -> None:
    """Its digest is right: whoever invokes may have put it there."""
    store = LocalStore(tmp_path / "store")
    data = b"".join(map(bytes, pack_object(Gadget(canary))))
    worker.process.wait_for(store.put(object_key(digest(data)), data))
    shipped = Shipped(digest(data), data, is_async=False)
    event = _envelope(shipped, code={}, store_url=store.url)
    assert "came by value" in _said(worker, event)
    assert not canary.exists()


def test_pickled_inputs_are_refused(worker: Fake, canary: Path) -> None:
    said = _said(worker, _envelope(named(echo), gadget(canary), kind=PICKLED))
    assert "it is a pickle" in said
    assert not canary.exists()


@pytest.mark.parametrize(("function", "is_async"), [(echo, False), (later, True)])
@pytest.mark.parametrize("value", [[1], ((1,),), {"x": 1}, "x" * 1_000_000])
def test_inputs_that_only_claim_to_be_plain_are_refused(
    worker: Fake, function: Any, is_async: bool, value: Any
) -> None:
    """Of tuples in tuples, a million deep, the function's own `hash` would end the process."""
    said = _said(worker, _envelope(named(function), value, is_async=is_async))
    assert "stands in the head" in said


def test_pickled_shared_values_are_refused(worker: Fake, tmp_path: Path, canary: Path) -> None:
    store = LocalStore(tmp_path / "store")
    for pieces, fine in ((pack_object(Gadget(canary)), False), (pack_data({1}), True)):
        data = b"".join(map(bytes, pieces))
        worker.process.wait_for(store.put(object_key(digest(data)), data))
        event = _envelope(named(total), shared={"b": digest(data)}, store_url=store.url)
        said = _said(worker, event)
        assert ("where only data is taken" in said) is not fine  # a set can't be added, though
    assert not canary.exists()


def test_its_environment_is_not_the_callers(worker: Fake) -> None:
    assert "no env=" in _said(worker, _envelope(named(echo), env={"LD_PRELOAD": "x"}))
    refused = _said(worker, _envelope(named(echo), secrets={"LD_PRELOAD": "env:HOME"}))
    assert "can't be in an environment variable" in refused


@pytest.mark.parametrize(
    "name",
    ["HTTPS_PROXY", "https_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HOME", "_HANDLER"],
)
def test_callers_do_not_choose_where_its_connections_lead(
    worker: Fake, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Not by secrets either; who owns the worker may keep such a thing secret."""
    monkeypatch.setenv("OWN", "value")
    event = _envelope(named(variable), name, secrets={name: "env:OWN"})
    assert f"takes no secret as {name}" in _said(worker, event)
    fine = outcome_of(
        worker.serve(_envelope(named(variable), "DSN", secrets={"DSN": "env:OWN"}), 9)
    )
    assert answers(fine) == {0: "value"}
    worker.process.served = None
    assert answers(outcome_of(worker.serve(event, 9))) == {0: "value"}


def test_the_workers_own_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASYNCFABRIC_SERVES", raising=False)
    assert served() is None
    monkeypatch.setenv("ASYNCFABRIC_SERVES", "a b.c:d")
    found = served()
    assert found is not None
    assert [
        found.allows(*each)
        for each in (("a", "x"), ("a.b", "x"), ("ab", "x"), ("b.c", "d"), ("b.c", "e"), ("b", "d"))
    ] == [True, True, False, True, False, False]
    for text in ("", "  ", "a b:", "a:b:c"):
        monkeypatch.setenv("ASYNCFABRIC_SERVES", text)
        with pytest.raises(ConfigurationError, match="ASYNCFABRIC_SERVES"):
            served()


async def test_local_workers_keep_to_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCFABRIC_SERVES", HERE)
    async with af.Fabric("local://?processes=1", code="deployed", trust="data") as fabric:
        assert await fabric.map(echo, [1]) == [1]
        assert await fabric.map(map_inside, [5]) == [5]
        with pytest.raises(af.RemoteError, match=r"not tests.security.test_deployed:cached"):
            await fabric.map(cached, [1])
    async with af.Fabric("local://?processes=1", trust="data") as fabric:
        with pytest.raises(af.RemoteError, match="takes no code"):
            await fabric.map(echo, [1])


# -- the driver ---------------------------------------------------------------------------------


def _adder(n: int) -> Callable[[int], int]:
    def add(x: int) -> int:
        return x + n

    return add


NAMELESS: list[Any] = [
    lambda x: x,  # pyright: ignore[reportUnknownLambdaType]
    _adder(1),
    functools.partial(total, 1),
    Tools().method,
    Tools,
    OwnError("x").with_traceback,
    len,
]


@pytest.mark.parametrize("function", NAMELESS)
async def test_what_has_no_name_is_refused_in_the_driver(function: Any) -> None:
    async with af.Fabric("inline://", code="deployed") as fabric:
        with pytest.raises(af.SerializationError, match="no code is sent"):
            await fabric.map(function, [1])
        with pytest.raises(af.SerializationError, match="no code is sent"):
            await fabric.submit(function, 1)


@pytest.mark.parametrize("backend", ["local://?processes=1", "inline://"])
async def test_what_has_a_name_runs(backend: str) -> None:
    async with af.Fabric(backend, code="deployed") as fabric:
        assert await fabric.map(cached, [1]) == [1]
        assert await fabric.map(Tools.double, [1]) == [2]
        assert await fabric.submit(total, 1, b=5) == 6
        assert await fabric.map(imported_from_elsewhere, [{1: (2, [3])}]) == [{1: (2, [3])}]
        assert await fabric.starmap(total, [(1, 2)]) == [3]
        assert await fabric.map(later, [1.5]) == [1.5]


async def test_inputs_are_data() -> None:
    async with af.Fabric("inline://", code="deployed") as fabric:
        with pytest.raises(af.SerializationError, match=r"no pickles are sent.*OwnError"):
            await fabric.map(echo, [OwnError("x")])
        with pytest.raises(af.SerializationError, match="no pickles are sent"):
            await fabric.put(OwnError("x"))
        with pytest.raises(af.SerializationError, match=r"no pickles are sent.*shared 'b'"):
            await fabric.map(total, [1], shared={"b": OwnError("x")})
        wrong: Any = OwnError("x")
        with pytest.raises(af.SerializationError, match="no pickles are sent"):
            await fabric.submit(total, wrong, b=1)


async def test_initializers_go_by_name_too() -> None:
    async with af.Fabric("inline://", code="deployed", initializer=os.getcwd) as fabric:
        with pytest.raises(af.SerializationError, match="no code is sent"):
            await fabric.map(echo, [1])


def test_names_travel_as_names() -> None:
    shipped = named(echo)
    assert unpack_name(shipped.data) == (HERE, "echo")
    assert unpack_name(ship(echo).data) is None
    assert len(shipped.data) < 60
