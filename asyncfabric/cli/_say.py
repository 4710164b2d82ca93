"""What the command says, and where."""

from __future__ import annotations

import sys


def say(text: object = "") -> None:
    """Write a line of the answer."""
    print(text)  # noqa: T201 - a command answers by printing


def complain(text: object) -> None:
    """Write a line that isn't the answer: an error, a warning, a note."""
    print(text, file=sys.stderr)  # noqa: T201 - as above


def warn(text: object) -> None:
    """Write a warning."""
    complain(f"warning: {text}")
