"""Which transport is chosen, and what is checked before."""

import resource
import socket
import sys
from typing import Literal

import pytest

from asyncfabric import ConfigurationError
from asyncfabric.aws._session import Session
from asyncfabric.aws.transport import open_transport
from asyncfabric.aws.transport._aiobotocore import AiobotocoreTransport
from asyncfabric.aws.transport._sockets import allow_descriptors, new_socket
from asyncfabric.aws.transport._thin import ThinTransport

PROXY = "http://127.0.0.1:9"
KINDS: list[tuple[Literal["thin", "aiobotocore"], type[object]]] = [
    ("thin", ThinTransport),
    ("aiobotocore", AiobotocoreTransport),
]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("url", "environment", "thin"),
    [
        ("https://localhost:1", {}, True),
        ("https://localhost:1", {"HTTPS_PROXY": PROXY}, False),
        ("https://localhost:1", {"https_proxy": PROXY}, False),
        ("https://localhost:1", {"HTTPS_PROXY": PROXY, "NO_PROXY": "localhost"}, True),
        ("https://localhost:1", {"http_proxy": PROXY}, True),
        ("http://localhost:1", {"http_proxy": PROXY}, False),
        ("https://localhost:1", {"AWS_CA_BUNDLE": "/some.pem"}, False),
        ("https://localhost:1", {"REQUESTS_CA_BUNDLE": "/some.pem"}, False),
        ("http://localhost:1", {"AWS_CA_BUNDLE": "/some.pem"}, True),
    ],
)
async def test_the_thin_one_unless_something_stands_in_the_way(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], thin: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    session = Session(region="eu-west-1", endpoint_url=url)
    await session.open()
    transport = await open_transport(session, limit=4)
    assert isinstance(transport, ThinTransport if thin else AiobotocoreTransport)
    await transport.aclose()
    for kind, chosen in KINDS:
        transport = await open_transport(session, kind=kind, limit=4)
        assert isinstance(transport, chosen)
        await transport.aclose()
    await session.aclose()


async def test_httptools_is_missed_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httptools", None)
    session = Session(region="eu-west-1", endpoint_url="http://localhost:1")
    await session.open()
    with pytest.raises(ConfigurationError, match=r"pip install 'asyncfabric\[aws\]'"):
        await open_transport(session, kind="thin", limit=4)
    await session.aclose()


def test_sockets_outlive_the_translators_of_addresses() -> None:
    with new_socket(socket.AF_INET) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.gettimeout() == 0
        if sys.platform == "linux":
            idle, interval, count = (
                sock.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert (idle, interval, count) == (60, 30, 5)
            assert idle + interval * count < 350


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The limits of a process that has few open files, and none of ours."""
    now = {"soft": 600, "hard": 5000}

    def getrlimit(_: int) -> tuple[int, int]:
        return now["soft"], now["hard"]

    def setrlimit(_: int, new: tuple[int, int]) -> None:
        now.update(soft=new[0], hard=new[1])

    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    return now


def test_few_connections_change_no_limit(limits: dict[str, int]) -> None:
    allow_descriptors(50)
    assert limits == {"soft": 600, "hard": 5000}


def test_the_soft_limit_is_raised_as_far_as_needed(limits: dict[str, int]) -> None:
    allow_descriptors(1000)
    assert 1000 < limits["soft"] < 5000
    assert limits["hard"] == 5000


def test_the_hard_limit_is_named(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=r"ulimit -Hn 10\d\d\d.*") as caught:
        allow_descriptors(10_000)
    assert "5000" in str(caught.value)
    assert "max_concurrency" in str(caught.value)
    assert limits["soft"] == 600


async def test_the_limit_is_checked_before_anything_is_opened(limits: dict[str, int]) -> None:
    session = Session(region="eu-west-1", endpoint_url="http://localhost:1")
    await session.open()
    with pytest.raises(ConfigurationError, match="ulimit"):
        await open_transport(session, limit=10_000)
    await session.aclose()
