"""Both transports, and how a test talks to them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Literal

import pytest

from asyncfabric.aws._sdk import load
from asyncfabric.aws._session import Credentials, Session
from asyncfabric.aws.transport import Reply, Request, Transport, Unanswered, open_transport
from asyncfabric.aws.transport._thin import ThinTransport

Kind = Literal["thin", "aiobotocore"]


class Client:
    """A transport that is asked one thing after another.

    Args:
        transport: the transport.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def ask(
        self,
        payload: bytes | bytearray = b'"hello"',
        *,
        function: str = "f",
        tail: bool = False,
        seconds: float = 30.0,
        event: bool = False,
    ) -> asyncio.Future[Reply | Unanswered]:
        """Send an invocation; the future has whatever comes of it."""
        answered: asyncio.Future[Reply | Unanswered] = asyncio.get_running_loop().create_future()
        inside = True

        def done(answer: Reply | Unanswered) -> None:
            assert not inside, "called back at once"
            answered.set_result(answer)  # fails if it is called twice

        self.transport.invoke(Request(function, payload, tail, seconds, event), done)
        inside = False
        return answered

    async def reply(self, payload: bytes | bytearray = b'"hello"') -> Reply:
        """Send an invocation that gets a reply."""
        answer = await self.ask(payload)
        assert isinstance(answer, Reply), answer
        return answer

    async def problem(self, *, seconds: float = 30.0) -> Unanswered:
        """Send an invocation that gets none."""
        answer = await self.ask(seconds=seconds)
        assert isinstance(answer, Unanswered), answer
        return answer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out aiobotocore on uvloop: it is aiohttp's business what loop that runs on."""
    items[:] = [each for each in items if not {"uvloop", "aiobotocore"} <= set(_words(each))]


def _words(item: pytest.Item) -> list[str]:
    return item.name.partition("[")[2].rstrip("]").split("-")


@pytest.fixture(scope="session", autouse=True)
def tables() -> Iterator[None]:
    """Read the SDK's tables once, not for each of a hundred clients."""
    loader = load("botocore.loaders").JSONFileLoader
    read = loader().load_file
    tables: dict[str, object] = {}

    def load_file(_: object, path: str) -> object:
        if path not in tables:
            tables[path] = read(path)
        return tables[path]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "load_file", load_file)
        yield


Connect = Callable[..., Awaitable[Client]]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials from the environment, and nothing else from there."""
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token+/=")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


@pytest.fixture(params=["thin", "aiobotocore"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Which transport it is."""
    chosen: Kind = request.param
    return chosen


@pytest.fixture
async def connect(kind: Kind) -> AsyncIterator[Connect]:
    """Open transports of that kind; they are closed after the test."""
    opened: list[tuple[Transport, Session]] = []

    async def connect(url: str, *, limit: int = 8) -> Client:
        session = Session(region="eu-west-1", endpoint_url=url)
        await session.open()
        transport = await open_transport(session, kind=kind, limit=limit)
        opened.append((transport, session))
        return Client(transport)

    yield connect
    for transport, session in opened:
        await transport.aclose()
        await session.aclose()


class Keys(Session):
    """A session whose credentials a test decides."""

    def __init__(self, url: str) -> None:
        super().__init__(region="eu-west-1", endpoint_url=url)
        self._region = "eu-west-1"
        self.now: Credentials | None = Credentials("AKIAFIRST", "secret", None, None)
        self.renewals = 0
        self.renewed: asyncio.Future[Credentials] = asyncio.get_running_loop().create_future()

    @property
    def credentials(self) -> Credentials | None:
        return self.now

    async def refresh(self) -> Credentials:
        self.renewals += 1
        self.now = await self.renewed
        return self.now


Open = Callable[..., Awaitable[tuple[Client, Keys]]]


@pytest.fixture
async def thin() -> AsyncIterator[Open]:
    opened: list[ThinTransport] = []

    async def open_thin(url: str, *, limit: int = 8) -> tuple[Client, Keys]:
        keys = Keys(url)
        transport = await ThinTransport.open(keys, limit=limit)
        opened.append(transport)
        return Client(transport), keys

    yield open_thin
    for transport in opened:
        await transport.aclose()
