"""The fake Lambda: holds an invocation for a while, then answers as the caller's worker would."""

from __future__ import annotations

import base64
import json
import random
import time
from array import array
from typing import TYPE_CHECKING, Any

from asyncfabric_runtime import Envelope, Outcome
from asyncfabric_runtime._values import Encoded
from asyncfabric_runtime._wire import PREFIX, parse_prefix, split
from bench.fakes.lithops_worker import LithopsWork

if TYPE_CHECKING:
    import asyncio

    from bench.fakes.objects import FakeS3
    from bench.fakes.server import Reply

_JSON = b"content-type: application/json\r\n"
_THROTTLED = json.dumps(
    {"Reason": "ConcurrentInvocationLimitExceeded", "Type": "User", "message": "Rate Exceeded."}
).encode()
_THROTTLED_HEADERS = _JSON + b"x-amzn-errortype: TooManyRequestsException\r\n"
_CANNED = json.dumps({"statusCode": 200, "body": "x" * 110}).encode()


class FakeLambda:
    """Every function there is, and the counts of what was asked of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, store: FakeS3) -> None:
        self._loop = loop
        self._store = store
        self._hold = 0.0
        self._share = 0.0
        self._random = random.Random(0)
        self._together = 0
        self._gathered: list[tuple[asyncio.TimerHandle, bytes, Reply]] = []
        self.reset()

    def configure(self, settings: dict[str, Any]) -> None:
        """Set seconds of `hold`, the `throttled` share of requests and its `seed`.

        With `together`, as soon as so many are in flight all are answered, before their time.
        """
        self._together = int(settings["together"])
        self._hold = float(settings["hold"])
        self._share = float(settings["throttled"])
        self._random = random.Random(settings["seed"])

    def reset(self) -> None:
        """Count from nothing, but for what is in flight."""
        self._requests = self._throttles = self._bytes = 0
        self._in_flight = self._peak = 0
        self._first = self._last = 0.0

    def counts(self) -> dict[str, float]:
        """Return what was counted; `first` and `last` arrival by the system's monotonic clock."""
        return {
            "requests": self._requests,
            "throttled": self._throttles,
            "request_bytes": self._bytes,
            "peak_in_flight": self._peak,
            "first": self._first,
            "last": self._last,
        }

    def describe(self, name: str) -> dict[str, Any]:
        """Return what GetFunction and GetFunctionConfiguration say of any function."""
        configuration = {
            "FunctionName": name,
            "FunctionArn": f"arn:aws:lambda:us-east-1:123456789012:function:{name}",
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "Runtime": "python3.11",
            "Timeout": 900,
            "MemorySize": 1769,
        }
        return configuration | {"Configuration": configuration}

    def invoke(self, headers: dict[bytes, bytes], body: bytes, reply: Reply) -> None:
        """Take an invocation; its answer comes after the hold."""
        now = time.monotonic()
        self._requests += 1
        self._bytes += len(body)
        self._first = self._first or now
        self._last = now
        if self._share and self._random.random() < self._share:
            self._throttles += 1
            reply(429, _THROTTLED, _THROTTLED_HEADERS)
            return
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)
        if headers.get(b"x-amz-invocation-type") == b"Event":
            reply(202)
            work = LithopsWork(body, self._store)
            work.start()
            self._loop.call_later(self._hold, self._finish, work)
        elif self._together:
            self._gather(body, reply)
        elif self._hold:
            self._loop.call_later(self._hold, self._answer, body, reply)
        else:
            self._answer(body, reply)

    def _gather(self, body: bytes, reply: Reply) -> None:
        timer = self._loop.call_later(self._hold, self._answer, body, reply)
        self._gathered.append((timer, body, reply))
        if self._in_flight >= self._together:
            gathered, self._gathered = self._gathered, []
            for timer, each, its_reply in gathered:
                if timer.when() > self._loop.time():
                    timer.cancel()
                    self._answer(each, its_reply)

    def _answer(self, body: bytes, reply: Reply) -> None:
        self._in_flight -= 1
        reply(200, _outcome_of(body, self._hold) if body[:1] == b'"' else _CANNED, _JSON)

    def _finish(self, work: LithopsWork) -> None:
        self._in_flight -= 1
        work.finish()


def _outcome_of(body: bytes, seconds: float) -> bytes:
    """Answer an envelope as a worker whose function returns its argument."""
    frame = base64.b64decode(body[1:-1])
    _, count, _ = parse_prefix(frame[: PREFIX.size])
    envelope = Envelope.from_segments(split(memoryview(frame)[PREFIX.size :], count))
    calls = len(envelope.indices)
    kinds, values = envelope.inputs
    outcome = Outcome(
        envelope.flight,
        range(calls),
        Encoded(kinds, [_argument(envelope.plan.convention, value) for value in values]),
        array("d", [seconds]) * calls,
        busy=seconds,
        final=True,
        segments=[] if kinds is None else envelope.segments,
    )
    return b'"' + base64.b64encode(b"".join(outcome.to_frame())) + b'"'


def _argument(convention: str, value: Any) -> Any:  # noqa: ANN401 - plain data
    """Return the one argument of a call; only plain arguments are taken out of a tuple."""
    match convention:
        case "star":
            return value[0]
        case "full":
            return value[0][0]
        case _:
            return value
