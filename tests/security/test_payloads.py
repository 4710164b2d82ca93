"""The deployed function serves envelopes; whatever else it is sent it refuses, and runs nothing."""

import base64
import json
import os
from typing import Any

import pytest

from asyncfabric_runtime._wire import INVOKE, PREFIX, dump_head, pack
from tests.runtime.helpers import frame_bytes
from tests.runtime.test_aws_lambda import Fake, worker
from tests.security.gadgets import no_pickles

__all__ = ["worker"]

_ENVELOPE = base64.b64encode(frame_bytes(pack(INVOKE, ()))).decode()
API_GATEWAY: dict[str, Any] = {
    "version": "2.0",
    "routeKey": "POST /",
    "headers": {"authorization": "canary"},
    "requestContext": {"http": {"method": "POST"}},
    "body": _ENVELOPE,
    "isBase64Encoded": True,
}
S3_EVENT = {"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": "spill/canary"}}}]}
SQS_EVENT = {"Records": [{"messageId": "1", "body": _ENVELOPE, "eventSource": "aws:sqs"}]}
EVENTS: list[Any] = [
    {},
    [],
    None,
    True,
    0,
    1e308,
    "",
    "{}",
    API_GATEWAY,
    S3_EVENT,
    SQS_EVENT,
    {"source": "aws.events", "detail": {}},
    json.dumps(API_GATEWAY),
    "canary" * 1_000_000,
    base64.b64encode(os.urandom(4_000_000)).decode(),
    base64.b64encode(bytes(4_000_000)).decode(),
    base64.b64encode(b"\x80\x04N.").decode(),
    base64.b64encode(PREFIX.pack(b"AF", 1, INVOKE, 1 << 24, 1 << 40)).decode(),
    base64.b64encode(PREFIX.pack(b"AF", 1, INVOKE, 1, 8) + (1 << 62).to_bytes(8)).decode(),
    base64.b64encode(frame_bytes(pack(INVOKE, [None] * 100_000))).decode(),
    base64.b64encode(frame_bytes(pack(INVOKE, (dump_head({"job": "j"}), 1)))).decode(),
]


@pytest.mark.parametrize("event", EVENTS, ids=range(len(EVENTS)))
def test_what_is_no_envelope_is_refused(
    worker: Fake, event: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    with no_pickles():
        answer: Any = worker.serve(event, 60.0)
    assert answer["asyncfabric"] == "refused"
    assert len(answer["reason"]) < 500  # it goes back to whoever sent that, and into logs
    assert "canary" not in answer["reason"]
    assert capfd.readouterr() == ("", "")
    assert worker.process.invocations == 0
