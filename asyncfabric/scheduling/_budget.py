"""How many attempts may be repeated because of failures that are nobody's."""

from __future__ import annotations

START = 10.0
SHARE = 0.5
"""Each call that ends well earns so many repetitions."""
MOST = 1000.0
"""As many are saved up at most: what an outage may cost a service that has run well for days."""


class Budget:
    """A token bucket for retries, as of gRPC's retry throttling (proposal A6).

    While up to a third of all attempts fail it is not spent, and a job with many faults comes to
    its end. When most do, repeating each would multiply the load on what is broken already: it
    grows by a half at most, and then failures are final.
    """

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left: float = START

    def earn(self, calls: int) -> None:
        """Know that some calls ended well."""
        if self.left < MOST:
            self.left = min(MOST, self.left + SHARE * calls)

    def spend(self) -> bool:
        """Take one repetition, if there is one left."""
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True
