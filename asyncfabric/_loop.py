"""`run`: asyncio.run, on uvloop where it is installed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Run a program's main coroutine and return its result: `asyncio.run`, on uvloop if there is one.

    uvloop comes with `pip install asyncfabric[uvloop]`; the stock loop serves as well.

        asyncfabric.run(main())

    Raises `RuntimeError` inside a running loop, as `asyncio.run` does.
    """
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main, debug=debug)
    with asyncio.Runner(debug=debug, loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
