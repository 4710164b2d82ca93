"""The reducer's half of a shuffle: some partitions of all the mappers' objects, merged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from asyncfabric_runtime import Ref
from asyncfabric_runtime._blame import blame
from asyncfabric_runtime._context import current
from asyncfabric_runtime._errors import SerializationError
from asyncfabric_runtime._packing import pack_object
from asyncfabric_storage import digest, object_key

from ._blocking import store_for_blocking, write
from ._blocks import Reader
from ._runs import MOST_RUNS, Runs
from ._table import Table
from ._task import Task, pieces_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from ._groups import Groups
    from ._mapper import Exchange
    from ._task import Packed


class Reducer:
    """What `fabric.map` runs on each task of a shuffle; returns the results of each partition."""

    def __init__(
        self,
        function: Callable[[Any, Iterator[Any]], Any],
        exchange: Exchange,
        output: str | None = None,
    ) -> None:
        self.function = function
        self.output = output
        self._exchange = exchange
        self.__name__: str = getattr(function, "__name__", type(function).__name__)
        self.__qualname__: str = self.__name__

    def __call__(self, packed: Packed) -> list[Any]:
        """Read, merge and reduce; return each partition's results, or a `Ref` to them."""
        task = Task(*packed)
        exchange = self._exchange
        store = store_for_blocking(current().store.url)
        memory = exchange.memory // 16
        with closing(pieces_of(task, store, exchange.prefix, memory)) as pieces:
            if task.length == 1:
                return [self._given(self._reduce(_in_pieces(exchange, task, pieces)))]
            mappers = _whole(pieces)
        return [
            self._given(self._reduce(_of_mappers(exchange, task, mappers, place)))
            for place in range(task.length)
        ]

    def _given(self, results: list[Any]) -> list[Any] | Ref[list[Any]]:
        """Return the results, or leave them at the output."""
        if self.output is None:
            return results
        try:
            pieces = pack_object(results)
        except Exception as error:
            what = f"the result of {self.__name__}"
            raise SerializationError(blame(what, results, error)) from error
        name = digest(pieces)
        store = store_for_blocking(self.output)
        write(store, object_key(name), pieces, self._exchange.memory // 2)
        return Ref(name, sum(memoryview(piece).nbytes for piece in pieces), store.url)

    def _reduce(self, blocks: Iterable[Groups]) -> list[Any]:
        exchange = self._exchange
        table = Table(exchange.combine)
        runs = Runs(exchange.combine)
        found: list[Any] = []
        with closing(runs):
            for groups in blocks:
                table.merge(groups)
                if table.bytes > exchange.memory // 2:
                    runs.add(table.drain(), table.worth(exchange.memory // 4 // MOST_RUNS))
            if len(runs):
                runs.add(table.drain(), table.worth(exchange.memory // 4 // MOST_RUNS))
                merged = runs.merge()
            else:
                merged = _emptied(table.drain(), combined=exchange.combine is not None)
            kind: Any = None
            several = False
            for key, values in merged:
                result = self.function(key, values)
                if type(result) is not kind:  # mostly it is the same for all keys
                    kind = cast("Any", type(result))
                    several = issubclass(kind, Iterator)
                if several:
                    found.extend(result)
                else:
                    found.append(result)
        return found


def _emptied(groups: dict[Any, Any], *, combined: bool) -> Iterator[tuple[Any, Iterator[Any]]]:
    for key, value in groups.items():
        yield key, iter((value,) if combined else value)


def _in_pieces(
    exchange: Exchange, task: Task, pieces: Iterable[tuple[int, memoryview]]
) -> Generator[Groups]:
    """Yield the blocks of one partition, as they come."""
    number, reader = -1, None
    for of, data in pieces:
        if of != number:
            if reader is not None:
                reader.end()
            number, reader = of, Reader(exchange.seal(task.names[of]), task.first)
        assert reader is not None  # noqa: S101 - made for the first piece
        yield from reader.feed(data)
    if reader is not None:
        reader.end()


def _whole(pieces: Iterable[tuple[int, memoryview]]) -> dict[int, memoryview]:
    parts: dict[int, list[memoryview]] = {}
    for number, data in pieces:
        parts.setdefault(number, []).append(data)
    return {
        number: found[0] if len(found) == 1 else memoryview(b"".join(found))
        for number, found in parts.items()
    }


def _of_mappers(
    exchange: Exchange, task: Task, mappers: dict[int, memoryview], place: int
) -> Generator[Groups]:
    """Yield the blocks of one of several partitions."""
    rows = task.rows()
    for number, data in mappers.items():
        row = rows[number]
        start, end = row[place] - row[0], row[place + 1] - row[0]
        if start < end:
            reader = Reader(exchange.seal(task.names[number]), task.first + place)
            yield from reader.feed(data[start:end])
            reader.end()
