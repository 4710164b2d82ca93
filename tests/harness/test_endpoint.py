"""The fake AWS endpoint of the cloud tables: what it answers, counts and leaves behind."""

import asyncio
import base64
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from asyncfabric_runtime import Envelope, Outcome, Plan
from asyncfabric_runtime._values import Encoded, decode_value, encode_value
from asyncfabric_runtime._wire import PREFIX, parse_prefix, split
from bench.fakes import Endpoint, running_endpoint
from bench.runner import ROOT


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]


def ask(
    endpoint: Endpoint, method: str, path: str, body: bytes | None = None, **headers: str
) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(endpoint.url + path, body, named, method=method)
    context = ssl.create_default_context() if endpoint.certificate else None
    try:
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            return Answer(answer.status, answer.read(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(), dict(error.headers))


def invoke(endpoint: Endpoint, body: bytes = b"{}") -> Answer:
    return ask(endpoint, "POST", "/2015-03-31/functions/f/invocations", body)


@pytest.fixture(scope="module")
def shared() -> Iterator[Endpoint]:
    with running_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(shared: Endpoint) -> Endpoint:
    shared.set()
    shared.reset()
    return shared


# invocations


def envelope_of(values: list[object], convention: str = "one") -> Envelope:
    segments: list[Any] = []
    encoded = [encode_value(value, segments) for value in values]
    kinds = bytes(kind for kind, _ in encoded)
    plan = Plan(job="j", function="f", convention="star" if convention == "star" else "one")
    return Envelope(
        plan,
        7,
        range(len(values)),
        1,
        Encoded(kinds if any(kinds) else None, [body for _, body in encoded]),
        [],
        segments,
        attachments={"digest": b"code"},
    )


def outcome_of(answer: Answer) -> Outcome:
    frame = base64.b64decode(json.loads(answer.body))
    _, count, _ = parse_prefix(frame[: PREFIX.size])
    return Outcome.from_segments(split(memoryview(frame)[PREFIX.size :], count))


@pytest.mark.parametrize(
    "values", [[1], [1, "two", None], [{"a": [1]}, 5], [b"x" * 100_000, 3], [array("d", [1.5])]]
)
def test_an_envelope_is_answered_with_its_inputs(endpoint: Endpoint, values: list[object]) -> None:
    frame = b"".join(envelope_of(values).to_frame())
    answer = invoke(endpoint, b'"' + base64.b64encode(frame) + b'"')
    assert answer.status == 200
    outcome = outcome_of(answer)
    assert (outcome.flight, list(outcome.positions)) == (7, list(range(len(values))))
    assert outcome.final
    assert len(outcome.run) == len(values)
    kinds = outcome.values.kinds or bytes(len(values))
    segments = [memoryview(segment) for segment in outcome.segments]
    decoded = [
        decode_value(kind, body, segments)
        for kind, body in zip(kinds, outcome.values.bodies, strict=True)
    ]
    assert decoded == values


def test_a_submit_is_answered_with_its_argument(endpoint: Endpoint) -> None:
    frame = b"".join(envelope_of([(5,)], "star").to_frame())
    outcome = outcome_of(invoke(endpoint, b'"' + base64.b64encode(frame) + b'"'))
    assert outcome.values.bodies == [5]


def test_held_invocations_are_held_together_and_counted(endpoint: Endpoint) -> None:
    endpoint.set(hold=0.5)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(invoke, [endpoint] * 5, [b"12345"] * 5))
    counts = endpoint.counts()
    assert [answer.status for answer in answers] == [200] * 5
    assert all(json.loads(answer.body)["statusCode"] == 200 for answer in answers)
    assert (counts.requests, counts.connections, counts.peak_in_flight) == (5, 5, 5)
    assert counts.request_bytes == 25
    assert 0 < counts.first <= counts.last
    endpoint.reset()
    assert endpoint.counts().requests == 0


def test_invocations_are_answered_early_once_all_are_there(endpoint: Endpoint) -> None:
    endpoint.set(hold=300, together=4)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(invoke, [endpoint] * 4))
    assert [answer.status for answer in answers] == [200] * 4
    assert endpoint.counts().peak_in_flight == 4


def test_refusals_follow_the_seed(endpoint: Endpoint) -> None:
    runs: list[list[int]] = []
    for seed in (1, 1, 2):
        endpoint.set(throttled=0.3, seed=seed)
        runs.append([invoke(endpoint).status for _ in range(30)])
    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == {200, 429}
    assert endpoint.counts().throttled == sum(run.count(429) for run in runs)
    endpoint.set(throttled=1)
    refusal = invoke(endpoint)
    assert refusal.headers["x-amzn-errortype"] == "TooManyRequestsException"
    assert json.loads(refusal.body)["Reason"] == "ConcurrentInvocationLimitExceeded"


def test_lithops_finds_its_marks_and_results_in_the_bucket(endpoint: Endpoint) -> None:
    payload = {
        "config": {"lithops": {"storage": "aws_s3"}, "aws_s3": {"storage_bucket": "b"}},
        "call_ids": ["00003"],
        "data_byte_strs": [
            str(b"\x80\x04\x95\x06\x00\x00\x00\x00\x00\x00\x00}\x8c\x01x\x94K\x05s.")
        ],
        "job_key": "k",
        "job_id": "i",
        "executor_id": "e",
        "chunksize": 1,
        "host_submit_tstamp": 1.0,
    }
    body = json.dumps(payload).encode()
    path = "/2015-03-31/functions/f/invocations"
    assert ask(endpoint, "POST", path, body, X_Amz_Invocation_Type="Event").status == 202
    listing = ask(endpoint, "GET", "/b?list-type=2&prefix=lithops.jobs/k/").body
    assert b"lithops.jobs/k/00003/status.json" in listing
    assert b".init</Key>" in listing
    status = json.loads(ask(endpoint, "GET", "/b/lithops.jobs/k/00003/status.json").body)
    assert status["type"] == "__end__"
    assert "K\\x05." in status["result"]  # the pickle of 5


# objects


def test_objects_are_written_read_and_deleted(endpoint: Endpoint) -> None:
    assert ask(endpoint, "GET", "/b/none").status == 404
    data = bytes(range(256)) * 1000
    assert ask(endpoint, "PUT", "/b/a%20key", data).headers["etag"]
    assert ask(endpoint, "GET", "/b/a%20key").body == data
    head = ask(endpoint, "HEAD", "/b/a%20key")
    assert (head.headers["content-length"], head.body) == (str(len(data)), b"")
    assert ask(endpoint, "PUT", "/b/a%20key", b"x", If_None_Match="*").status == 412
    assert ask(endpoint, "GET", "/b/a%20key").body == data
    assert endpoint.counts().object_bytes == len(data)
    assert ask(endpoint, "DELETE", "/b/a%20key").status == 204
    assert ask(endpoint, "HEAD", "/b/a%20key").status == 404


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("bytes=2-4", b"234"), ("bytes=7-", b"789"), ("bytes=-2", b"89"), ("bytes=8-99", b"89")],
)
def test_ranges(endpoint: Endpoint, asked: str, answered: bytes) -> None:
    ask(endpoint, "PUT", "/b/digits", b"0123456789")
    answer = ask(endpoint, "GET", "/b/digits", Range=asked)
    assert (answer.status, answer.body) == (206, answered)
    assert answer.headers["content-range"].endswith("/10")
    assert ask(endpoint, "GET", "/b/digits", Range="bytes=10-12").status == 416


def test_listings_have_pages(endpoint: Endpoint) -> None:
    for number in range(5):
        ask(endpoint, "PUT", f"/pages/p/{number}", b"x")
    ask(endpoint, "PUT", "/pages/q", b"x")
    found: list[bytes] = []
    query = "/pages?list-type=2&prefix=p/&max-keys=2"
    after = ""
    while True:
        page = ask(endpoint, "GET", query + after).body
        found += [part.partition(b"</Key>")[0] for part in page.split(b"<Key>")[1:]]
        if b"<IsTruncated>true" not in page:
            break
        after = f"&continuation-token={found[-1].decode()}"
    assert found == [b"p/%d" % number for number in range(5)]


def test_an_object_in_parts(endpoint: Endpoint) -> None:
    started = ask(endpoint, "POST", "/b/big?uploads", b"").body.decode()
    upload = started.partition("<UploadId>")[2].partition("<")[0]
    for number, part in ((2, b"two"), (1, b"one")):
        path = f"/b/big?partNumber={number}&uploadId={upload}"
        assert ask(endpoint, "PUT", path, part).headers["etag"]
    assert ask(endpoint, "GET", "/b/big").status == 404
    assert ask(endpoint, "POST", f"/b/big?uploadId={upload}", b"<x/>").status == 200
    assert ask(endpoint, "GET", "/b/big").body == b"onetwo"


# its process


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_over_tls_with_a_certificate_that_is_trusted_meanwhile() -> None:
    before = os.environ.get("SSL_CERT_FILE")
    with running_endpoint(tls=True) as endpoint:
        assert endpoint.url.startswith("https://")
        assert invoke(endpoint).status == 200
        assert endpoint.counts().handshakes == 1
    assert os.environ.get("SSL_CERT_FILE") == before


def test_it_ends_with_the_process_that_started_it() -> None:
    code = (
        "import os, signal\n"
        "from bench.fakes import running_endpoint\n"
        "with running_endpoint() as endpoint:\n"
        "    print(endpoint.plain_url, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == -signal.SIGKILL
    port = int(run.stdout.strip().rpartition(":")[2])

    async def until_refused() -> None:
        # the pipes that `run` reads are the endpoint's too: it has ended, or is about to
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            writer.close()
            await writer.wait_closed()

    asyncio.run(asyncio.wait_for(until_refused(), 20))
