"""What simulated calls print is kept for them, and not shown: it is another machine's."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asyncfabric_runtime._capture import Tee
from asyncfabric_runtime._context import running_transcript

if TYPE_CHECKING:
    from collections.abc import Generator


class _Kept(Tee):
    """Lets through what no call prints."""

    def write(self, text: str) -> int:
        transcript = running_transcript()
        if transcript is None:
            return super().write(text)
        transcript.write(text)
        return len(text)


@contextmanager
def output_kept() -> Generator[None]:
    """Keep what calls print and log, for as long as this lasts."""
    real = sys.stdout, sys.stderr
    kept = _Kept(real[0], running_transcript), _Kept(real[1], running_transcript)
    sys.stdout, sys.stderr = kept
    try:
        yield
    finally:
        # A stream that user code has put there meanwhile stays.
        if sys.stdout is kept[0]:
            sys.stdout = real[0]
        if sys.stderr is kept[1]:
            sys.stderr = real[1]
