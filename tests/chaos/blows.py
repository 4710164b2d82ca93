"""What befalls a driver: at a step of its own, at a request to the store, or at some time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from .proxy import Phase
from .steps import Deed, Fate, Role

if TYPE_CHECKING:
    from .nursery import Driver


@dataclass(frozen=True, slots=True)
class Shot:
    """The driver is killed at a request that it, or a worker, sends to the store.

    Attributes:
        request: which one of this run, from 1.
        phase: before or after it is carried out; it isn't answered.
    """

    request: int
    phase: Phase

    def __str__(self) -> str:
        return f"request:{self.request}:{self.phase}"


@dataclass(frozen=True, slots=True)
class Moment:
    """The driver is killed at some time.

    Attributes:
        seconds: after it has begun.
    """

    seconds: float

    def __str__(self) -> str:
        return f"time:{self.seconds:.4f}"


Blow: TypeAlias = Fate | Shot | Moment


def blow_of(text: str) -> Blow:
    """Read what `str` made of a blow.

    Raises:
        ValueError: it made nothing like this.
    """
    what, *rest = text.split(":")
    if what == "time":
        return Moment(float(rest[0]))
    if what == "request":
        return Shot(int(rest[0]), _one_of(Phase, rest[1]))
    return Fate(_one_of(Role, what), int(rest[0]), _one_of(Deed, rest[1]))


def _one_of(kind: Any, text: str) -> Any:
    if text not in get_args(kind):
        raise ValueError(f"{text!r} is none of {get_args(kind)}")
    return text


class Assassin:
    """Kills a driver at a request; give it to a `Proxy` as `on_step`."""

    def __init__(self) -> None:
        self.requests = 0
        self._shot: Shot | None = None
        self._driver: Driver | None = None

    def aim(self, shot: Shot | None) -> None:
        """Count anew, for the next driver."""
        self.requests = 0
        self._shot, self._driver = shot, None

    def find(self, driver: "Driver") -> None:
        """Know whom to kill."""
        self._driver = driver

    def __call__(self, _: int, phase: Phase) -> None:
        self.requests += phase == "before"
        shot = self._shot
        if shot is not None and (shot.request, shot.phase) == (self.requests, phase):
            assert self._driver is not None, "a request came before its driver"
            self._driver.kill()
