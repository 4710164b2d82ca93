"""The driver's end of a worker's stream, fed in slices of every size."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric.backends.local._channel import Channel
from asyncfabric_runtime._wire import OUTCOME, load_head, pack
from tests.runtime.helpers import frame_bytes


class Loop:
    """As much of an event loop as a channel needs; its test decides what is ready when."""

    def __init__(self) -> None:
        self.readers: dict[int, Any] = {}
        self.writers: dict[int, Any] = {}

    def add_reader(self, fd: int, callback: Any) -> None:
        self.readers[fd] = callback

    def add_writer(self, fd: int, callback: Any) -> None:
        self.writers[fd] = callback

    def remove_reader(self, fd: int) -> None:
        self.readers.pop(fd, None)

    def remove_writer(self, fd: int) -> None:
        self.writers.pop(fd, None)

    def is_closed(self) -> bool:
        return False


class Ends:
    """A channel, the peer's end of it, and what the channel was told."""

    def __init__(self) -> None:
        self.here, self.there = socket.socketpair()
        self.here.setblocking(False)
        self.frames: list[tuple[int, Any, list[bytes], int]] = []
        self.kept: list[memoryview] = []
        self.ends = 0
        self.loop = Loop()
        loop: Any = self.loop
        self.channel = Channel(loop, self.here, self._take, self._end)

    def _take(self, kind: int, segments: list[memoryview], size: int) -> None:
        first, *rest = segments
        self.frames.append((kind, load_head(first), [bytes(each) for each in rest], size))
        self.kept += rest

    def _end(self) -> None:
        self.ends += 1

    def pump(self) -> None:
        """Let the channel read what is there, as the loop would."""
        while self.loop.readers:
            before = len(self.frames), self.channel._filled, self.channel._body_filled, self.ends
            self.loop.readers[self.here.fileno()]()
            after = len(self.frames), self.channel._filled, self.channel._body_filled, self.ends
            if before == after:
                return

    def feed(self, data: bytes | bytearray) -> None:
        """Bring bytes in, however little the socket takes at once."""
        self.there.setblocking(False)
        view = memoryview(data)
        while view:
            try:
                view = view[self.there.send(view) :]
            except BlockingIOError:
                self.pump()
        self.pump()

    def close(self) -> None:
        self.channel.close()
        self.there.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Give a channel and its other end."""
    made = Ends()
    yield made
    made.close()


frames = st.lists(
    st.tuples(
        st.integers() | st.binary(max_size=50) | st.integers(200_000, 300_000).map(bytes),
        st.lists(st.integers(0, 300_000).map(lambda size: b"s" * size), max_size=3),
    ),
    min_size=1,
    max_size=5,
)


@given(frames, st.lists(st.integers(1, 400_000), max_size=8))
def test_frames_in_random_slices(sent: list[tuple[Any, list[bytes]]], cuts: list[int]) -> None:
    ends = Ends()
    try:
        stream = b"".join(bytes(frame_bytes(pack(OUTCOME, *each))) for each in sent)
        for cut in cuts:
            ends.feed(stream[:cut])
            stream = stream[cut:]
        ends.feed(stream)
        assert [(head, rest) for _, head, rest, _ in ends.frames] == sent
        assert ends.ends == 0
        # Segments were the receiver's to keep: nothing has been written over them since.
        assert [bytes(each) for each in ends.kept] == [each for _, rest in sent for each in rest]
    finally:
        ends.close()


def test_byte_by_byte(ends: Ends) -> None:
    sent: list[tuple[Any, list[bytes]]] = [(1, []), ("two", [b"a", b"bc"]), (3, [])]
    for each in sent:
        for byte in frame_bytes(pack(OUTCOME, *each)):
            ends.feed(bytes([byte]))
    assert [(head, rest) for _, head, rest, _ in ends.frames] == sent


def test_many_small_frames_in_one_read(ends: Ends) -> None:
    ends.feed(b"".join(bytes(frame_bytes(pack(OUTCOME, n))) for n in range(20_000)))
    assert [head for _, head, _, _ in ends.frames] == list(range(20_000))


@pytest.mark.parametrize(
    "noise",
    [b"HTTP/1.1 400 Bad Request\r\n", b"AF\x09" + b"\0" * 20, b"AF\x01\x02" + b"\xff" * 20],
)
def test_noise_ends_the_stream_once(ends: Ends, noise: bytes) -> None:
    ends.feed(frame_bytes(pack(OUTCOME, 1)))
    ends.there.send(noise)
    ends.pump()
    assert len(ends.frames) == 1
    assert ends.ends == 1
    assert ends.loop.readers == ends.loop.writers == {}
    ends.channel.send(pack(OUTCOME, 2))  # into the void, quietly


@pytest.mark.parametrize("size", [0, 100, 1_000_000])
def test_a_peer_that_closes_in_mid_frame(ends: Ends, size: int) -> None:
    data = frame_bytes(pack(OUTCOME, 1, [b"x" * size]))
    ends.feed(data[: len(data) // 2])
    ends.there.close()
    ends.pump()
    assert (ends.frames, ends.ends) == ([], 1)


def test_drain_reads_all_that_was_said(ends: Ends) -> None:
    ends.there.send(b"".join(bytes(frame_bytes(pack(OUTCOME, n))) for n in range(100)))
    ends.there.close()
    ends.channel.drain()
    assert len(ends.frames) == 100


def _receive(ends: Ends, size: int) -> bytes:
    ends.there.setblocking(False)
    got = bytearray()
    while len(got) < size:
        try:
            got += ends.there.recv(1 << 16)
        except BlockingIOError:
            ends.loop.writers[ends.here.fileno()]()
    return bytes(got)


def test_what_does_not_fit_is_kept_and_its_order_too(ends: Ends) -> None:
    sent = [
        pack(OUTCOME, b"h" * 300_000),
        pack(OUTCOME, 1),
        pack(OUTCOME, 2, [b"s" * 3_000_000, b"", b"t" * 10]),
        pack(OUTCOME, 3),
        pack(OUTCOME, 4, [b"%d" % n for n in range(300)]),
    ]
    for frame in sent:
        ends.channel.send(frame)
    assert ends.loop.writers
    expected = b"".join(bytes(frame_bytes(frame)) for frame in sent)
    assert _receive(ends, len(expected)) == expected
    assert ends.loop.writers == {}


def test_sending_to_a_dead_peer(ends: Ends) -> None:
    ends.there.close()
    for _ in range(3):
        ends.channel.send(pack(OUTCOME, 1))
        ends.channel.send(pack(OUTCOME, 1, [b"x" * 1_000_000]))
    assert ends.ends == 0  # noticed by reading
    ends.pump()
    assert ends.ends == 1


def test_a_callback_that_closes(ends: Ends) -> None:
    def take(_: int, __: list[memoryview], ___: int) -> None:
        ends.channel.close()

    ends.channel._on_frame = take
    ends.there.send(b"".join(bytes(frame_bytes(pack(OUTCOME, n))) for n in range(3)))
    ends.pump()
    assert ends.loop.readers == {}


def test_a_callback_that_raises_sees_no_frame_twice(ends: Ends) -> None:
    seen: list[Any] = []

    def take(_: int, segments: list[memoryview], __: int) -> None:
        seen.append(load_head(segments[0]))
        if seen[-1] == 1:
            raise LookupError

    ends.channel._on_frame = take
    ends.there.send(b"".join(bytes(frame_bytes(pack(OUTCOME, n))) for n in range(3)))
    with pytest.raises(LookupError):
        ends.pump()
    ends.feed(frame_bytes(pack(OUTCOME, 3)))
    assert seen == [0, 1, 2, 3]


@pytest.mark.every_loop
async def test_with_a_loop() -> None:
    here, there = socket.socketpair()
    here.setblocking(False)
    there.setblocking(False)
    loop = asyncio.get_running_loop()
    heads: asyncio.Queue[Any] = asyncio.Queue()
    ended = asyncio.Event()
    channel = Channel(
        loop, here, lambda _, segments, __: heads.put_nowait(load_head(segments[0])), ended.set
    )
    await loop.sock_sendall(there, frame_bytes(pack(OUTCOME, b"x" * 3_000_000)))
    assert len(await heads.get()) == 3_000_000
    data = frame_bytes(pack(OUTCOME, 0, [b"y" * 3_000_000]))
    channel.send([data])
    got = 0
    while got < len(data):
        got += len(await loop.sock_recv(there, 1 << 16))
    there.close()
    await ended.wait()
    channel.close()
