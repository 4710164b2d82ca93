"""`current()`: what a running call can know of itself."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ._capture import Transcript
from ._stores import open_shared_store

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from asyncfabric_storage import ObjectStore


class Slot:
    """Where a call runs just now. Calls that run one after another share one slot and move on."""

    __slots__ = ("_transcripts", "invocation", "position")

    def __init__(self, invocation: Any, position: int, transcripts: dict[int, Transcript]) -> None:  # noqa: ANN401
        self.invocation = invocation
        self.position = position
        self._transcripts = transcripts

    def transcript(self) -> Transcript:
        """Return the running call's transcript, made when it first prints."""
        return self._transcripts.setdefault(self.position, Transcript())


_running: ContextVar[Slot | None] = ContextVar("asyncfabric_running", default=None)


def running_transcript() -> Transcript | None:
    """Return the transcript of the call that this code runs in, or None outside one."""
    slot = _running.get()
    return None if slot is None else slot.transcript()


enter = _running.set
leave = _running.reset


def running_slot() -> Slot | None:
    """Return where the call that this code runs in stands, or None outside one."""
    return _running.get()


class Context:
    """One attempt at one call, seen from inside.

    Attributes:
        job: the fan-out's id, the same for all its calls.
        index: which input of the fan-out this is, from 0.
        attempt: 1 for the first attempt, 2 for its first retry and so on.
        deadline: when the attempt times out, in seconds since the epoch; None without `timeout=`.
        seed: the fan-out's seed.
        token: the same text for every attempt of this call and for no other call: hand it to
            services that take an idempotency key.
    """

    __slots__ = (
        "_on_progress",
        "_store_url",
        "attempt",
        "deadline",
        "index",
        "job",
        "seed",
        "token",
    )

    def __init__(
        self,
        *,
        job: str,
        index: int,
        attempt: int = 1,
        deadline: float | None = None,
        seed: int = 0,
        store_url: str | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        self.job: str = job
        self.index: int = index
        self.attempt: int = attempt
        self.deadline: float | None = deadline
        self.seed: int = seed
        self.token: str = f"{job}/{index}"
        self._store_url = store_url
        self._on_progress = on_progress

    def __repr__(self) -> str:
        return f"<Context of call {self.index}, attempt {self.attempt}, in {self.job}>"

    @property
    def store(self) -> ObjectStore:
        """The Fabric's object store, opened in this process.

        Raises `ConfigurationError` where driver and worker share no store.
        """
        return open_shared_store(self._store_url)

    def progress(self, fraction: float) -> None:
        """Report how much of this attempt's work is done, from 0 to 1.

        A call that is slow by its own word gets a copy sooner, and one that is long but gets on
        gets none (see `Hedge`). Reports cost next to nothing, and only some of them are sent; where
        the backend carries none they change nothing. After the end of the call they are ignored.

            here = asyncfabric.current()
            for step in range(steps):
                ...
                here.progress((step + 1) / steps)

        Raises `ValueError` for anything below 0 or above 1, and for less than was reported before.
        """
        if not 0.0 <= fraction <= 1.0:
            msg = f"progress({fraction}): give the share of the work that is done, from 0 to 1"
            raise ValueError(msg)
        if self._on_progress is not None:
            self._on_progress(fraction)

    def rng(self) -> np.random.Generator:
        """Make the call's own stream of random numbers.

        It depends on the fan-out's `seed` and the call's `index` alone: independent of every other
        call's, and the same on every backend, with any chunking, in every attempt. The stream is
        the `index`-th child of `numpy.random.SeedSequence(seed)`. Each call to `rng()` starts it
        anew.

            def estimate(n):
                return asyncfabric.current().rng().standard_normal(n).mean()
        """
        import numpy as np

        sequence = np.random.SeedSequence(self.seed, spawn_key=(self.index,))
        return np.random.default_rng(sequence)


def running_context() -> Context | None:
    """Return the context of the call that this code runs in, or None outside one."""
    slot = _running.get()
    if slot is None:
        return None
    context: Context = slot.invocation.context(slot.position)
    return context


_worker_process = False


def become_worker() -> None:
    """Know that this process is a worker, in all its threads."""
    global _worker_process  # noqa: PLW0603 - it is a fact of the process
    _worker_process = True


def in_worker() -> bool:
    """Tell whether this code runs in a worker process or inside a call."""
    return _worker_process or _running.get() is not None


def current() -> Context:
    """Return the context of the call that this code runs in.

    Raises `RuntimeError` outside a worker; in a test of your function, run it through
    `Fabric("inline://")` to get one.
    """
    context = running_context()
    if context is None:
        msg = (
            "asyncfabric.current() is for functions that a Fabric runs, and this code is not "
            "inside one; to test such a function, call it through asyncfabric.Fabric('inline://')"
        )
        raise RuntimeError(msg)
    return context
