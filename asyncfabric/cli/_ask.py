"""Questions before something is deleted."""

from __future__ import annotations

import signal
import sys

from ._say import complain, say


def agreed(question: str) -> bool:
    """Ask at the terminal; no where there is none, or for any answer but y."""
    if not sys.stdin.isatty():
        complain("nobody can be asked here; give --yes")
        return False
    # While asyncio runs it only takes note of Ctrl-C, and nobody would look at that note here.
    taking_note = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:  # Ctrl-D
        say()
        return False
    finally:
        signal.signal(signal.SIGINT, taking_note)
    return answer.strip().lower() == "y"
