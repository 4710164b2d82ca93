"""Signatures, against those of the SDK."""

import datetime as dt
import hashlib
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncfabric.aws._sdk import load
from asyncfabric.aws._session import Credentials
from asyncfabric.aws._sigv4 import Signer

auth = load("botocore.auth")
REGIONS = ["eu-west-1", "us-gov-east-1", "cn-north-1"]
ENDPOINTS = [
    "https://lambda.eu-west-1.amazonaws.com",
    "https://lambda.eu-west-1.amazonaws.com:443",
    "http://127.0.0.1:4566",
    "http://LocalHost:80/",
    "https://[::1]:8443",
    "https://example.com/a/prefix~1",
]
printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
names = st.one_of(
    st.from_regex(r"\A[a-zA-Z0-9-_]{1,64}(:[a-zA-Z0-9$_-]{1,20})?\Z"),
    st.from_regex(r"\Aarn:aws:lambda:eu-west-1:[0-9]{12}:function:[a-z]{1,9}(:[a-z]{1,9})?\Z"),
    st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda name: name.strip(".")),
)
times = st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2060, 1, 1))  # noqa: DTZ001
credentials = st.builds(
    Credentials, printable, printable, st.none() | printable, st.none() | st.floats()
)


def _parsed(head: bytes) -> tuple[str, dict[str, str]]:
    first, *rest = head.decode().split("\r\n")
    assert rest[-2:] == ["", ""]
    headers = dict(line.split(": ", 1) for line in rest[:-2])
    assert len(headers) == len(rest) - 2
    return first, headers


def _expected(
    url: str, headers: dict[str, str], payload: bytes, who: Credentials, region: str, when: float
) -> str:
    """The Authorization header that botocore gives the same request."""
    own = {"Authorization", "User-Agent", "Content-Length", "host", "x-amz-date"}
    request = load("botocore.awsrequest").AWSRequest(
        method="POST",
        url=url,
        data=payload,
        headers={name: value for name, value in headers.items() if name not in own},
    )
    signer = auth.SigV4Auth(
        load("botocore.credentials").Credentials(who.access_key, who.secret_key, who.token),
        "lambda",
        region,
    )
    now = dt.datetime.fromtimestamp(when, dt.UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now):
        signer.add_auth(request)
    assert request.headers["X-Amz-Date"] == headers["x-amz-date"]
    return str(request.headers["Authorization"])


@given(
    endpoint=st.sampled_from(ENDPOINTS),
    region=st.sampled_from(REGIONS),
    who=credentials,
    calls=st.lists(
        st.tuples(names, st.binary(max_size=200), st.sampled_from(["", "tail", "event"]), times),
        min_size=1,
    ),
)
@example(
    endpoint=ENDPOINTS[0],
    region="eu-west-1",
    who=Credentials("AKIA", "secret", "a+token/==", None),
    calls=[  # the key is another one after midnight
        ("f", b"", "", dt.datetime(2026, 12, 31, 23, 59, 59)),  # noqa: DTZ001
        ("f", b"", "tail", dt.datetime(2027, 1, 1, 0, 0, 0)),  # noqa: DTZ001
    ],
)
def test_signatures_are_those_of_the_sdk(
    endpoint: str,
    region: str,
    who: Credentials,
    calls: list[tuple[str, bytes, str, dt.datetime]],
) -> None:
    signer = Signer(endpoint, region)
    for function, payload, kind, moment in calls:
        when = moment.replace(tzinfo=dt.UTC).timestamp()
        head = signer.head(
            function,
            hashlib.sha256(payload).hexdigest(),
            len(payload),
            tail=kind == "tail",
            credentials=who,
            now=when,
            event=kind == "event",
        )
        first, headers = _parsed(head)
        method, path, version = first.split(" ")
        assert (method, version) == ("POST", "HTTP/1.1")
        assert headers["Content-Length"] == str(len(payload))
        held = "Event" if kind == "event" else "RequestResponse"
        assert headers["x-amz-invocation-type"] == held
        assert headers.get("x-amz-log-type") == ("Tail" if kind == "tail" else None)
        assert headers.get("x-amz-security-token") == who.token
        server = "/".join(endpoint.split("/")[:3])
        expected = _expected(server + path, headers, payload, who, region, when)
        assert headers["Authorization"] == expected
        assert headers["host"] == auth._host_from_url(endpoint)


@pytest.mark.parametrize(
    ("function", "encoded"),
    [
        ("plain-name_1", "plain-name_1"),
        ("name:live", "name%3Alive"),
        ("arn:aws:lambda:eu-west-1:123456789012:function:f", None),
        ("a/b c", "a%2Fb%20c"),
    ],
)
def test_names_are_encoded_as_the_sdk_encodes_them(function: str, encoded: str | None) -> None:
    signer = Signer("https://example.com", "eu-west-1")
    who = Credentials("a", "b", None, None)
    first, _ = _parsed(signer.head(function, "", 0, tail=False, credentials=who, now=0))
    encoded = encoded or function.replace(":", "%3A")
    assert first == f"POST /2015-03-31/functions/{encoded}/invocations HTTP/1.1"


def test_new_credentials_are_used_within_the_same_second() -> None:
    signer = Signer("https://example.com", "eu-west-1")
    heads = {
        signer.head("f", "", 0, tail=False, credentials=who, now=5)
        for who in (Credentials("a", "b", None, None), Credentials("a", "c", None, None))
    }
    assert len(heads) == 2
