"""Values made out of bytes, so that every engine can reach what lies behind a parser's syntax."""

from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

_NUMBERS = (0, 1, -1, 2, 255, 2**31, 2**32, 10**12, 2**63, 2**64, 10**30, -(2**63))
_FLOATS = (0.0, -0.0, 1.5, -1.0, 1e308, float("inf"), float("-inf"), float("nan"), 1e-320)
_TEXTS = ("", "a", "../x", "\0", "done/000000000007", "ä" * 3, "\ud800", "0" * 64, "job", "1" * 40)


class Drawn:
    """Bytes to draw decisions from; when they are used up, all decisions are the first choice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """Draw 0 to 255."""
        if self._at >= len(self._data):
            return 0
        self._at += 1
        return self._data[self._at - 1]

    def below(self, limit: int) -> int:
        """Draw a number from 0 to below the limit, which is 65536 at most."""
        return ((self.byte() << 8 | self.byte()) if limit > 256 else self.byte()) % limit

    def choice(self, choices: Sequence[T]) -> T:
        """Draw one of several."""
        return choices[self.below(len(choices))]

    def some(self) -> bytes:
        """Draw a few bytes."""
        size = self.below(40)
        self._at += size
        return self._data[self._at - size : self._at]

    def rest(self) -> bytes:
        """Take all that is left."""
        rest, self._at = self._data[self._at :], len(self._data)
        return rest

    def plain(self, depth: int = 3) -> Any:  # noqa: C901, PLR0911 - a table of kinds
        """Draw a value of plain data."""
        kind = self.below(12 if depth else 8)
        match kind:
            case 0:
                return None
            case 1:
                return self.byte() < 128
            case 2:
                return self.byte()
            case 3:
                return self.choice(_NUMBERS)
            case 4:
                return self.choice(_FLOATS)
            case 5:
                return self.choice(_TEXTS)
            case 6:
                return self.some()
            case 7:
                return self.some().decode("latin-1")
            case 8:
                return [self.plain(depth - 1) for _ in range(self.below(5))]
            case 9 | 10:
                return tuple(self.plain(depth - 1) for _ in range(self.below(5)))
            case _:
                keys = [self.choice((*_TEXTS, 0, 1, 7, -1)) for _ in range(self.below(4))]
                return {key: self.plain(depth - 1) for key in keys}

    def changed(self, value: Any) -> Any:
        """Return plain data like this, with a part of it drawn anew, added, left out or doubled."""
        how = self.below(8)
        if how == 0 or not isinstance(value, tuple | list | dict) or not value:
            return self.plain()
        if isinstance(value, dict):
            whole: dict[Any, Any] = dict(value)  # pyright: ignore[reportUnknownArgumentType]
            name = self.choice(sorted(whole, key=repr))
            if how == 1:
                del whole[name]
            elif how == 2:
                whole[self.choice((*_TEXTS, 3))] = self.plain()
            else:
                whole[name] = self.changed(whole[name])
            return whole
        items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        place = self.below(len(items))
        if how == 1:
            del items[place]
        elif how == 2:
            items.insert(place, self.plain())
        else:
            items[place] = self.changed(items[place])
        return tuple(items) if isinstance(value, tuple) else items
