"""One parameter server as its operations see it: where it is and what is known of it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from ._layout import Layout
from ._replica import REPLICAS
from ._steps import ask, not_found

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._address import Address
    from ._keys import Keys
    from ._steps import Steps

_KNOWN: Final = 4096
_layouts: OrderedDict[tuple[str, str], Layout] = OrderedDict()
"""What this process knows of catalogs. It may be out of date: every script is told what its caller
believes, and says when that is no longer so."""


@dataclass(frozen=True)
class Place:
    """A server's address and keys."""

    address: Address
    keys: Keys

    @cached_property
    def server(self) -> str:
        """Names this server's data among all that the process has to do with."""
        return f"{self.address.identity} {self.keys.root}"

    def layout(self, name: str) -> Steps[Layout]:
        """Look up where a parameter lies. Raises `ParameterNotFound`."""
        known = _layouts.get((self.server, name))
        if known is not None:
            return known
        (found,) = yield from self.look_up([name])
        if found is None:
            raise not_found(name)
        return found

    def look_up(self, names: Iterable[str]) -> Steps[list[Layout | None]]:
        """Ask Redis where parameters lie; None for those that it hasn't got."""
        answer = yield from ask(("HMGET", self.keys.catalog, *names))
        found = [None if text is None else Layout.read(text) for text in answer.replies[0]]
        for name, layout in zip(names, found, strict=True):
            if layout != _layouts.get((self.server, name)):
                self.forget(name)
            if layout is not None:
                _layouts[self.server, name] = layout
        while len(_layouts) > _KNOWN:
            _layouts.popitem(last=False)
        return found

    def forget(self, name: str) -> None:
        """Look it up again next time; copies of what it was until now are of no more use."""
        known = _layouts.pop((self.server, name), None)
        if known is not None:
            REPLICAS.drop(self.server, known.generation)

    def names(self) -> Steps[list[str]]:
        """Ask which parameters there are, in alphabetical order."""
        answer = yield from ask(("HKEYS", self.keys.catalog))
        return sorted(key.decode() for key in answer.replies[0])
