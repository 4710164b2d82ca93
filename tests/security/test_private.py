"""What never lies in the store, where others may read it: environments, tokens, keys."""

from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.backends.aws_lambda import _cargo
from asyncfabric.testing import LambdaFront
from asyncfabric_runtime import Envelope, Plan
from asyncfabric_runtime._envelope import Seals
from asyncfabric_runtime._private import parted, rejoin
from asyncfabric_runtime._values import Encoded
from asyncfabric_runtime._wire import WireError, dump_head
from asyncfabric_storage import LocalStore
from asyncfabric_storage._buffers import as_views

VALUE = "canary-of-an-environment"
KEY = "5a" * 32


class KeepingStore(LocalStore):
    """A store that remembers whatever was ever written to it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.written: list[bytes] = []

    def _keep(self, key: str, data: Any) -> None:
        self.written += [key.encode(), b"".join(map(bytes, as_views(data)))]

    async def put(self, key: str, data: Any) -> None:
        self._keep(key, data)
        await super().put(key, data)

    async def put_if_absent(self, key: str, data: Any) -> bool:
        self._keep(key, data)
        return await super().put_if_absent(key, data)


@pytest.fixture
def seals(monkeypatch: pytest.MonkeyPatch) -> list[Seals]:
    """The seals of all envelopes that are stored."""
    found: list[Seals] = []

    def watched(envelope: Envelope) -> Any:
        if envelope.seals is not None:
            found.append(envelope.seals)
        return parted(envelope)

    monkeypatch.setattr(_cargo, "parted", watched)
    return found


async def test_a_large_envelope_leaves_them_out(
    tmp_path: Path, seals: list[Seals], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever could read a token in the bucket could forge the result that it seals."""
    monkeypatch.setenv("ASYNCFABRIC_KEY", KEY)
    store = KeepingStore(tmp_path / "store")
    large = b"x" * 400_000

    def call(data: bytes) -> tuple[int, str | None]:
        import os

        return len(data), os.environ.get("MY_VALUE")

    async with (
        LambdaFront() as front,
        af.Fabric(
            front.backend, storage=store, max_concurrency=1, hedge=None, env={"MY_VALUE": VALUE}
        ) as fabric,
    ):
        wanted = [(400_000, VALUE)] * 2
        assert await fabric.map(call, [large] * 2, job="j", version="1") == wanted
        assert len(seals) == 2
        assert sum(len(data) > 400_000 for data in store.written) == 2
        assert await fabric.map(call, [large]) == wanted[:1]
    everything = b"\0".join(store.written)
    inputs_and_results = VALUE.encode()
    hidden = [bytes.fromhex(KEY), KEY.encode(), *(each.tokens for each in seals)]
    assert not [each for each in hidden if each in everything]
    envelopes = [data for data in store.written if len(data) > 400_000]
    assert not [data for data in envelopes if inputs_and_results in data]


def _envelope() -> Envelope:
    plan = Plan(job="j", function="f", env={"A": "b"}, area="0" * 32)
    seals = Seals(b"n" * 16, b"s" * 64, b"t" * 64)
    return Envelope(plan, 1, range(2), 1, Encoded(None, [1, 2]), [], [], seals=seals)


def test_parts_come_together_again() -> None:
    whole = _envelope()
    bare, private = parted(whole)
    assert private is not None
    assert (bare.plan.env, bare.seals) == (None, None)
    rejoin(bare, private)
    assert (bare.plan, bare.seals) == (whole.plan, whole.seals)
    again, _ = parted(whole)
    rejoin(again, private)
    assert again.plan is bare.plan  # so that the worker knows it as the same fan-out


def test_where_nothing_is_private_nothing_is_parted() -> None:
    plain = Envelope(Plan(job="j", function="f"), 1, range(1), 1, Encoded(None, [1]), [], [])
    assert parted(plain) == (plain, None)


WRONG: list[Any] = [
    b"",
    dump_head(None),
    dump_head((None,)),
    dump_head(({"A": 1}, None)),
    dump_head((["A"], None)),
    dump_head((None, (b"n", b"s"))),
    dump_head((None, ("n", "s", "t"))),
    dump_head((None, 5)),
]


@pytest.mark.parametrize("private", WRONG, ids=range(len(WRONG)))
def test_other_private_parts_are_refused(private: bytes) -> None:
    bare, _ = parted(_envelope())
    with pytest.raises(WireError):
        rejoin(bare, private)
