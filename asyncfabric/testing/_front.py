"""The front: a Lambda service in the caller's event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from ._faults import plan_of
from ._host import Account
from ._service import Service
from ._settings import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from ._counters import Counters
    from ._faults import Fault
    from ._settings import FunctionSettings


class LambdaFront:
    """AWS Lambda on this machine: the Invoke API in front, real worker processes behind.

    It serves any member of asyncfabric's function family of this driver's Python and wire version
    (`asyncfabric-w1-py311-x86_64-1769`), and the functions that are registered. It runs in the
    event loop that opens it; whoever blocks that loop, blocks the service.

    >>> async def main() -> int:
    ...     async with LambdaFront() as front, af.Fabric(front.backend) as fabric:
    ...         return await fabric.submit(pow, 2, 10)

    Args:
        functions: functions by name, besides the family.
        limits: what the simulated account allows; those of AWS by default.
        faults: what goes wrong: a `Faults`, any function from a request's number (from 1) to a
            `Fault` or None, or the faults of the coming requests one by one, None for none.
        timeout: seconds an invocation of a family member may take; 900 by default.
        environment: environment variables of every worker.
        region: the region of this cloud.
        account: its account number.
        port: where to listen on 127.0.0.1; 0 for a free port.
        on_log: called with the name of a function and a piece of its log, for every piece.

    Raises:
        ConfigurationError: an argument makes no sense; on opening: aiohttp or awslambdaric is
            missing, or this is not Linux.
        OSError: the port is taken; on opening.
    """

    def __init__(
        self,
        functions: Mapping[str, FunctionSettings] | None = None,
        *,
        limits: Limits | None = None,
        faults: Callable[[int], Fault | None] | Iterable[Fault | None] | None = None,
        timeout: float = 900.0,
        environment: Mapping[str, str] | None = None,
        region: str = "us-east-1",
        account: str = "123456789012",
        port: int = 0,
        on_log: Callable[[str, str], None] | None = None,
    ) -> None:
        self._service = Service(
            limits=limits or Limits(),
            faults=faults,
            timeout=timeout,
            environment=environment or {},
            account=Account(region, account),
            port=port,
            on_log=on_log,
        )
        for name, settings in (functions or {}).items():
            self.register(name, settings)

    @property
    def url(self) -> str:
        """The endpoint, `http://127.0.0.1:PORT`. Raises `RuntimeError` while it isn't open."""
        if not self._service.is_open:
            raise RuntimeError("this LambdaFront is not open; use it as `async with LambdaFront()`")
        return f"http://127.0.0.1:{self._service.port}"

    @property
    def backend(self) -> str:
        """The URL for `Fabric(...)`. Credentials have to be set, but any will do."""
        endpoint = quote(self.url, safe="")
        region = self._service.account.region
        return f"lambda://asyncfabric?region={region}&endpoint_url={endpoint}"

    @property
    def counters(self) -> Counters:
        """What it has done so far."""
        return self._service.tally.counters

    def register(self, name: str, settings: FunctionSettings) -> None:
        """Add a function, or change one: its environments are then not used any more.

        Raises:
            ConfigurationError: it can't be named so, or more concurrency would be reserved than the
                account has.
        """
        self._service.register(name, settings)

    def inject(self, faults: Callable[[int], Fault | None] | Iterable[Fault | None] | None) -> None:
        """Let these faults befall the requests from now on, instead of the former; None: none.

        The third request from now is throttled, all others are not:

        >>> LambdaFront().inject([None, None, Fault.throttle(retry_after=1)])
        """
        self._service.plan = plan_of(faults)

    async def until(self, condition: Callable[[Counters], object]) -> None:
        """Wait until the counters fulfil a condition; woken by every change, without polling.

        >>> async def two_are_running(front: LambdaFront) -> None:
        ...     await front.until(lambda counters: counters.running == 2)
        """
        await self._service.tally.until(condition)

    async def recycle(self) -> None:
        """End all idle environments, so that the next invocations start cold."""
        await self._service.recycle()

    async def open(self) -> None:
        """Begin to serve; `async with` does so."""
        await self._service.open()

    async def aclose(self) -> None:
        """Stop serving: open requests are cut off, and every worker is ended."""
        await self._service.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
