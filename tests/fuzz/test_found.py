"""What fuzzing found, each case by itself."""

import base64
import io
import tracemalloc
import zipfile
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric import ConfigurationError, IntegrityError
from asyncfabric.aws._errors import diagnose
from asyncfabric.aws.transport import Reply, Unanswered
from asyncfabric.aws.transport._protocol import HEAD_LIMIT
from asyncfabric.aws.transport._reader import Reader
from asyncfabric.backends.aws_lambda._held import Held
from asyncfabric.backends.aws_lambda._payload import from_body, to_payload
from asyncfabric.backends.local._worker import Worker
from asyncfabric.jobs import _inputs, _results
from asyncfabric_runtime import Envelope, Outcome, WireError, _archives
from asyncfabric_runtime._archives import ArchiveError, Archives
from asyncfabric_runtime._heads import is_bounded
from asyncfabric_runtime._values import SEGMENTED, Encoded
from asyncfabric_runtime._wire import INVOKE, dump_head, load_head, pack, unpack
from asyncfabric_storage import _job_places, digest
from asyncfabric_storage._s3_answers import read_answer
from asyncfabric_storage._sealed import DONE, ENDED, parse, seal

from .http_targets import OK
from .stored_targets import KEY
from .wire_targets import _Loop, _Pool, _Process, envelopes, joined, outcomes, plan

# heads


def _framed(head: bytes) -> bytes:
    frame = bytearray(joined(pack(INVOKE, None)))
    size = len(frame) - 24
    body = len(head).to_bytes(8) + head
    return bytes(frame[:-size][:8]) + len(body).to_bytes(8) + body


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"\x80\x05Nr\xff\xff\xff\x7f.", id="32 GB for one memo entry"),
        pytest.param(b"\x80\x05K\x01" + b"2\x86" * 100 + b"K\x01s.", id="2**100 leaves to hash"),
        pytest.param(
            b"\x80\x05}K\x01\x85\x94" + b"".join(b"h%b\x86\x94" % bytes([n]) for n in range(60)),
            id="tuples that hold the one before twice",
        ),
        pytest.param(b"\x80\x05}(K\x01\x85K\x01u.", id="a tuple as a key"),
        pytest.param(b"\x80\x05}(\x8a\x08" + b"\xff" * 8 + b"K\x01u.", id="a huge number as a key"),
        pytest.param(b"\x80\x05\x96" + b"\0\0\0\0\1\0\0\0" + b".", id="4 GB of bytearray"),
        pytest.param(b"\x80\x05]\x94h\0a.", id="a list in itself"),
        pytest.param(b"\x80\x05N.more", id="something behind it"),
    ],
)
def test_heads_that_cost_more_than_their_length(head: bytes) -> None:
    with pytest.raises(WireError, match="plain data only"):
        unpack(_framed(head))


_atoms = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
_plain = st.recursive(
    _atoms,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(-(2**31), 2**31 - 1), inner)
    ),
    max_leaves=20,
)


@given(_plain, st.lists(_atoms, max_size=300))
def test_no_head_of_ours_is_refused(head: Any, atoms: list[Any]) -> None:
    same = tuple(atoms)
    text = dump_head((head, [same] * 3, atoms, [atoms[:1] * 4] * 1))
    assert is_bounded(text)
    assert repr(load_head(text)) == repr((head, [same] * 3, atoms, [atoms[:1] * 4] * 1))


# envelopes and outcomes


def _with(message: Any, place: int, part: object) -> list[memoryview]:
    head = list(load_head(unpack(joined(message.to_frame()))[1][0]))
    head[place] = part
    return unpack(joined(pack(INVOKE, tuple(head), [b"segment"])))[1]


@pytest.mark.parametrize(
    ("place", "part"),
    [
        (1, "flight"),
        (2, (0, 10**12)),  # as many calls as would fill any worker's memory
        (2, (0, 10**30)),
        (2, [0, "1"]),
        (3, [1]),
        (3, "12"),
        (4, (None, [1])),
        (4, (b"\0", [1, 2])),
        (4, (bytes([0, SEGMENTED]), [1, (0, 9)])),
        (4, (bytes([0, SEGMENTED]), [1, "ab"])),
        (5, [7]),
        (5, None),
        (6, {7: 0}),
        (6, {"name": 3}),
    ],
)
def test_envelopes_whose_parts_disagree(place: int, part: object) -> None:
    with pytest.raises(WireError, match="another shape"):
        Envelope.from_segments(_with(envelopes()[0], place, part))


@pytest.mark.parametrize(
    ("name", "part"),
    [("env", [1]), ("shared", 7), ("code", {"a": 1}), ("timeout", "1"), ("convention", "none"),
     ("heartbeats", ("a",)), ("function", None)],
)  # fmt: skip
def test_plans_whose_parts_are_of_other_types(name: str, part: object) -> None:
    values = {**load_head(plan().packed()), name: part}
    with pytest.raises(WireError, match="plan"):
        Envelope.from_segments(_with(envelopes()[0], 0, dump_head(values)))


@pytest.mark.parametrize(
    ("place", "part"),
    [
        (0, None),
        (1, (0, 3)),
        (1, ["0", 1]),
        (2, (None, [1])),
        (2, (bytes([SEGMENTED, 0]), [(3, 1), 0])),
        (3, bytes(8)),
        (4, {0: ("user", "ValueError", "no", "", 7)}),
        (4, {"0": ("user", "ValueError", "no", "", None)}),
        (5, {0: b"text"}),
        (5, [(0, "text")]),
        (6, "long"),
        (7, (0.0, None)),
        (8, {}),
        (9, None),
        (10, "yes"),
        (11, [1]),
        (12, ["0"]),
    ],
)
def test_outcomes_whose_parts_disagree(place: int, part: object) -> None:
    with pytest.raises(WireError, match="another shape"):
        Outcome.from_segments(_with(outcomes()[0], place, part))


@pytest.mark.parametrize(
    "told",
    [
        Outcome(1, [0, 3], Encoded(None, [1, 2]), array("d", [0.1, 0.2])),
        Outcome(1, [-1], Encoded(None, [1]), array("d", [0.1])),
        Outcome(1, [1, 1], Encoded(None, [1, 2]), array("d", [0.1, 0.2])),
        Outcome(1, range(10**6), Encoded(None, []), array("d")),
        Outcome(1, [0], Encoded(None, [1]), array("d", [0.1]), {0: outcomes()[1].failures[1]}),
        Outcome(1, [0], Encoded(None, [1]), array("d", [0.1]), logs={3: "printed"}),
        Outcome(1, [0], Encoded(None, [1]), array("d", [float("nan")])),
        Outcome(1, [0], Encoded(None, [1]), array("d", [0.1]), busy=float("inf")),
    ],
)
def test_answers_to_other_calls_than_were_asked(told: Outcome) -> None:
    """The books of the fan-out would be out for good: a map that never ends."""
    held = Held(Envelope(plan(), 1, range(3), 1, Encoded(None, [1, 2, 3]), [], []), 0.0)
    with pytest.raises(WireError):
        held.unanswered(told)


def test_answers_to_some_of_the_calls() -> None:
    held = Held(Envelope(plan(), 1, range(3), 1, Encoded(None, [1, 2, 3]), [], []), 0.0)
    some = Outcome(1, [2, 0], Encoded(None, [1, 2]), array("d", [0.1, 0.2]))
    assert held.unanswered(some) == [1]
    every = Outcome(1, range(3), Encoded(None, [1, 2, 3]), array("d", [0.1] * 3))
    assert held.unanswered(every) == []


_NONSENSE: list[tuple[int, Any]] = [
    (6, None),
    (6, ([], None)),
    (6, (1, 7)),
    (6, (1, ["a"])),
    (10, (1, None)),
    (10, (1, ("a", 1.0, []))),
    (10, (1, (0, 1.0, [(1.0, None)]))),
]


@pytest.mark.parametrize(("kind", "head"), _NONSENSE)
def test_a_local_worker_that_tells_nonsense_is_ended(kind: int, head: Any) -> None:
    process: Any = _Process([joined(pack(kind, head))])
    pool = _Pool()
    loop: Any = _Loop()
    worker = Worker(pool, process, loop)
    worker.hear_out()
    assert (process.kills, pool.told) == (1, 0)


# replies


@pytest.mark.parametrize("trailers", [True, False])
def test_headers_are_bounded_wherever_they_come(trailers: bool) -> None:
    begin = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    if trailers:
        begin += b"\r\n0\r\n"
    reader = Reader()
    with pytest.raises(Unanswered) as raised:
        reader.feed(begin + b"".join(b"n%d: x\r\n" % n for n in range(HEAD_LIMIT)))
    assert raised.value.why == "oversized"


_tokens = st.text("abcXYZ-09", min_size=1, max_size=12).map(str.encode)
_headers = st.lists(st.tuples(_tokens.map(lambda name: b"X-" + name), _tokens), max_size=6)


@given(
    st.sampled_from([200, 202, 400, 429, 502]),
    _headers,
    st.binary(max_size=300),
    st.sampled_from(["length", "chunks", "end"]),
    st.lists(st.integers(1, 60), max_size=12),
)
def test_no_valid_reply_is_refused_or_cut_short(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes, framing: str, cuts: list[int]
) -> None:
    """However it is cut; and what ends before its end is never taken for whole."""
    head = b"HTTP/1.1 %d X\r\n" % status
    head += b"".join(b"%b: %b\r\n" % pair for pair in headers)
    if framing == "length":
        message = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif framing == "chunks":
        pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        message = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    else:
        message = head + b"\r\n" + body
    reader = Reader()
    complete, at = False, 0
    for size in [*cuts, len(message)]:
        piece = message[at : at + size]
        if piece and not complete:
            complete = reader.feed(piece)
        at += size
        if framing != "end" and at < len(message):
            assert not complete
    assert complete or (reader.end() and framing == "end")
    reply = reader.take()
    assert (reply.status, bytes(reply.body)) == (status, body)
    last = {name.lower().decode(): value.decode() for name, value in headers}
    assert reply.headers.items() >= last.items()
    # The same reader reads the next reply.
    if framing != "end":
        assert reader.feed(OK + b'"ok"')
        assert reader.take().body == b'"ok"'


DEEP = b"[" * 100_000


def _diagnosed(headers: dict[str, str], body: bytes, status: int = 200) -> Any:
    reply = Reply(status, headers, body)
    return diagnose(reply, function="f", region="eu-west-1", endpoint="https://x")


def test_answers_nested_too_deep() -> None:
    with pytest.raises(ConfigurationError, match="no worker of asyncfabric"):
        from_body(b"{" + DEEP, "f", "asyncfabric deploy")
    assert _diagnosed({"x-amz-function-error": "Unhandled"}, DEEP).kind
    assert _diagnosed({"x-amzn-requestid": "1"}, DEEP, 500).kind


def test_numbers_of_thousands_of_digits() -> None:
    digits = "1" * 5000
    assert _diagnosed({}, b'{"retryAfterSeconds": 1%b}' % (b"0" * 400), 429).retry_after is None
    log = f"Memory Size: {digits} MB"
    tail = base64.b64encode(log.encode()).decode()
    headers = {"x-amz-function-error": "Unhandled", "x-amz-log-result": tail}
    assert _diagnosed(headers, b"{}").kind
    size = f"status code: 412 <ActualObjectSize>{digits}</ActualObjectSize>"
    assert read_answer(Exception(size)).size is None


def test_whatever_is_in_a_reply_comes_back() -> None:
    frames = [each.to_frame() for each in envelopes()]
    for frame in [*frames, *(each.to_frame() for each in outcomes())]:
        assert joined(frame) == b"".join(_again(from_body(to_payload(frame), "f", "")))


def _again(read: tuple[int, list[memoryview]]) -> list[bytes]:
    kind, segments = read
    frame = pack(kind, None, segments[1:])
    prefix = joined(frame)[:8]
    table = b"".join(segment.nbytes.to_bytes(8) for segment in segments)
    size = len(table) + sum(segment.nbytes for segment in segments)
    return [prefix, size.to_bytes(8), table, *map(bytes, segments)]


# records


def test_a_count_of_inputs_that_no_job_has() -> None:
    """Segments were counted one by one: for ever."""
    for total in (10**30, 10**12 + 1, 2**63):
        body = seal(
            KEY.driver, _job_places.ENDED, ENDED, {"total": total}, nonce=bytes(16), index=7
        )
        with pytest.raises(IntegrityError, match="makes no sense"):
            _inputs._ended(parse(_job_places.ENDED, body), KEY)


@given(st.integers(0, 200), st.integers(0, 300))
def test_where_segments_begin(number: int, more: int) -> None:
    start = _inputs.bounds(number).start
    starts = {_inputs.bounds(each).start for each in range(number + 3)}
    assert _inputs._begins_segment(start)
    assert _inputs._begins_segment(start + more) == (start + more in starts)


def test_a_result_of_a_size_that_nothing_has() -> None:
    head = {"codec": "pickle", "size": 10**30, "digest": "0" * 64, "execution": "0" * 32}
    more: dict[str, Any] = {"nonce": bytes(16), "subject": bytes(32), "index": 7, "number": 1}
    token = KEY.token(bytes(16), 7, 1, bytes(32))
    place = _job_places.done(7)
    record = parse(place, seal(token, place, DONE, head, **more))
    with pytest.raises(IntegrityError, match="makes no sense"):
        _results.opened(record, 7, KEY)


# archives


def _zip(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytearray:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return bytearray(buffer.getvalue())


def _refused(root: Path, data: bytes) -> str:
    with pytest.raises(ArchiveError) as raised:
        Archives(str(root)).install(digest(data), data)
    assert not root.exists() or list(root.iterdir()) == []
    return str(raised.value)


def test_deflated_members_that_are_damaged(tmp_path: Path) -> None:
    data = _zip(zipfile.ZIP_DEFLATED, name=b"text" * 100)
    data[34 + 1 : 40] = b"\xff" * 5
    assert "no zip file" in _refused(tmp_path / "root", bytes(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_packed_otherwise(tmp_path: Path, method: int) -> None:
    assert "packed in a way" in _refused(tmp_path / "root", bytes(_zip(method, name=b"text")))


def test_a_member_that_lies_about_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred megabytes in a hundred kilobytes that say they are a thousand bytes."""
    monkeypatch.setattr(_archives, "MAX_BYTES", 1 << 20)
    data = _zip(zipfile.ZIP_DEFLATED, name=bytes(100 << 20))
    honest = (100 << 20).to_bytes(4, "little")
    assert data.count(honest) == 2
    data = data.replace(honest, (1000).to_bytes(4, "little"))
    tracemalloc.start()
    try:
        _refused(tmp_path / "root", bytes(data))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
