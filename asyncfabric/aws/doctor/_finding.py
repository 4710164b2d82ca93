"""What a check finds."""

from __future__ import annotations

from typing import Literal, NamedTuple

Status = Literal["ok", "warning", "failed", "unknown"]


class Finding(NamedTuple):
    """The result of one check."""

    check: str
    status: Status
    """`unknown`: it couldn't be asked, which is no error."""
    says: str
    advice: str = ""
    """What to do next; empty where all is well."""

    def __str__(self) -> str:
        text = f"{self.status:8} {self.check}: {self.says}"
        return f"{text}\n{'':8} -> {self.advice}" if self.advice else text
