"""Random numbers: a stream for each concern, all from one seed."""

from __future__ import annotations

from random import Random


class Chances:
    """Streams of random numbers, by name.

    Each concern draws from a stream of its own, so that one more draw of one kind leaves those of
    the others as they were.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._streams: dict[str, Random] = {}

    def stream(self, concern: str) -> Random:
        """Return the stream of a concern; always the same one."""
        stream = self._streams.get(concern)
        if stream is None:
            # By text: seeding with a tuple would go by its hash, which differs among processes.
            stream = self._streams[concern] = Random(f"{self._seed}:{concern}")  # noqa: S311
        return stream
