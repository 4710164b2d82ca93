"""A client of the Invoke API without an SDK, and the functions that tests invoke."""

import base64
import io
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from asyncfabric.testing import FunctionSettings, LambdaFront

CODE = Path(__file__).with_name("functions")


def function(name: str, **settings: Any) -> FunctionSettings:
    """Return the settings of a handler in `functions/`."""
    module, _, last = name.rpartition(".")
    settings.setdefault("timeout", 30.0)
    return FunctionSettings(handler=f"{module or 'handlers'}.{last}", code=CODE, **settings)


def ended(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has taken note."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@dataclass(frozen=True, slots=True)
class Reply:
    """What the service answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def error(self) -> str | None:
        """The kind of function error."""
        return self.headers.get("X-Amz-Function-Error")

    @property
    def log(self) -> str:
        """The tail of the log."""
        return base64.b64decode(self.headers["X-Amz-Log-Result"]).decode()


class Client:
    """Invokes functions of a front."""

    def __init__(self, front: LambdaFront, session: aiohttp.ClientSession) -> None:
        self._front = front
        self._session = session

    async def invoke(
        self, name: str, event: Any = None, *, data: bytes | None = None, **headers: str
    ) -> Reply:
        """Invoke a function; `Log_Type="Tail"` is the header `X-Amz-Log-Type`."""
        name, _, query = name.partition("?")
        return await self.post(
            f"/2015-03-31/functions/{name}/invocations{'?' + query if query else ''}",
            io.BytesIO(json.dumps(event).encode() if data is None else data),
            {f"X-Amz-{key.replace('_', '-')}": value for key, value in headers.items()},
        )

    async def post(self, path: str, data: io.BytesIO, headers: dict[str, str]) -> Reply:
        """Send any request."""
        request = self._session.post(f"{self._front.url}{path}", data=data, headers=headers)
        async with request as response:
            return Reply(response.status, dict(response.headers), await response.read())


@asynccontextmanager
async def cloud(
    *names: str, functions: dict[str, FunctionSettings] | None = None, **settings: Any
) -> AsyncGenerator[tuple[LambdaFront, Client]]:
    """A front with these handlers, each a function of that name, and a client."""
    every = {name: function(name) for name in names} | (functions or {})
    async with LambdaFront(every, **settings) as front, aiohttp.ClientSession() as session:
        yield front, Client(front, session)
