"""What calls print and log is kept for each of them, bounded, and passed on."""

import asyncio
import contextlib
import io
import logging
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric_runtime import Outcome
from asyncfabric_runtime._capture import LIMIT, Tee, Transcript
from asyncfabric_runtime._context import running_transcript
from tests.runtime.helpers import Worker, answers


class Listener(Worker):
    """A worker's state whose calls are captured, as a worker process does it."""

    def __init__(self) -> None:
        super().__init__()
        self.out = io.StringIO()

    def run(self, function: Callable[..., Any], inputs: Sequence[Any], **options: Any) -> Outcome:
        with _captured(self.out):
            return super().run(function, inputs, **options)


@contextlib.contextmanager
def _captured(stream: io.StringIO) -> Generator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Tee(stream, running_transcript) for _ in range(2))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@pytest.fixture
def worker() -> Iterator[Listener]:
    """Give a worker's state of its own."""
    made = Listener()
    yield made
    made.close()


def test_each_call_has_its_own(worker: Listener) -> None:
    def speak(x: int) -> None:
        if x:
            print("out", x)
            print("err", x, file=sys.stderr)

    logs = worker.run(speak, [1, 0, 2]).logs
    assert logs == {0: "out 1\nerr 1\n", 2: "out 2\nerr 2\n"}
    assert worker.out.getvalue() == "out 1\nerr 1\nout 2\nerr 2\n"


def test_failed_calls_too(worker: Listener) -> None:
    def fail(x: int) -> None:
        print("before")
        raise ValueError(x)

    outcome = worker.run(fail, [1])
    assert outcome.logs == {0: "before\n"}
    assert 0 in outcome.failures


def test_coroutines_that_interleave(worker: Listener) -> None:
    async def speak(x: int) -> None:
        for turn in range(3):
            print(x, turn)
            await asyncio.sleep(0)

    logs = worker.run(speak, [0, 1, 2], is_async=True).logs
    assert logs == {x: f"{x} 0\n{x} 1\n{x} 2\n" for x in range(3)}
    assert worker.out.getvalue().startswith("0 0\n1 0\n2 0\n0 1\n")


def test_logging(worker: Listener) -> None:
    def speak(x: int) -> None:
        logging.getLogger("mine").warning("trouble %d", x)

    root = logging.getLogger()
    kept, root.handlers = root.handlers, []  # as in a worker; pytest has its own
    try:
        text = worker.run(speak, [7]).logs[0]
    finally:
        root.handlers = kept
    assert text == "trouble 7\n"


def test_a_thread_with_the_context(worker: Listener) -> None:
    def speak(x: int) -> None:
        thread = threading.Thread(target=copy_context().run, args=(print, "thread", x))
        thread.start()
        thread.join()

    assert worker.run(speak, [1, 2]).logs == {0: "thread 1\n", 1: "thread 2\n"}


def test_outside_a_call_nothing_is_kept() -> None:
    out = io.StringIO()
    with _captured(out):
        print("hello")
    assert running_transcript() is None
    assert out.getvalue() == "hello\n"


@given(st.lists(st.integers(0, 3 * LIMIT // 2), max_size=6))
def test_what_is_kept_is_bounded(sizes: list[int]) -> None:
    transcript = Transcript()
    text = "".join(chr(97 + place) * size for place, size in enumerate(sizes))
    for place, size in enumerate(sizes):
        transcript.write(chr(97 + place) * size)
    kept = transcript.text()
    if len(text) <= LIMIT:
        assert kept == text
    else:
        assert kept.startswith(text[: LIMIT // 2])
        assert kept.endswith(text[-LIMIT // 2 :])
        assert f"[... {len(text) - LIMIT} characters left out ...]" in kept
        assert len(kept) < LIMIT + 100
    assert transcript.text() == kept


def test_ten_megabytes(worker: Listener) -> None:
    def speak(_: int) -> int:
        for number in range(100_000):
            print(f"{number:0100d}")
        return 1

    outcome = worker.run(speak, [1])
    assert answers(outcome) == {0: 1}
    assert len(outcome.logs[0]) < LIMIT + 100
    assert outcome.logs[0].endswith(f"{99_999:0100d}\n")
    assert len(worker.out.getvalue()) == 10_100_000


def test_wrong_types_are_refused_and_spoil_nothing(worker: Listener) -> None:
    def speak(_: int) -> str:
        stream: Any = sys.stdout
        try:
            stream.write(b"bytes")
        except TypeError as error:
            return str(error)
        return "taken"

    outcome = worker.run(speak, [1])
    assert answers(outcome) == {0: "write() argument must be str, not bytes"}
    assert outcome.logs == {}


def test_a_closed_stream_harms_nobody(worker: Listener) -> None:
    def speak(x: int) -> None:
        sys.stdout.writelines([f"{x}\n"])
        sys.stdout.flush()
        sys.stdout.close()

    outcome = worker.run(speak, [1, 2])
    assert outcome.logs == {0: "1\n", 1: "2\n"}
    assert outcome.failures == {}


def test_the_tee_passes_for_its_stream() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    tee = Tee(stream, running_transcript)
    assert (tee.encoding, tee.isatty()) == ("latin-1", False)
    Tee(None, running_transcript).write("no stream at all")
    Tee(None, running_transcript).flush()
