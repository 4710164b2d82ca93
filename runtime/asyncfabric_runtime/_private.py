"""What of an envelope must not lie in a store, where others may read it.

A large envelope travels through the store, and the invocation names it. The environment of the
calls, and what they seal their results with, stay in the invocation itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._claims import envelope_agrees
from ._envelope import Envelope, Plan, Seals
from ._wire import WireError, dump_head, load_head

if TYPE_CHECKING:
    from asyncfabric_storage._buffers import Buffer


def parted(envelope: Envelope) -> tuple[Envelope, bytes | None]:
    """Return an envelope without what is private, and that apart; None where there is nothing."""
    plan, seals = envelope.plan, envelope.seals
    if plan.env is None and seals is None:
        return envelope, None
    env = None if plan.env is None else dict(plan.env)
    bare = Envelope(
        plan if env is None else plan.with_env(None),
        envelope.flight,
        envelope.indices,
        envelope.attempts,
        envelope.inputs,
        envelope.refs,
        envelope.segments,
        envelope.attachments,
    )
    return bare, dump_head((env, None if seals is None else tuple(seals)))


def rejoin(envelope: Envelope, private: Buffer) -> None:
    """Put back what `parted` took. Raises `WireError`."""
    try:
        env, seals = load_head(private)
        if env is not None:
            # By its bytes, so that all invocations of a fan-out have the same one.
            envelope.plan = Plan.unpacked(envelope.plan.with_env(env).packed())
        envelope.seals = None if seals is None else Seals(*seals)
        if envelope_agrees(envelope):
            return
        error: Exception = ValueError("its parts don't agree with the stored envelope")
    except (TypeError, ValueError, LookupError) as raised:
        error = raised
    msg = f"what came beside a stored envelope has another shape than this worker knows: {error}"
    raise WireError(msg) from error
