"""All targets: what each is given, and valid messages to begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import driver_targets, http_targets, stored_targets, wire_targets

if TYPE_CHECKING:
    from collections.abc import Callable


class Target(NamedTuple):
    """A parser under fuzzing.

    Attributes:
        run: takes any bytes; raises only where a law is broken.
        seeds: what it is given unchanged at first; changed ones follow.
        cheap: a run takes well below a millisecond.
    """

    run: Callable[[bytes], None]
    seeds: list[bytes]
    cheap: bool = True


_HEADS = [bytes(memoryview(each.to_frame()[0]))[24:] for each in (
    wire_targets.envelopes()[0], wire_targets.outcomes()[0], wire_targets.outcomes()[3]
)]  # fmt: skip
_DRAWN = [b"\0" + head for head in _HEADS] + [bytes([1, *range(i, i + 40)]) for i in range(40)]
_STREAM = b"".join(wire_targets.frames()[2:])

TARGETS: dict[str, Target] = {
    "frame": Target(wire_targets.frame, wire_targets.frames()),
    "envelope": Target(
        wire_targets.envelope, [*_DRAWN, *(bytes([2, *range(i, 99)]) for i in range(20))]
    ),
    "outcome": Target(wire_targets.outcome, _DRAWN),
    "stream": Target(
        wire_targets.stream,
        [b"\0" + _STREAM, b"\3\x10\x20\x30" + _STREAM]
        + [b"\0" + frame for frame in wire_targets.frames()],
    ),
    "commands": Target(wire_targets.commands, [b"\0" + frame for frame in wire_targets.frames()]),
    "http": Target(http_targets.http, [b"\0" + each for each in http_targets.REPLIES]),
    "reply": Target(http_targets.reply, http_targets.bodies()),
    "refusal": Target(http_targets.refusal, [each.encode() for each in http_targets.REFUSALS]),
    "data": Target(driver_targets.values, driver_targets.packed()),
    "answers": Target(
        driver_targets.answers,
        [bytes([*range(i, i + 60)]) for i in range(20)],
        cheap=False,
    ),
    "record": Target(
        stored_targets.record,
        stored_targets.records() + [bytes([1, *range(i, i + 40)]) for i in range(40)],
    ),
    "names": Target(
        stored_targets.names, [b"1.2.3.4.5.6", b"000000000007", b"data/000000000007/" + b"a" * 32]
    ),
    "archive": Target(stored_targets.archive, stored_targets.zips(), cheap=False),
    "event": Target(
        stored_targets.event,
        stored_targets.events() + [bytes([1, *range(i, i + 30)]) for i in range(12)],
        cheap=False,
    ),
}
