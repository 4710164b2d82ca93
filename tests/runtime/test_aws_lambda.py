"""The handler on Lambda: what it serves, and how it refuses what it doesn't."""

import base64
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncfabric_runtime import PYTHON, WIRE_VERSION, Envelope, Outcome
from asyncfabric_runtime._aws_lambda import LambdaWorker
from asyncfabric_runtime._wire import (
    HELLO,
    OUTCOME,
    PING,
    PONG,
    SPILLED,
    dump_head,
    load_head,
    load_place,
    pack,
    unpack,
)
from asyncfabric_storage import LocalStore, digest, object_key
from tests.runtime.helpers import answers, envelope_for, frame_bytes

Serve = Callable[..., Any]


class Fake(LambdaWorker):
    """A worker that leaves this process's streams and its being no worker as they are."""

    @property
    def process(self) -> Any:
        """What it keeps."""
        return self._process


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """A worker in this process."""
    import signal

    from asyncfabric_runtime import _aws_lambda

    monkeypatch.setattr(_aws_lambda, "_become_worker", lambda: None)
    before = signal.getsignal(signal.SIGALRM)
    made = Fake()
    yield made
    made.process.enter_environment(None)
    signal.signal(signal.SIGALRM, before)
    if made.process._loop is not None:
        made.process._loop.close()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store that the worker opens by its URL."""
    return LocalStore(tmp_path)


def text_of(kind: int, head: object) -> str:
    """Return a frame as a payload."""
    return base64.b64encode(frame_bytes(pack(kind, head))).decode()


def sent(envelope: Envelope) -> str:
    """Return an envelope as a payload."""
    return base64.b64encode(frame_bytes(envelope.to_frame())).decode()


def read(answer: object) -> tuple[int, list[memoryview]]:
    """Read an answer that is a frame."""
    assert isinstance(answer, str), answer
    return unpack(bytearray(base64.b64decode(answer, validate=True)))


def outcome_of(answer: object) -> Outcome:
    """Read an answer that is an outcome."""
    kind, segments = read(answer)
    assert kind == OUTCOME
    return Outcome.from_segments(segments)


def double(x: Any) -> Any:
    return x * 2


# what it serves


def test_calls(worker: Fake) -> None:
    outcome = outcome_of(worker.serve(sent(envelope_for(double, [1, "a"])), 60))
    assert answers(outcome) == {0: 2, 1: "aa"}
    assert outcome.final


@pytest.mark.leaky("the process's own loop")
def test_coroutines(worker: Fake) -> None:
    async def later(x: int) -> int:
        return x + 1

    envelope = envelope_for(later, [1, 2], is_async=True)
    assert answers(outcome_of(worker.serve(sent(envelope), 60))) == {0: 2, 1: 3}


def test_cold_is_the_first_time(worker: Fake) -> None:
    def is_cold() -> bool:
        return outcome_of(worker.serve(sent(envelope_for(double, [1])), 60)).cold

    assert [is_cold(), is_cold()] == [True, False]


def test_after_a_question_it_is_not_cold(worker: Fake) -> None:
    question = text_of(PING, {"hold": 0.0, "modules": []})
    assert [load_head(read(worker.serve(question, 60))[1][0])["cold"] for _ in "ab"] == [
        True,
        False,
    ]
    assert not outcome_of(worker.serve(sent(envelope_for(double, [1])), 60)).cold


def test_a_question(worker: Fake) -> None:
    modules = ["json", "no_such_module", "os.path"]
    kind, (head,) = read(worker.serve(text_of(PING, {"hold": 0.0, "modules": modules}), 60))
    assert kind == PONG
    answer = load_head(head)
    assert answer["missing"] == ["no_such_module"]
    assert (answer["python"], answer["wire"]) == (PYTHON, WIRE_VERSION)


def test_calls_after_the_time_is_up_are_left(worker: Fake) -> None:
    def slow(x: int) -> int:
        import time

        time.sleep(0.2)
        return x

    outcome = outcome_of(worker.serve(sent(envelope_for(slow, [1, 2, 3, 4])), 1.0))
    assert 1 <= len(outcome.positions) < 4
    assert outcome.failures == {}


# through the store


def stored(store: LocalStore, key: str, data: bytes) -> None:
    """Write an object."""
    path = Path(store.root, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.leaky("the process's own loop, and threads of the store")
def test_a_stored_envelope(worker: Fake, store: LocalStore) -> None:
    data = bytes(frame_bytes(envelope_for(double, [1, 2]).to_frame()))
    stored(store, "spill/a", data)
    answer = worker.serve(text_of(SPILLED, ("spill/a", digest(data), store.url, len(data))), 60)
    assert answers(outcome_of(answer)) == {0: 2, 1: 4}


@pytest.mark.leaky("the process's own loop, and threads of the store")
def test_a_stored_envelope_that_was_changed(worker: Fake, store: LocalStore) -> None:
    """Nothing of it is read, let alone run."""
    data = bytes(frame_bytes(envelope_for(double, [1, 2]).to_frame()))
    stored(store, "spill/a", data)
    place = ("spill/a", digest(b"another"), store.url, len(data))
    answer: Any = worker.serve(text_of(SPILLED, place), 60)
    assert "changed or damaged" in answer["reason"]


@pytest.mark.leaky("the process's own loop, and threads of the store")
def test_a_large_answer(worker: Fake, store: LocalStore) -> None:
    envelope = envelope_for(double, [b"x" * 5000], store_url=store.url, inline=4096)
    kind, (head,) = read(worker.serve(sent(envelope), 60))
    assert kind == SPILLED
    key, name, url, size = load_place(head)
    assert key.startswith("spill/job/")
    assert url == store.url
    data = bytearray(Path(store.root, key).read_bytes())
    assert (digest(data), len(data)) == (name, size)
    assert answers(Outcome.from_segments(unpack(data)[1])) == {0: b"x" * 10_000}


@pytest.mark.leaky("the process's own loop, and threads of the store")
def test_an_answer_that_can_not_be_stored(worker: Fake) -> None:
    url = "file:///proc/no-such-place"
    envelope = envelope_for(double, [b"x" * 5000], store_url=url, inline=4096)
    outcome = outcome_of(worker.serve(sent(envelope), 60))
    assert "can't store results of" in outcome.failures[0].message


@pytest.mark.leaky("the process's own loop, and threads of the store")
@pytest.mark.parametrize("there", ["yes", "no", "changed"])
def test_stored_code(worker: Fake, store: LocalStore, there: str) -> None:
    envelope = envelope_for(double, [1], store_url=store.url)
    ((name, code),) = envelope.attachments.items()
    envelope.attachments = {}
    if there != "no":
        stored(store, object_key(name), bytes(code) if there == "yes" else b"forged")
    outcome = outcome_of(worker.serve(sent(envelope), 60))
    if there == "yes":
        assert answers(outcome) == {0: 2}
    elif there == "no":
        assert outcome.lacks == [name]
        assert outcome.final
        assert (len(outcome.positions), outcome.failures) == (0, {})
    else:
        assert "changed or damaged" in outcome.failures[0].message


@pytest.mark.leaky("the process's own loop, and threads of the store")
def test_an_archive_that_is_gone(worker: Fake, store: LocalStore) -> None:
    name = digest(b"an archive")
    envelope = envelope_for(double, [1], store_url=store.url, archive=name)
    assert outcome_of(worker.serve(sent(envelope), 60)).lacks == [name]


# what it refuses


class _Bomb:
    def __reduce__(self) -> Any:
        return (print, ("code ran",))


UNKNOWN_PLAN: Any = (dump_head({"x": 1}), 1, (0, 1), 1, (None, [1]), [], {})
GOOD = sent(envelope_for(double, [1]))


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({}, "use asyncfabric.Fabric"),
        ({"Records": []}, "not a dict"),
        (None, "not a NoneType"),
        (7, "not a int"),
        ([GOOD], "not a list"),
        ("", "no frame"),
        ("hello", "no asyncfabric envelope"),
        ("h\u00e9llo", "no asyncfabric envelope"),
        ("aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8=", "not an asyncfabric stream"),
        (GOOD[: len(GOOD) // 8 * 4], "cut off or damaged"),
        (GOOD[:16], "no frame"),
        (text_of(HELLO, ["/"]), f"of kind {HELLO}"),
        (text_of(OUTCOME, ()), f"of kind {OUTCOME}"),
        (text_of(1, "an envelope?"), "another shape"),
        (text_of(1, UNKNOWN_PLAN), "another shape"),
        (text_of(SPILLED, "where?"), "can't read"),
        (text_of(SPILLED, ("k", "d", None, 1)), "can't read"),
        (text_of(SPILLED, ("../k", "d", "file:///tmp", 1)), "can't read the envelope"),
        (text_of(SPILLED, ("spill/k", "d", "ftp://x", 1)), "can't read the envelope"),
        (text_of(PING, None), "can't read"),
        (text_of(PING, {"hold": "long", "modules": []}), "can't read"),
    ],
)
@pytest.mark.leaky("the process's own loop, and threads of the store")
def test_what_is_no_envelope(
    worker: Fake, event: object, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    answer: Any = worker.serve(event, 60)
    assert answer["asyncfabric"] == "refused"
    assert (answer["wire"], answer["python"]) == (WIRE_VERSION, PYTHON)
    assert says in answer["reason"]
    assert capfd.readouterr() == ("", "")  # no traceback of ours


def test_a_frame_runs_no_code(worker: Fake, capfd: pytest.CaptureFixture[str]) -> None:
    frame = frame_bytes(pack(1, 0))
    head = pickle.dumps(_Bomb())
    body = len(head).to_bytes(8) + head
    data = bytes(frame[:8]) + len(body).to_bytes(8) + body
    answer: Any = worker.serve(base64.b64encode(data).decode(), 60)
    assert "plain data only" in answer["reason"]
    assert capfd.readouterr().out == ""


def test_another_wire_version(worker: Fake) -> None:
    data = bytearray(base64.b64decode(GOOD))
    data[2] = WIRE_VERSION + 1
    answer: Any = worker.serve(base64.b64encode(data).decode(), 60)
    assert f"wire version {WIRE_VERSION + 1}" in answer["reason"]


def test_another_python(worker: Fake) -> None:
    outcome = outcome_of(worker.serve(sent(envelope_for(double, [1], python="2.7")), 60))
    assert outcome.failures[0].kind == "mismatch"


def test_what_goes_wrong_in_the_worker_itself(
    worker: Fake, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The driver is told, and the log has the traceback."""

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(worker, "_run", broken)
    answer: Any = worker.serve(GOOD, 60)
    assert answer["reason"] == "RuntimeError: a bug"
    assert "Traceback" in capfd.readouterr().err
