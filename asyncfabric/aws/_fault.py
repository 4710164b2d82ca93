"""What went wrong with an invocation, in the words that decide what happens next."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from ._family import Member
from ._missing import deploy_command

Kind: TypeAlias = Literal["throttle", "transient", "ambiguous", "terminal", "payload", "function"]


class Fault(NamedTuple):
    """Why an invocation gave no good answer.

    `kind` is one of

    - throttle: the service didn't start it; try again later, at no cost to the call;
    - transient: it didn't run; try again;
    - ambiguous: it may have run, or be running;
    - terminal: no other attempt will fare better, nor any other call's;
    - payload: this call's input or result can't be carried;
    - function: it ran, and its worker died.
    """

    kind: Kind
    code: str
    """AWS's name of the error, or the transport's for what never got an answer."""
    reason: str
    """For throttles, which limit it was; else empty."""
    message: str
    """That of `error`."""
    retry_after: float | None
    """Seconds to wait, where the service said so."""
    request_id: str
    error: Exception
    """What the user may come to see."""


class Place(NamedTuple):
    """What was invoked, and where: for advice."""

    function: str
    region: str
    endpoint: str

    def command(self, name: str) -> str:
        """Return `asyncfabric deploy` or the like, with what it needs to mean this function."""
        known = Member.parse(self.function)
        if known is None:
            return f"asyncfabric {name} --region {self.region}"
        deploy = deploy_command(known, self.region)
        return f"asyncfabric {name}{deploy.removeprefix('asyncfabric deploy')}"

    def __str__(self) -> str:
        return f"{self.function} in {self.region}"


def compose(what: str, request_id: str, advice: str, log: str = "") -> str:
    """Return a message: what happened, the request's id, the end of the log, what to do next."""
    if request_id:
        what = f"{what} (request id {request_id})"
    if log:
        quoted = "\n".join(f"    {line}" for line in log.rstrip().splitlines())
        return f"{what}\nThe end of the function's log:\n{quoted}\n{advice}"
    return f"{what}; {advice}"
