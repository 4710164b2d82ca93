"""Where the objects of durable jobs lie.

    jobs/names/{name}                        the manifest, which names the job's area
    jobs/{area}/code/{digest}                the function and the archive, as they were stored
    jobs/{area}/lease/{epoch}                one for each driver there has been
    jobs/{area}/inputs/{segment}, .../ended  digests of the inputs, and how many there were
    jobs/{area}/done/{index}                 the one result of an input
    jobs/{area}/data/{index}/{execution}-{secret}    a large result, of whichever execution
    jobs/{area}/failed/{index}/{epoch}       that a call failed which nobody waited for
    jobs/{area}/left/{epoch}                 a driver has left all calls to events
    jobs/{area}/finished                     everything is done

An area has a random name of its own. So what a straggler of a discarded job still writes never
meets a new job of the same name, and all names are listed without walking through results.
"""

import re
from typing import cast

from ._errors import ConfigurationError

ROOT = "jobs"
NAMES = "names/"
CODE, LEASE, INPUTS, DONE, DATA = "code/", "lease/", "inputs/", "done/", "data/"
NOTES, LEFT = "failed/", "left/"
ENDED, FINISHED = "inputs/ended", "finished"

MAX_INDEX = 10**12 - 1
_DIGITS, _EPOCH_DIGITS, _SEGMENT_DIGITS = 12, 8, 8
_WIDTHS = {DONE: _DIGITS, LEASE: _EPOCH_DIGITS, INPUTS: _SEGMENT_DIGITS, LEFT: _EPOCH_DIGITS}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_AREA = re.compile(r"[0-9a-f]{32}\Z")
_DATA = re.compile(r"data/([0-9]{12})/([0-9a-f]{32})-[0-9a-f]{32}\Z")
_NOTE = re.compile(r"failed/([0-9]{12})/([0-9]{8})\Z")


def check_name(name: str) -> str:
    """Return the name of a job unchanged, if it may be one.

    Raises:
        ConfigurationError: it has other characters than ASCII letters, digits, `.`, `_` and `-`,
            does not begin with a letter or digit, or is longer than 100.
    """
    given = cast("object", name)
    if not isinstance(given, str) or not _NAME.match(given):
        shown = f"{given!r:.110}"
        msg = (
            f"a job can't be called {shown}; use up to 100 ASCII letters, digits, '.', '_' and "
            "'-', a letter or digit first: job='prices-2026-11'"
        )
        raise ConfigurationError(msg)
    return name


def is_area(text: str) -> bool:
    """Tell whether this can be the name of an area: 32 hexadecimal digits."""
    return _AREA.match(text) is not None


def done(index: int) -> str:
    """Return the place of an input's result."""
    return f"{DONE}{index:0{_DIGITS}d}"


def data(index: int, execution: str, secret: str) -> str:
    """Return the place of an execution's large result; 32 hexadecimal digits each."""
    return f"{DATA}{index:0{_DIGITS}d}/{execution}-{secret}"


def lease(epoch: int) -> str:
    """Return the place of a driver's lease."""
    return f"{LEASE}{epoch:0{_EPOCH_DIGITS}d}"


def note(index: int, epoch: int) -> str:
    """Return the place where it is noted that a call failed which a driver left to an event."""
    return f"{NOTES}{index:0{_DIGITS}d}/{epoch:0{_EPOCH_DIGITS}d}"


def left(epoch: int) -> str:
    """Return the place where a driver says that it has left all calls to events."""
    return f"{LEFT}{epoch:0{_EPOCH_DIGITS}d}"


def segment(number: int) -> str:
    """Return the place of a segment of the inputs' digests."""
    return f"{INPUTS}{number:0{_SEGMENT_DIGITS}d}"


def number_in(place: str, folder: str) -> int | None:
    """Return the number that a place in a folder is named by; None if it isn't spelt as ours."""
    digits = place[len(folder) :] if place.startswith(folder) else ""
    width = _WIDTHS[folder]
    return int(digits) if len(digits) == width and digits.isascii() and digits.isdigit() else None


def execution_in(place: str) -> tuple[int, str] | None:
    """Return index and execution of a large result's place; None if it isn't spelt as ours."""
    found = _DATA.match(place)
    return (int(found[1]), found[2]) if found else None


def noted_in(place: str) -> tuple[int, int] | None:
    """Return index and epoch of a note's place; None if it isn't spelt as ours."""
    found = _NOTE.match(place)
    return (int(found[1]), int(found[2])) if found else None


def noting_epoch(place: str) -> int | None:
    """Return the epoch of a note, or of what says that calls were left; None if it is neither."""
    noted = noted_in(place)
    return number_in(place, LEFT) if noted is None else noted[1]
