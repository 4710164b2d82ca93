"""What workers do when Python values are sorted by key."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any

from asyncfabric_storage import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SAMPLED_KEYS = 1024
"""Of an item, about."""


class SampleKeys:
    """Returns the keys of some of an item's values, evenly spread."""

    def __init__(
        self, function: Callable[[Any], Iterable[Any]], key: Callable[[Any], Any] | None
    ) -> None:
        update_wrapper(self, function)  # its name, and the options that ride on it
        self.function = function
        self._key = key

    def __call__(self, item: object) -> list[Any]:
        """Run the function to its end: values of a sorted item are not like its first ones."""
        keys: list[Any] = []
        step = 1
        for number, value in enumerate(_values(self.function, item)):
            if number % step:
                continue
            keys.append(_key_of(value, self._key))
            if len(keys) == 2 * SAMPLED_KEYS:
                del keys[1::2]
                step *= 2
        return keys


class DealValues:
    """Gives each of an item's values the number of the partition that its key belongs to.

    A key belongs behind as many splitters as are not above it.
    """

    def __init__(
        self,
        function: Callable[[Any], Iterable[Any]],
        key: Callable[[Any], Any] | None,
        splitters: Sequence[Any],
    ) -> None:
        update_wrapper(self, function)
        self.function = function
        self._key = key
        self._splitters = splitters

    def __call__(self, item: object) -> Iterator[tuple[int, Any]]:
        """Yield pairs for a shuffle's mapper."""
        key, splitters = self._key, self._splitters
        for value in _values(self.function, item):
            yield bisect_right(splitters, _key_of(value, key)), value


class SortValues:
    """Sorts the values of a partition; those of one key stay in their order."""

    def __init__(self, key: Callable[[Any], Any] | None) -> None:
        self._key = key
        self.__name__ = self.__qualname__ = "sort_by"

    def __call__(self, _: int, values: Iterator[Any]) -> Iterator[Any]:
        """Return them as a shuffle's results."""
        return iter(sorted(values, key=self._key))


def _values(function: Callable[[Any], Any], item: object) -> Iterable[Any]:
    values: Iterable[Any] = function(item)
    returned: Any = values
    if not isinstance(returned, Iterable):
        name = getattr(function, "__name__", type(function).__name__)
        msg = (
            f"{name} has to give values, and it returned {values!r:.80}; return a list, or make it "
            "a generator"
        )
        raise TypeError(msg)
    return values


def _key_of(value: Any, key: Callable[[Any], Any] | None) -> Any:  # noqa: ANN401 - the user's
    found = value if key is None else key(value)
    if found != found:  # noqa: PLR0124 - only NaN does
        msg = (
            f"{value!r:.80} has NaN for its key, which has no place in an order; leave such values "
            "out, or give a key that puts them somewhere"
        )
        raise ConfigurationError(msg)
    return found
