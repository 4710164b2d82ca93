"""The names of everything in Redis.

All keys of a server have one hash tag, so that a script may touch them all on a cluster too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._layout import Layout


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one parameter server: `{prefix:name}:...`."""

    root: str

    @classmethod
    def of(cls, prefix: str, name: str) -> Keys:
        """Return the keys of the server of this name."""
        return cls(f"{{{prefix}:{name}}}")

    @property
    def catalog(self) -> str:
        """A hash: parameter -> layout."""
        return f"{self.root}:catalog"

    @property
    def seen(self) -> str:
        """A hash: token of a call -> number of its last push; when full, it becomes the next."""
        return f"{self.root}:seen"

    @property
    def seen_before(self) -> str:
        """What was seen earlier."""
        return f"{self.root}:seen-before"

    def staged(self, token: str) -> str:
        """Where `seen` is written, under random text, before a restore puts it in force."""
        return f"{self.root}:staged:{token}"

    def aside(self, token: str, shard: int) -> str:
        """Where a large push's part for a shard lies before it is added."""
        return f"{self.root}:aside:{token}:{shard}"

    def staleness(self, name: str) -> str:
        """A hash: pushes between pull and push -> how often."""
        return f"{self.root}:staleness:{name}"

    def state(self, name: str, layout: Layout) -> str:
        """A hash of counters; see `_scripts`."""
        return f"{self.root}:p:{layout.generation}:{name}"

    def base(self, name: str, layout: Layout, shard: int) -> str:
        """A string: a shard's elements as they were at some point of its log."""
        return f"{self.root}:p:{layout.generation}:{name}:{shard}"

    def log(self, name: str, layout: Layout, shard: int) -> str:
        """A list: the shard's latest pushes."""
        return f"{self.root}:p:{layout.generation}:{name}:{shard}:log"

    def all_of(self, name: str, layout: Layout) -> list[str]:
        """Every key of a parameter's generation."""
        keys = [self.state(name, layout)]
        for shard in range(layout.shards):
            keys += self.base(name, layout, shard), self.log(name, layout, shard)
        return keys
