"""The driver, told nonsense by its workers: a map ends all the same, and nothing is raised."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import asyncfabric as af
from asyncfabric.backends.aws_lambda._held import Held
from asyncfabric_runtime import Outcome, WireError
from asyncfabric_runtime._data import MAGIC, pack_data
from asyncfabric_runtime._data_reading import BadDataError, unpack_data
from asyncfabric_runtime._layout import lay_out
from asyncfabric_runtime._wire import OUTCOME, load_head, pack, unpack
from tests.api.until import passes
from tests.backends.scripted import Scripted

from .drawn import Drawn
from .guard import nothing_is_unpickled
from .wire_targets import joined, outcomes

_CALLS = 5
_PASSES = 2000
_AT_ONCE = af.Retry(base=1e-9, cap=1e-9)


def answers(data: bytes) -> None:
    """Answers of a function, read as the Lambda backend reads them: only data is taken."""
    with nothing_is_unpickled():
        asyncio.run(_answers(Drawn(data)))


async def _answers(drawn: Drawn) -> None:
    wrong: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    backend = Scripted(lanes=2)
    async with af.Fabric(backend, hedge=None, trust="data", retry=_AT_ONCE) as fabric:
        mapped = asyncio.ensure_future(_mapped(fabric))
        told: set[int] = set()
        for turn in range(_PASSES):
            for flight in list(backend.launched.keys() - told):
                told.add(flight)
                if turn < 20 and drawn.below(3):
                    _take(backend, flight, drawn)
                else:
                    backend.answer(flight)
            await passes(3)
            if mapped.done():
                break
        assert mapped.done(), "the map doesn't end"
    assert wrong == []


async def _mapped(fabric: af.Fabric) -> None:
    with suppress(af.FabricError):
        await fabric.map(abs, range(_CALLS), return_exceptions=True, chunksize=3)


def _take(backend: Scripted, flight: int, drawn: Drawn) -> None:
    """Do with an answer what the Lambda backend does."""
    head = load_head(unpack(joined(drawn.choice(outcomes()).to_frame()))[1][0])
    for _ in range(drawn.below(3)):
        head = drawn.changed(head)
    whole: Any = head
    if type(head) is tuple and head:
        whole = (flight, *whole[1:])
    held = Held(backend.launched[flight], 0.0)
    receiver = backend.receiver
    try:
        frame = unpack(joined(pack(OUTCOME, whole, [b'"text"', b"two"])))
        outcome = Outcome.from_segments(frame[1])
        unrun = [] if outcome.lacks else held.unanswered(outcome)
        if outcome.flight != flight:
            return  # it is refused as the answer to another
    except WireError as error:
        receiver.on_lost(flight, None, af.VersionMismatch(str(error)), "")
        return
    if unrun:
        receiver.on_returned(flight, unrun)
    receiver.on_outcome(outcome, "worker", 100)


DATA: list[Any] = [
    {"a": [1, 2.5, None, True], "b": (1, "x"), 3: {4, 5}},
    [b"bytes", bytearray(b"more"), 2**4000, 1 + 2j],
    "text",
]


_TEXTS = [
    b'[{"$":"bytes","v":0},{"$":"array","v":1,"t":"<i4","s":[1]}]',
    b'[{"$":"array","v":0,"t":"<f8","s":null},{"$":"bytearray","v":1}]',
    b'[{"$":"datetime","v":"2026-11-23T08:00:00"},{"$":"Decimal","v":"1.50"}]',
    b'[{"$":"complex","v":[1,2]},{"$":"timedelta","v":[1,2,3]},{"$":"int","v":"0xff"}]',
    b'[{"$":"ref","v":["%b",9]},{"$":"dict","v":[[1,2]]},{"$":"set","v":[1]}]' % (b"a" * 64),
]


def packed() -> list[bytes]:
    """Return valid values as data, and texts of others."""
    wholes = [b"\0" + joined(pack_data(value)) for value in DATA]
    return wholes + [b"\1" + text for text in _TEXTS]


def values(data: bytes) -> None:
    """A value as data: refused, or one that is written again and read alike."""
    whole = data[1:]
    if data[:1] == b"\1":  # the text alone, behind which lie two buffers
        whole = joined(lay_out(MAGIC, [whole, b"12345678", b"more"]))
    with nothing_is_unpickled():
        try:
            value = unpack_data(whole)
        except BadDataError:
            return
        again = unpack_data(joined(pack_data(value)))
        with suppress(ValueError):  # numpy can't print its dates without a unit
            assert repr(again) == repr(value)
