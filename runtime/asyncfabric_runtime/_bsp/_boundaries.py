"""Where the first record at or behind a byte begins: the same answer whoever asks.

A record begins at the start of the object, and behind every delimiter. So two workers that read
neighbouring ranges find the same boundary between their records, without a word to each other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._records import Rule

    Read = Callable[[int, int], Awaitable[memoryview]]

PROBE_BYTES = 64 * 1024
"""The first look; each further one is twice as long."""
LONGEST_PROBE_BYTES = 8 * 1024 * 1024


async def boundary(read: Read, rule: Rule, target: int, limit: int) -> int:
    """Return where the first record at or behind `target` begins, or `limit` if none does before.

    Args:
        read: returns the bytes of a range.
        rule: how the records are cut; by a delimiter.
        target: a place in the object.
        limit: not looked at from here on.
    """
    if target == 0:
        return 0
    length = len(rule.delimiter)
    if rule.overlaps:
        return await _behind_overlapping(read, rule.delimiter, target, limit)
    pattern = re.compile(re.escape(rule.delimiter))
    start, step = max(0, target - length), PROBE_BYTES
    while start < limit:
        end = min(limit, start + step)
        found = pattern.search(await read(start, end))
        if found is not None:
            return start + found.end()
        if end == limit:
            break
        start, step = end - length + 1, min(2 * step, LONGEST_PROBE_BYTES)
    return limit


async def _behind_overlapping(read: Read, delimiter: bytes, target: int, limit: int) -> int:
    """Do the same for a delimiter that can begin within another one.

    Read from the start of the object, the first of two that overlap is a delimiter and the second
    is none. From the middle that can be told only where a chain of them begins: where one has none
    before it that it overlaps with. So it looks back until it finds such a place.
    """
    length = len(delimiter)
    begin = max(0, target - length)
    while True:
        look_from = max(0, begin - PROBE_BYTES)
        window = bytes(await read(look_from, begin + 2 * length))
        chain = _chain_start(window, delimiter, begin - look_from, whole=look_from == 0)
        if chain is not None:
            break
        begin = look_from + length
    place = look_from + chain
    step = PROBE_BYTES
    while place < limit:
        end = min(limit, place + step)
        data = bytes(await read(place, end))
        at = 0
        while (found := data.find(delimiter, at)) >= 0:
            at = found + length
            if place + at >= target:
                return place + at
        if end == limit:
            break
        place, step = max(place + at, end - length + 1), min(2 * step, LONGEST_PROBE_BYTES)
    return limit


def _chain_start(window: bytes, delimiter: bytes, before: int, *, whole: bool) -> int | None:
    """Return the last place at or before `before` that no earlier delimiter reaches into.

    None if the window is too short to tell; `whole`: it begins with the object.
    """
    length = len(delimiter)
    place = before
    while True:
        found = window.rfind(delimiter, max(0, place - length + 1), place + length - 1)
        if found < 0 or found >= place:
            return place if whole or place >= length - 1 else None
        if found == 0:
            return 0 if whole else None
        place = found
