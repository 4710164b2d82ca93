"""`run`: asyncio.run, on uvloop where it is installed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Run a program's main coroutine and return its result, on uvloop if that is installed.

    It is `asyncio.run` otherwise; `pip install asyncfabric[uvloop]` brings uvloop.

        asyncfabric.run(main())

    Raises `RuntimeError` inside a running loop, as `asyncio.run` does.
    """
    if asyncio._get_running_loop() is not None:  # noqa: SLF001
        main.close()
        msg = "asyncfabric.run() was called from a running event loop; await the coroutine instead"
        raise RuntimeError(msg)
    # The program runs outside the `except`, or every error of its own would name uvloop, too.
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        from uvloop import new_event_loop as loop_factory
    with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)
