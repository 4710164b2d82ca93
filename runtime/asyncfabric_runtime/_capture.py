"""What user code prints and logs: shown where the worker's output goes, and kept for its call.

Kept text is bounded: the first and the last half of the limit survive.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

LIMIT = 64 * 1024


class Transcript:
    """The text of one call, at most `LIMIT` characters of it."""

    __slots__ = ("_dropped", "_head", "_room", "_tail", "_tail_size")

    def __init__(self) -> None:
        self._head: list[str] = []
        self._tail: list[str] = []
        self._room = LIMIT // 2
        self._tail_size = 0
        self._dropped = 0

    def write(self, text: str) -> None:
        """Add text; what exceeds the limit falls out of the middle."""
        if self._room:
            taken, text = text[: self._room], text[self._room :]
            self._room -= len(taken)
            self._head.append(taken)
        if not text:
            return
        self._tail.append(text)
        self._tail_size += len(text)
        if self._tail_size > LIMIT:
            self._trim()

    def _trim(self) -> None:
        text = "".join(self._tail)
        kept = text[-(LIMIT // 2) :]
        self._dropped += len(text) - len(kept)
        self._tail, self._tail_size = [kept], len(kept)

    def text(self) -> str:
        """Join what was kept, with a mark where something is missing."""
        if self._tail_size > LIMIT // 2:
            self._trim()
        gap = f"\n[... {self._dropped} characters left out ...]\n" if self._dropped else ""
        return "".join(self._head) + gap + "".join(self._tail)


class Tee:
    """A text stream that writes through to the real one and into the running call's transcript.

    Where the real stream can't be written to any more (user code closed it, or what read it has
    gone) the text is only kept: a call doesn't fail for another one's `sys.stdout.close()`.
    """

    def __init__(self, stream: TextIO | None, find: Callable[[], Transcript | None]) -> None:
        self._stream = stream
        self._find = find

    def write(self, text: str) -> int:
        """Write through, and keep the text if a call is running."""
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] # user code's
            msg = f"write() argument must be str, not {type(text).__name__}"
            raise TypeError(msg)
        transcript = self._find()
        if transcript is not None:
            transcript.write(text)
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write every line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the real stream."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the real stream's attribute
        return getattr(self._stream, name)
