"""Envelopes made by hand, and outcomes taken apart, always by way of the wire."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from asyncfabric_runtime import Envelope, Outcome, Plan
from asyncfabric_runtime._envelope import Convention
from asyncfabric_runtime._invocation import Invocation
from asyncfabric_runtime._packing import pack_object
from asyncfabric_runtime._process import Process
from asyncfabric_runtime._values import Encoded, decode_value, encode_value
from asyncfabric_runtime._wire import PREFIX, parse_prefix, split
from asyncfabric_storage import digest

if TYPE_CHECKING:
    from asyncfabric_storage._buffers import Buffer


def packed(value: object) -> tuple[str, bytes]:
    """Return a value's digest and its bytes as one stored object."""
    data = b"".join(bytes(piece) for piece in pack_object(value))
    return digest(data), data


def frame_bytes(frame: "Sequence[Buffer]") -> bytearray:
    """Return a frame as it stands in a stream."""
    return bytearray(b"".join(bytes(memoryview(piece)) for piece in frame))


def read_frame(data: bytearray) -> tuple[int, list[memoryview]]:
    """Read one whole frame."""
    kind, count, size = parse_prefix(data[: PREFIX.size])
    body = memoryview(data)[PREFIX.size :]
    assert len(body) == size
    return kind, split(body, count)


def envelope_for(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    *,
    convention: Convention = "one",
    initializer: Callable[[], object] | None = None,
    refs: Sequence[str] = (),
    flight: int = 7,
    first: int = 0,
    **options: Any,
) -> Envelope:
    """Make an envelope that brings its code along, and send it over the wire."""
    name, data = packed(function)
    attachments: dict[str, Buffer] = {name: data}
    if initializer is not None:
        options["initializer"], code = packed(initializer)
        attachments[options["initializer"]] = code
    segments: list[Buffer] = []
    encoded = [encode_value(value, segments) for value in inputs]
    envelope = Envelope(
        plan=Plan(job="job", function=name, convention=convention, **options),
        flight=flight,
        indices=range(first, first + len(inputs)),
        attempts=1,
        inputs=Encoded(bytes(kind for kind, _ in encoded), [body for _, body in encoded]),
        refs=list(refs),
        segments=segments,
        attachments=attachments,
    )
    return resent(envelope)


def resent(envelope: Envelope) -> Envelope:
    """Return an envelope as it arrives."""
    _, parts = read_frame(frame_bytes(envelope.to_frame()))
    return Envelope.from_segments(parts)


def answers(outcome: Outcome) -> dict[int, Any]:
    """Return the values of an outcome by position, after a trip over the wire."""
    _, parts = read_frame(frame_bytes(outcome.to_frame()))
    outcome = Outcome.from_segments(parts)
    kinds, bodies = outcome.values
    segments: Any = outcome.segments
    if kinds is not None:
        bodies = [decode_value(*each, segments) for each in zip(kinds, bodies, strict=True)]
    return dict(zip(outcome.positions, bodies, strict=True))


class Worker:
    """A process's state, and the outcomes of what ran in it, without a process."""

    def __init__(self) -> None:
        self.process = Process()

    def outcomes(self, envelope: Envelope) -> list[Outcome]:
        """Run an envelope; return everything it emits."""
        found: list[Outcome] = []
        invocation = Invocation(envelope, self.process)
        if envelope.plan.is_async:
            self.process.wait_for(invocation.run_here(found.append))
        else:
            found.append(invocation.run(found.append))
        return found

    def run(self, function: Callable[..., Any], inputs: Sequence[Any], **options: Any) -> Outcome:
        """Run a function on inputs; return all answers as one outcome."""
        return merged(self.outcomes(envelope_for(function, inputs, **options)))

    def close(self) -> None:
        """Close the loop, if one was made."""
        if self.process._loop is not None:
            self.process._loop.close()


def merged(outcomes: Sequence[Outcome]) -> Outcome:
    """Put the outcomes of one invocation together, as the driver does."""
    *earlier, last = outcomes
    positions: list[int] = []
    values: list[Any] = []
    for outcome in outcomes:
        for position, value in answers(outcome).items():
            positions.append(position)
            values.append(value)
    for outcome in earlier:
        assert not outcome.final
        last.failures.update(outcome.failures)
        last.logs.update(outcome.logs)
    assert last.final
    segments: list[Buffer] = []
    encoded = [encode_value(value, segments) for value in values]
    last.positions = positions
    last.values = Encoded(bytes(kind for kind, _ in encoded), [body for _, body in encoded])
    last.segments = segments
    for outcome in earlier:
        last.run.extend(outcome.run)
    return last
