"""Surveys and archives, made once and used again while the files are what they were."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric._exceptions import FabricError

from ._archive import build_archive
from ._survey import is_current, survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ._archive import Archive
    from ._compiled import Target
    from ._survey import Survey

FRESH_SECONDS = 1.0
"""Files are looked at again when the last look was longer ago than this."""
_KEPT = 256

_log = logging.getLogger("asyncfabric.shipping")


class Parcel(NamedTuple):
    """What goes with some functions to the workers.

    Attributes:
        survey: what they need.
        archive: the user's own packages; None if they need none.
    """

    survey: Survey
    archive: Archive | None


class _Kept(NamedTuple):
    parcel: Parcel
    looked: float


class Parcels:
    """The parcels of one Fabric, by the digests of the functions.

    Packages that went into one archive go into the next ones too: calls of several functions then
    share one archive, and warm workers needn't change between them.
    """

    def __init__(
        self,
        target: Target,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._include = tuple(include)
        self._exclude = tuple(exclude)
        self._clock = clock
        self._kept: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()
        self._packed: tuple[Survey, Archive] | None = None
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def ready(self, digests: Sequence[str]) -> Parcel | None:
        """Return the parcel, if it was made or looked at less than a second ago. Does no IO."""
        kept = self._kept.get(tuple(digests))
        if kept is None or self._clock() - kept.looked > FRESH_SECONDS:
            return None
        archive, packed = kept.parcel.archive, self._packed
        if archive is None or (packed is not None and packed[1] is archive):
            return kept.parcel
        return None  # there is a newer archive

    def prepare(self, functions: Mapping[str, Callable[..., Any]]) -> Parcel:
        """Return the parcel for functions, by digest. Reads files: call it in a thread.

        Raises what `survey` and `build_archive` raise.
        """
        key = tuple(functions)
        with self._lock:
            kept = self._kept.pop(key, None)
            if kept is not None and self._is_current(kept.parcel.survey):
                found = kept.parcel.survey
            else:
                found = self._survey(functions.values())
            parcel = Parcel(found, self._pack(found) if found.files else None)
            self._kept[key] = _Kept(parcel, self._clock())
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return parcel

    def _survey(self, functions: Iterable[Callable[..., Any]]) -> Survey:
        return survey(list(functions), include=self._include, exclude=self._exclude)

    def _is_current(self, found: Survey) -> bool:
        try:
            return is_current(found, include=self._include, exclude=self._exclude)
        except FabricError:
            return False  # what is wrong now is said by the next survey

    def _pack(self, found: Survey) -> Archive:
        """Return an archive with all that a survey found, the last one if it has it all."""
        packed = self._packed
        wanted = found
        if packed is not None and self._is_current(packed[0]):
            if _covers(packed[0], found):
                return packed[1]
            wanted = found.joined(packed[0])
        try:
            archive = build_archive(wanted, self._target)
        except FabricError:
            if wanted is found:
                raise
            wanted = found  # perhaps the trouble is with what only other functions need
            archive = build_archive(wanted, self._target)
        self._packed = wanted, archive
        self._tell(archive.withheld)
        return archive

    def _tell(self, withheld: tuple[str, ...]) -> None:
        news = [name for name in withheld if name not in self._told]
        if news:
            self._told.update(news)
            _log.warning(
                "files that look like secrets stay here and are not sent to workers: %s; pass what "
                "calls need of them as arguments",
                ", ".join(news),
            )


def _covers(packed: Survey, found: Survey) -> bool:
    return set(packed.files).issuperset(found.files)
