"""Inputs into an envelope, results out of an outcome; what is large is left to a thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncfabric_runtime import Envelope, Ref
from asyncfabric_runtime._blame import blame
from asyncfabric_runtime._data import DATA, DATA_PARTS, NotDataError, encode_data
from asyncfabric_runtime._data_reading import BadDataError, DataReader
from asyncfabric_runtime._ref import refs_in, refs_of
from asyncfabric_runtime._values import (
    PICKLED,
    PLAIN,
    SEGMENTED,
    Encoded,
    TooLargeError,
    all_plain,
    decode_value,
    encode_value,
)

from ._exceptions import ConfigurationError, IntegrityError, SerializationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncfabric_runtime import Outcome, Plan
    from asyncfabric_storage._buffers import Buffer

    from .scheduling import Batch

HEAVY_BYTES = 1024 * 1024
"""Pickling and unpickling more than this leaves the event loop."""


EncodedInputs: TypeAlias = tuple[Envelope, int, dict[int, Exception]]


def encode_inputs(
    plan: Plan, flight: int, batch: Batch, *, unlimited: bool = False
) -> EncodedInputs | None:
    """Return the envelope, about how many bytes its inputs have, and those that can't be sent.

    None if more than `HEAVY_BYTES` would have to be pickled: then do it in a thread, `unlimited`.
    """
    segments: list[Buffer] = []
    refs: list[str] = []
    bad: dict[int, Exception] = {}
    inputs = batch.inputs
    size = 8 * len(inputs)
    if all_plain(inputs):
        encoded = Encoded(None, inputs)
        if type(inputs[0]) in (str, bytes):
            size = sum(map(len, inputs))
    else:
        kinds = bytearray()
        bodies: list[Any] = []
        room = None if unlimited else HEAVY_BYTES
        for position, value in enumerate(inputs):
            try:
                refs += [check_ref(ref, plan.store_url).digest for ref in refs_in(value)]
                if plan.data_inputs:
                    kind, body = encode_data(value, segments)
                else:
                    kind, body = encode_value(value, segments, room)
            except TooLargeError:
                return None
            except NotDataError as error:
                bad[position] = SerializationError(f"the input can't be sent: {not_data(error)}")
                continue
            except Exception as error:  # noqa: BLE001 - the user's own reduction failed
                bad[position] = _unsendable(value, error)
                continue
            if kind in {PICKLED, DATA}:
                size += len(body)
                if room is not None:
                    room = max(0, room - len(body))
            kinds.append(kind)
            bodies.append(body)
        size += sum(memoryview(segment).nbytes for segment in segments)
        encoded = Encoded(bytes(kinds), bodies)
    envelope = Envelope(
        plan=plan,
        flight=flight,
        indices=batch.indices,
        attempts=batch.attempts,
        inputs=encoded,
        refs=refs,
        segments=segments,
    )
    return envelope, size, bad


def not_data(error: NotDataError) -> str:
    """Say that a value can't be carried, and why it has to be data."""
    return f"with code='deployed' no pickles are sent: {error}"


def check_ref(ref: Ref[Any], store_url: str | None) -> Ref[Any]:
    """Refuse a ref of another store than the Fabric's. Raises `ConfigurationError`."""
    if ref.store_url != store_url:
        msg = (
            f"{ref!r} belongs to another store than this Fabric's ({store_url}); pass "
            "`await fabric.put(await ref.get())`, or give both Fabrics the same storage="
        )
        raise ConfigurationError(msg)
    return ref


def _unsendable(value: object, error: Exception) -> Exception:
    if isinstance(error, ConfigurationError):
        return error
    failed = SerializationError(blame("the input", value, error))
    failed.__cause__ = error
    return failed


def is_heavy(outcome: Outcome) -> bool:
    """Tell whether unpickling the results would hold the event loop up."""
    kinds, bodies = outcome.values
    if kinds is None or not outcome.segments:
        return False
    large = [body[0] for kind, body in zip(kinds, bodies, strict=True) if kind in _IN_SEGMENTS]
    segments: list[Any] = outcome.segments
    size = sum(memoryview(segments[place]).nbytes for place in large)
    return size > HEAVY_BYTES


_IN_SEGMENTS = frozenset((SEGMENTED, DATA_PARTS))


def decode_outcome(outcome: Outcome, plan: Plan) -> tuple[list[Any], dict[int, Exception]]:
    """Return the values of an outcome, and an error for each that can't be read.

    The outcome's positions and run times are cut down to the values that can be. If results come as
    data, nothing is unpickled here, whatever the outcome holds.
    """
    kinds, bodies = outcome.values
    if kinds is None:
        if not plan.data_results or all_plain(bodies):
            return bodies, {}
        kinds = bytes([PLAIN]) * len(bodies)
    values: list[Any] = []
    bad: dict[int, Exception] = {}
    segments: Any = outcome.segments
    good: list[int] = []
    decode: Callable[[int, Any], Any] = (
        DataReader(segments, refs_of(plan.store_url)).read
        if plan.data_results
        else partial(decode_value, segments=segments)
    )
    for place, (kind, body) in enumerate(zip(kinds, bodies, strict=True)):
        try:
            values.append(decode(kind, body))
        except BadDataError as error:
            bad[outcome.positions[place]] = IntegrityError(
                f"the worker's result is refused, since this Fabric takes data only: {error}; see "
                "that the worker runs this release of asyncfabric, and who else controls it"
            )
        except Exception as error:  # noqa: BLE001 - whatever user code raises on unpickling
            failed = SerializationError(
                f"the result can't be read in the driver: {type(error).__name__}: {error}; what it "
                "is made of must be importable here too"
            )
            failed.__cause__ = error
            bad[outcome.positions[place]] = failed
        else:
            good.append(place)
    if bad:
        run = outcome.run
        outcome.run = type(run)("d", [run[place] for place in good])
        outcome.positions = [outcome.positions[place] for place in good]
    return values, bad
