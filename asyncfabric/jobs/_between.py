"""What the workers of one stage leave for those of the next: whose it is, and what is nobody's.

    {room}/{32 hex digits}/{name}

It is not below `jobs/`, where it would live as long as the job's name: it is as large as the data.
Where a shuffle or a reduction is a job, the digits are made from its name; else they are random.
Mappers write first, so it belongs to the job of the first stage, `NAME.map`.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import datetime

    from asyncfabric_storage import ObjectInfo, ObjectStore

FIRST = ".map"
"""The end of the name of a first stage's job."""

_OF_JOBS = ("reduce", "shuffle")
_ROOMS = (*_OF_JOBS, "sort")
_PLACE = re.compile(r"[a-z]+/[0-9a-f]{32}/")


def place_of(room: str, name: str) -> str:
    """Return the prefix of what belongs to a job of stages, given the name of the whole."""
    return f"{room}/{sha256(name.encode()).hexdigest()[:32]}/"


def places_of_job(name: str) -> list[str]:
    """Return the prefixes of what belongs to a job, given its own name; most have none."""
    if not name.endswith(FIRST):
        return []
    return [place_of(room, name.removesuffix(FIRST)) for room in _OF_JOBS]


async def unowned(
    store: ObjectStore, names: Iterable[str], before: datetime
) -> AsyncIterator[list[ObjectInfo]]:
    """Yield what belongs to no job, place by place; only where all of it is older than `before`.

    Args:
        store: where it is.
        names: of all jobs that there are.
        before: what is younger may belong to work under way.
    """
    owned = {place for name in names for place in places_of_job(name)}
    for room in _ROOMS:
        place = ""
        found: list[ObjectInfo] = []
        async for info in store.list(f"{room}/"):
            spelt = _PLACE.match(info.key)
            here = spelt[0] if spelt else ""
            if here != place:
                if found and all(each.modified <= before for each in found):
                    yield found
                place, found = here, []
            if here and here not in owned:
                found.append(info)
        if found and all(each.modified <= before for each in found):
            yield found
