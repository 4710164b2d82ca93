"""Blocking file operations in a few threads, many for each wake-up of the event loop.

`loop.run_in_executor` wakes the loop for every operation. Here it is woken for all that has been
finished meanwhile: through `get_many`, a read of 1 KiB takes 16 to 30 us instead of 50, of which
9 are the read itself (2 cores, ext4, in the page cache).
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

THREADS = 2
"""Threads of one process, whatever the number of stores. Small operations are a few system calls
between which the GIL is wanted: 4 threads take 37 us a read where 2 take 28. Two, so that a large
object does not stand in the way of all small ones."""

_BATCH = 16
"""Jobs after which a thread announces what it has finished, while there is more to do. Waking the
loop for every job sets it and the threads fighting for the GIL."""


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
        """Add a finished job, from any thread; `announce` must follow."""
        self._finished.append(job)

    def announce(self, loop: "asyncio.AbstractEventLoop") -> None:
        """Have the event loop look at the finished jobs, from any thread."""
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
    from queue import Empty

    unannounced: dict[_Inbox, asyncio.AbstractEventLoop] = {}
    done = 0
    while True:
        job: Job[Any] | None = None
        if unannounced and done < _BATCH:
            try:
                job = queue.get_nowait()
            except Empty:
                job = None
        if job is None:
            # Nobody waits in vain: what is finished is announced before this thread may block.
            _announce(unannounced)
            done = 0
            job = queue.get()
        if not (job.future.cancelled() or job.aborted):
            try:
                job.result = job.work(job)
            except BaseException as error:  # noqa: BLE001  # it belongs to the caller
                job.error = error
        job.inbox.put(job)
        unannounced[job.inbox] = job.future.get_loop()
        done += 1
        del job


def _announce(inboxes: "dict[_Inbox, asyncio.AbstractEventLoop]") -> None:
    # A function of its own, so that its variables keep no loop alive while the thread waits.
    for inbox, loop in inboxes.items():
        inbox.announce(loop)
    inboxes.clear()


def _forget() -> None:
    """Forget the pool in a forked child, which has none of the threads."""
    global _queue, _lock  # noqa: PLW0603
    _queue = None
    _lock = allocate_lock()
    _inboxes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
