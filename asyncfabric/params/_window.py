"""What a stream has pulled, and what it has pushed and not sent yet. No IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._checks import parameter_name, positive_number
from ._pull import Pull, Wanted, read_shards
from ._push import Push, apply_push, matching
from ._replica import REPLICAS
from ._steps import BATCH_SHARDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Indices = NDArray[np.int64]

    from ._attempts import Ticket
    from ._layout import FloatArray, Layout
    from ._place import Place
    from ._steps import Steps


class Window:
    """One loop's view of a parameter.

    Attributes:
        what: kind of operation and parameter, for a call's numbering of its pushes.
        waits: whether there is something to send.
    """

    def __init__(self, name: str, every: int, max_staleness: int | None) -> None:
        self._name = parameter_name(name)
        self._every = positive_number(every, "every=")
        self._most = max_staleness
        self.what: str = f"push {name}"
        self._count = 0  # of the updates that wait
        self._waiting: list[tuple[FloatArray, Indices | None]] = []  # unless one of them is dense
        self._dense = False
        self._own: FloatArray | None = None  # sum of what waits, as large as the parameter
        self._layout: Layout | None = None  # that it is for
        self._version: int | None = None  # that the last pull returned, and own pushes since
        self._computed_from: int | None = None  # what the first of what waits is from
        self._known: dict[int, int] = {}  # shards that were brought, and as of which version
        self._generation = ""  # of these
        self._recent: dict[int, None] = {}  # shards of the pulls since the last push was sent
        self._shards: Sequence[int] = ()  # those to bring with the next push's answer
        self._pushed = False  # whether something was pushed since the last pull

    @property
    def waits(self) -> bool:
        return self._count > 0

    def pull(self, place: Place, indices: object) -> Steps[Pull]:
        """Read from the copies if something was pushed since the last pull, else from Redis."""
        while True:
            layout = yield from place.layout(self._name)
            wanted = Wanted.of(layout, indices, None)
            version = self._here(place, layout, wanted) if self._pushed else None
            if version is None:
                version = yield from read_shards(
                    place, self._name, layout, wanted.shards, wanted.read
                )
                if version is None:
                    continue
                self._brought(layout.generation, wanted.shards, version)
            break
        self._version = version
        self._pushed = False
        self._recent.update(dict.fromkeys(wanted.shards))
        if self._count:
            own = self._sum(layout)
            values = wanted.values
            values += own if wanted.indices is None else own[wanted.indices]
        return wanted.pulled(version)

    def _here(self, place: Place, layout: Layout, wanted: Wanted) -> int | None:
        """Read from the copies, if they were brought to this stream; returns the version then.

        This process may have others, of any age.
        """
        if layout.generation != self._generation or not self._known.keys() >= {*wanted.shards}:
            return None
        if not REPLICAS.read(place.server, layout, wanted.shards, wanted.read):
            return None
        return min((self._known[shard] for shard in wanted.shards), default=self._version)

    def _brought(self, generation: str, shards: Sequence[int], version: int) -> None:
        if generation != self._generation:
            self._generation = generation
            self._known.clear()
        self._known.update(dict.fromkeys(shards, version))

    def add(self, place: Place, delta: object, indices: object) -> Steps[bool]:
        """Take a delta over; returns whether it is time to send.

        That depends on nothing but how many there are, so that another attempt at a call makes the
        same pushes.
        """
        layout = yield from place.layout(self._name)
        mine, at = matching(layout, Push(self._name, delta, indices))
        own = self._sum(layout) if self._every > 1 else None
        if not self._count:
            self._computed_from = self._version
        self._count += 1
        self._pushed = True
        if own is not None:
            self._include(own, mine, at)
            self._dense = self._dense or at is None
        if not self._dense:
            # Copies: the caller may use these arrays again.
            self._waiting.append((mine.copy(), None if at is None else at.copy()))
        return self._count >= self._every

    def send(self, place: Place, ticket: Ticket) -> Steps[None]:
        """Push what waits, and bring what others pushed."""
        delta, at = self._taken()
        self._known.clear()
        self._shards = [*self._recent][-BATCH_SHARDS:] or self._shards
        self._recent.clear()
        version, self._computed_from = self._computed_from, None
        what = Push(self._name, delta, at, None, version, self._most, reading=self._shards)
        pushed = yield from apply_push(place, what, ticket)
        if self._version is not None:
            self._version += 1  # what is one's own isn't stale
        if pushed.fresh:
            self._brought(pushed.generation, self._shards, pushed.version)

    def _taken(self) -> tuple[FloatArray, Indices | None]:
        """Return what waits, as one; from now on nothing does."""
        import numpy as np

        waiting, self._waiting = self._waiting, []
        self._count = 0
        own, layout = self._own, self._layout
        if self._dense and own is not None and layout is not None:
            self._own, self._dense = None, False
            return own.reshape(layout.shape), None
        if len(waiting) == 1 and own is None:
            return waiting[0]
        sparse = [at for _, at in waiting if at is not None]
        if own is not None:
            for at in sparse:
                own[at] = 0
        return np.concatenate([mine for mine, _ in waiting]), np.concatenate(sparse)

    def _sum(self, layout: Layout) -> FloatArray:
        """Return the sum of what waits."""
        import numpy as np

        known = self._layout
        if self._own is None or known is None or known.generation != layout.generation:
            own: FloatArray = np.zeros(layout.size, layout.dtype)
            waiting: list[tuple[FloatArray, Indices | None]] = self._waiting
            if self._dense and self._own is not None and known is not None:
                waiting = [(self._own.reshape(known.shape), None)]
            try:
                for delta, indices in waiting:
                    # Checked again: it may have been put anew, in another shape.
                    self._include(own, *matching(layout, Push(self._name, delta, indices)))
            except (TypeError, ValueError, IndexError):
                self._taken()  # told once: it never will
                raise
            self._own, self._layout = own, layout
        return self._own

    def _include(self, total: FloatArray, mine: FloatArray, at: Indices | None) -> None:
        import numpy as np

        with np.errstate(over="ignore", invalid="ignore"):
            if at is None:
                total += mine.reshape(-1)
            else:
                np.add.at(total, at, mine)
