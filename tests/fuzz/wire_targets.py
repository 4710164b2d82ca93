"""Frames, envelopes and outcomes: heads of plain data, and what they may claim."""

from __future__ import annotations

from array import array
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from unittest import mock

from asyncfabric._codec import decode_outcome, is_heavy
from asyncfabric.backends.local._worker import Worker
from asyncfabric_runtime import Envelope, Outcome, Plan, WireError, _wire
from asyncfabric_runtime._failure import Failure
from asyncfabric_runtime._heads import is_bounded
from asyncfabric_runtime._outcome import Phases
from asyncfabric_runtime._progress import Mark, Report
from asyncfabric_runtime._stream import FrameStream
from asyncfabric_runtime._values import PLAIN, Encoded
from asyncfabric_runtime._wire import (
    INVOKE,
    OUTCOME,
    PREFIX,
    PROGRESS,
    READY,
    RETURNED,
    WIRE_VERSION,
    dump_head,
    load_head,
    load_place,
    pack,
    unpack,
)

from .drawn import Drawn
from .guard import nothing_is_unpickled

if TYPE_CHECKING:
    import io
    from collections.abc import Sequence

MOST_BYTES = 1 << 24
"""Local streams that announce a larger frame are not followed: a socket's reader makes room."""


def joined(frame: Sequence[Any]) -> bytes:
    """Return a frame as it stands in a stream."""
    return b"".join(bytes(memoryview(piece)) for piece in frame)


# -- valid messages -----------------------------------------------------------------------------


def plan() -> Plan:
    """Return a plan with something in every field."""
    return Plan(
        job="j1",
        function="f" * 64,
        convention="full",
        shared={"table": "a" * 64},
        seed=3,
        timeout=1.5,
        initializer="b" * 64,
        env={"NAME": "value"},
        store_url="memory://x",
        by_reference=True,
        prompt=True,
        archive="c" * 64,
        inline=1000,
        code={"f" * 64: b"code"},
        heartbeats=("beats/", 1.0),
    )


def envelopes() -> list[Envelope]:
    """Return valid envelopes."""
    small = Plan(job="j2", function="f" * 64)
    return [
        Envelope(small, 1, range(3, 5), 1, Encoded(None, [1, "two"]), [], []),
        Envelope(
            plan(),
            2**40,
            [1, 5, 9],
            [1, 2, 1],
            Encoded(bytes([0, 1, 3]), [(1, 2.5, None), b"\x80\x05N.", 0]),
            ["d" * 64],
            [bytearray(b"segment")],
            {"f" * 64: b"code"},
        ),
    ]


def outcomes() -> list[Outcome]:
    """Return valid outcomes."""
    failure = Failure("user", "ValueError", "no", "Traceback", b"\x80\x05N.")
    same = ("same", 1)
    return [
        Outcome(1, range(2), Encoded(None, [1, 2.5]), array("d", [0.1, 0.2]), final=True),
        Outcome(
            2,
            [0, 2, 3],
            Encoded(bytes([1, 2, 4]), [b"\x80\x05N.", (0, 1), [(0, 1), (0, "x")]]),
            array("d", [0.1, 0.2, 0.3]),
            {1: failure},
            {0: "printed", 1: "logged"},
            0.5,
            Phases(0.1, 0.2, 0.3, 0.4, 0.5),
            True,
            2**30,
            True,
            [],
            [bytearray(b"\x80\x05N.")],
        ),
        Outcome(3, (), Encoded(None, []), array("d"), final=True, lacks=["f" * 64]),
        Outcome(4, range(3), Encoded(None, [same, same, b"z"]), array("d", [0.1] * 3)),
    ]


def frames() -> list[bytes]:
    """Return valid frames of all kinds."""
    report = Report(1, 2.0, (Mark(0.5, 0.1), Mark(1.5, 0.9)))
    others = [
        pack(READY, (123, "3.11")),
        pack(RETURNED, (1, [0, 1])),
        pack(RETURNED, (1, None)),
        pack(PROGRESS, (1, report.to_wire())),
        pack(9, ("spill/j/1", "a" * 64, "memory://x")),
        pack(7, {"hold": 0.0, "modules": ["json", "a.b"]}),
    ]
    made = [*(each.to_frame() for each in envelopes()), *(each.to_frame() for each in outcomes())]
    return [joined(frame) for frame in [*made, *others]]


# -- targets ------------------------------------------------------------------------------------


def frame(data: bytes) -> None:
    """A frame that stands alone: refused, or exactly what its bytes say."""
    with nothing_is_unpickled():
        try:
            kind, segments = unpack(data)
            head = load_head(segments[0])
        except WireError:
            return
    assert is_bounded(dump_head(head))
    table = b"".join(segment.nbytes.to_bytes(8) for segment in segments)
    body = table + b"".join(segments)
    again = PREFIX.pack(b"AF", WIRE_VERSION, kind, len(segments), len(body)) + body
    assert again == data
    with suppress(WireError):
        load_place(segments[0])


def _framed(kind: int, head: bytes, segments: Sequence[bytes]) -> list[memoryview]:
    """Return the segments of a frame with this head, as `unpack` gives them."""
    parts = [head, *segments]
    body = b"".join(len(part).to_bytes(8) for part in parts) + b"".join(parts)
    data = PREFIX.pack(b"AF", WIRE_VERSION, kind, len(parts), len(body)) + body
    return unpack(bytearray(data))[1]


def _head_of(message: Any) -> Any:
    return load_head(unpack(joined(message.to_frame()))[1][0])


def _drawn_head(drawn: Drawn, messages: Sequence[Any]) -> bytes:
    """Return a head: the bytes as they are, or a valid one with parts drawn anew."""
    if drawn.below(2) == 0:
        return drawn.rest()
    head = _head_of(drawn.choice(messages))
    for _ in range(1 + drawn.below(3)):
        head = drawn.changed(head)
    return dump_head(head)


def envelope(data: bytes) -> None:
    """An envelope: refused, or one whose parts agree and that goes out as it came in."""
    drawn = Drawn(data)
    with nothing_is_unpickled():
        try:
            if drawn.below(3) == 2:
                head = list(_head_of(drawn.choice(envelopes())))
                head[0] = dump_head(drawn.changed(load_head(head[0])))
                raw = dump_head(tuple(head))
            else:
                raw = _drawn_head(drawn, envelopes())
            read = Envelope.from_segments(_framed(INVOKE, raw, [b"one", b"two"]))
        except WireError:
            return
        kinds, bodies = read.inputs
        count = len(read.indices)
        assert count == len(bodies)
        assert kinds is None or len(kinds) == count
        assert all(type(read.attempt(place)) is int for place in range(count))
        assert all(type(index) is int for index in read.indices)
        again = Envelope.from_segments(unpack(joined(read.to_frame()))[1])
    assert again.plan == read.plan
    assert (again.flight, list(again.indices)) == (read.flight, list(read.indices))
    assert dump_head(again.inputs.bodies) == dump_head(bodies)
    assert again.attachments.keys() == read.attachments.keys()


def outcome(data: bytes) -> None:
    """An outcome: refused, or one that the driver can take apart."""
    drawn = Drawn(data)
    with nothing_is_unpickled():
        try:
            raw = _drawn_head(drawn, outcomes())
            read = Outcome.from_segments(_framed(OUTCOME, raw, [b"\x80\x05N.", b"two"]))
        except WireError:
            return
        again = Outcome.from_segments(unpack(joined(read.to_frame()))[1])
        assert again.failures == read.failures
        assert list(again.positions) == list(read.positions)
        count = len(read.positions)
        kinds, bodies = read.values
        assert count == len(read.run) == len(bodies)
        is_heavy(read)
        if kinds is None or set(kinds) <= {PLAIN}:
            values, bad = decode_outcome(read, plan())
            assert len(values) + len(bad) == count


class _Bounded(_wire._PlainUnpickler):
    """What heads over a network are held to; see `_heads`.

    Those of this machine's own processes aren't, and could have all of its memory.
    """

    def __init__(self, file: io.BytesIO) -> None:
        if not is_bounded(file.getbuffer()):
            raise WireError("not as it is written")
        super().__init__(file)


class _Process:
    """A worker process of which only its stream is there."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pid = 1
        self.page = [-1]
        self.kills = 0
        self.work = self.control = _Socket(pieces)

    def kill(self) -> None:
        self.kills += 1


class _Socket:
    """A socket that gives what it was made with, in these pieces, and then ends."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def recv_into(self, buffer: memoryview, size: int = 0, flags: int = 0) -> int:
        if not self._pieces:
            return 0
        piece = self._pieces[0][: len(buffer)]
        buffer[: len(piece)] = piece
        self._pieces[0] = self._pieces[0][len(piece) :]
        if not self._pieces[0]:
            del self._pieces[0]
        return len(piece)

    def send(self, data: Any) -> int:
        return memoryview(data).nbytes

    def sendmsg(self, pieces: list[memoryview]) -> int:
        return sum(piece.nbytes for piece in pieces)

    def fileno(self) -> int:
        return 99

    def close(self) -> None:
        self._pieces.clear()


class _Loop:
    """As much of a loop as a channel needs."""

    def time(self) -> float:
        return 1.0

    def is_closed(self) -> bool:
        return False

    def add_reader(self, *_: object) -> None: ...

    add_writer = remove_reader = remove_writer = add_reader


class _Pool:
    """Whom the worker tells; only counts."""

    def __init__(self) -> None:
        self.told = 0

    def on_ready(self) -> None:
        self.told += 1

    def on_outcome(self, worker: Worker, outcome: Outcome, size: int) -> None:
        self.told += 1

    def on_returned(self, flight: int, positions: list[int] | None) -> None:
        assert type(flight) is int
        self.told += 1

    def on_report(self, heard: Any, flight: int, report: Report) -> None:
        self.told += 1


def _pieces(drawn: Drawn) -> list[bytes]:
    cuts = [1 + drawn.byte() for _ in range(drawn.below(6))]
    data = drawn.rest()
    pieces: list[bytes] = []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    return [*pieces, data]


def _announced(data: bytes) -> int:
    """Return the largest size that some place in the bytes may announce as a frame's."""
    sizes = [0]
    at = data.find(b"AF")
    while at >= 0 and at + PREFIX.size <= len(data):
        sizes.append(int.from_bytes(data[at + 8 : at + 16]))
        at = data.find(b"AF", at + 1)
    return max(sizes)


def stream(data: bytes) -> None:
    """What a local worker sends: told, or the worker is ended; nothing is raised into the loop."""
    pieces = _pieces(Drawn(data))
    if _announced(b"".join(pieces)) > MOST_BYTES:
        return
    process: Any = _Process(pieces)
    pool = _Pool()
    loop: Any = _Loop()
    with nothing_is_unpickled(), mock.patch.object(_wire, "_PlainUnpickler", _Bounded):
        worker = Worker(pool, process, loop)
        for sent, flight in enumerate(envelopes(), 1):
            flight.flight = sent
            worker.launch(flight, {}, None)
        for _ in range(9):  # it stops where a read brings less than there was room for
            worker.hear_out()
    assert process.kills == 1


def commands(data: bytes) -> None:
    """What a driver sends to a worker: whole frames, the end, or `WireError`."""
    pieces = _pieces(Drawn(data))
    if _announced(b"".join(pieces)) > MOST_BYTES:
        return
    there: Any = _Socket(pieces)
    here = FrameStream(there)
    with nothing_is_unpickled(), mock.patch.object(_wire, "_PlainUnpickler", _Bounded):
        try:
            while (got := here.receive()) is not None:
                kind, segments = got
                if kind == INVOKE:
                    Envelope.from_segments(segments)
                else:
                    load_head(segments[0])
        except WireError:
            return
