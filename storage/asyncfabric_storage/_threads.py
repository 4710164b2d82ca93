"""Blocking file operations in a few threads, many for each wake-up of the event loop.

`loop.run_in_executor` writes to the loop's wake-up pipe once an operation. Handing over at once
what all threads have finished meanwhile takes 11 to 18 us a read of 1 KiB at 64 in flight instead
of 26; the read itself takes 9 (2 cores, ext4, in the page cache).
"""

import os
from _thread import allocate_lock
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from queue import SimpleQueue

_T = TypeVar("_T")

THREADS = 4
"""Threads of one process, whatever the number of stores. More were not faster on any file system
tried; fewer leave a cold disk idle."""


class Job(Generic[_T]):
    """One operation on its way to a thread and back."""

    __slots__ = ("aborted", "ended", "error", "future", "inbox", "result", "work")

    def __init__(
        self, work: "Callable[[Job[_T]], _T]", inbox: "_Inbox", future: "asyncio.Future[_T]"
    ) -> None:
        self.work = work
        self.inbox = inbox
        self.future = future
        self.aborted = False
        """Set when the caller was cancelled: stop where that leaves nothing behind."""
        self.ended = False
        self.result: Any = None
        self.error: BaseException | None = None

    def deliver(self) -> None:
        """Hand over the outcome, in the event loop's thread."""
        self.ended = True
        if not self.future.done():
            if self.error is not None:
                self.future.set_exception(self.error)
            else:
                self.future.set_result(self.result)
        # The error's traceback refers to this job: without this, its data would stay until the
        # garbage collector comes by.
        self.error = self.result = None


class _Inbox:
    """What the threads have finished for one event loop."""

    def __init__(self) -> None:
        # No reference to the loop: `_inboxes` must not keep its keys alive through its values.
        self._finished: deque[Job[Any]] = deque()
        self._announced = False

    def put(self, job: "Job[Any]") -> None:
        """Add a finished job, from any thread."""
        loop = job.future.get_loop()
        self._finished.append(job)
        # Two threads may both find it False: one wake-up too many, never one too few, since
        # `_drain` takes the mark away before it looks.
        if not self._announced:
            self._announced = True
            try:
                loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # the loop has been closed: nobody waits any more
                self._finished.clear()

    def _drain(self) -> None:
        self._announced = False
        while self._finished:
            self._finished.popleft().deliver()


_lock = allocate_lock()
_queue: "SimpleQueue[Job[Any]] | None" = None
_inboxes: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Inbox]" = WeakKeyDictionary()


async def run(work: "Callable[[Job[_T]], _T]") -> _T:
    """Run `work` in a thread. A cancelled caller leaves at once; the result is dropped.

    For reads: whatever `work` opens it must close itself.
    """
    return await _submit(work).future


async def run_to_end(work: "Callable[[Job[_T]], _T]") -> _T:
    """Run `work` in a thread; a cancelled caller waits until `work` has stopped.

    For writes: when the cancellation is out, nothing reads the caller's buffers any more.
    """
    import asyncio  # keeps the import of the package fast

    job = _submit(work)
    future = job.future
    try:
        return await future
    except asyncio.CancelledError:
        if future.cancelled():
            job.aborted = True
            await _wait_for_end(job)
        raise


async def _wait_for_end(job: "Job[_T]") -> None:
    import asyncio

    if job.ended:
        return
    # The cancellation has cancelled the first future; the job reports to another one.
    end: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
    job.future = end
    while not end.done():
        try:
            await asyncio.wait((end,))
        except asyncio.CancelledError:
            continue  # the caller is about to raise the first one
    if not end.cancelled():
        end.exception()  # nobody else will look at it


def _submit(work: "Callable[[Job[_T]], _T]") -> "Job[_T]":
    import asyncio

    loop = asyncio.get_running_loop()
    inbox = _inboxes.get(loop)
    if inbox is None:
        inbox = _inboxes[loop] = _Inbox()
    job = Job(work, inbox, loop.create_future())
    queue = _queue if _queue is not None else _start()
    queue.put(job)
    return job


def _start() -> "SimpleQueue[Job[Any]]":
    global _queue  # noqa: PLW0603  # one pool a process
    from queue import SimpleQueue
    from threading import Thread

    with _lock:  # loops may run in several threads
        if _queue is None:
            queue: SimpleQueue[Job[Any]] = SimpleQueue()
            for number in range(THREADS):
                # Daemons: they hold nothing that the operating system does not take back, and
                # an interpreter that exits has nobody left to wait for them.
                name = f"asyncfabric-storage-{number}"
                Thread(target=_work, args=(queue,), name=name, daemon=True).start()
            _queue = queue
        return _queue


def _work(queue: "SimpleQueue[Job[Any]]") -> None:
    while True:
        job = queue.get()
        if not (job.future.cancelled() or job.aborted):
            try:
                job.result = job.work(job)
            except BaseException as error:  # noqa: BLE001  # it belongs to the caller
                job.error = error
        job.inbox.put(job)
        del job  # keep neither result nor data while waiting


def _forget() -> None:
    """Forget the pool in a forked child, which has none of the threads."""
    global _queue, _lock  # noqa: PLW0603
    _queue = None
    _lock = allocate_lock()
    _inboxes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
