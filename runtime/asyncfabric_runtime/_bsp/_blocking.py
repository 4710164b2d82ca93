"""Async iterators for code that isn't async: run by an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from asyncfabric_storage import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Generator

    from asyncfabric_storage import ObjectStore
    from asyncfabric_storage._buffers import Data

T = TypeVar("T")


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, while this thread waits.

    It has ended when this returns, and also when this raises.
    """
    loop, done = _blocking.loop(), threading.Event()
    begun: list[asyncio.Task[T]] = []

    def begin() -> None:
        task = loop.create_task(work)
        task.add_done_callback(lambda _: done.set())
        begun.append(task)

    def end() -> None:
        if begun:
            begun[0].cancel()
        else:  # interrupted before it could begin
            work.close()
            done.set()

    try:  # around all of it: a timeout or Ctrl-C, which only this thread feels, may come anywhere
        loop.call_soon_threadsafe(begin)
        done.wait()
    except BaseException:
        loop.call_soon_threadsafe(end)
        done.wait()
        raise
    return begun[0].result()


def write(store: ObjectStore, key: str, data: Data, memory: int) -> None:
    """Put an object, with copies of about so many bytes at most where the store makes any."""
    within: Any = getattr(store, "put_within", None)  # of stores that are asked for it
    wait_for(store.put(key, data) if within is None else within(key, data, memory))


def iterate(items: AsyncGenerator[T]) -> Generator[T]:
    """Yield what an async generator yields."""
    try:
        while True:
            try:
                item = wait_for(anext_of(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        wait_for(items.aclose())


async def anext_of(items: AsyncGenerator[T]) -> T:
    """Return the next item. Raises `StopAsyncIteration`."""
    return await anext(items)


def store_for_blocking(url: str) -> ObjectStore:
    """Open a store for use in that loop, once per process."""
    return _blocking.store(url)


def close() -> None:
    """End the thread, its loop and its stores; the next use starts them anew."""
    _blocking.close()


class _Blocking:
    """The one loop of this process, its thread and the stores that it has opened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._owner = 0
        self._stores: dict[str, ObjectStore] = {}

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, started if need be."""
        with self._lock:
            if self._loop is None or self._owner != os.getpid():  # a fork has no threads
                self._stores.clear()
                loop = asyncio.new_event_loop()
                thread = threading.Thread(
                    target=loop.run_forever, name="asyncfabric-blocking", daemon=True
                )
                thread.start()  # before others can wait for it: this may be interrupted
                self._loop, self._thread, self._owner = loop, thread, os.getpid()
            return self._loop

    def store(self, url: str) -> ObjectStore:
        """Open a store once."""
        self.loop()  # after a fork, those of the parent are forgotten
        store = self._stores.get(url)
        if store is None:
            store = self._stores[url] = open_store(url)
        return store

    def close(self) -> None:
        """End it all."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
            if loop is None or thread is None or self._owner != os.getpid():
                return
            stores = list(self._stores.values())
            self._stores.clear()
        asyncio.run_coroutine_threadsafe(_close_all(stores), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _close_all(stores: list[ObjectStore]) -> None:
    for store in stores:
        await store.aclose()


_blocking = _Blocking()
