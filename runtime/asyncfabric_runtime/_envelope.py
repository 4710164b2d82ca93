"""What a driver sends to a worker: one invocation of one function, carrying 1..n calls."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from ._claims import envelope_agrees, plan_agrees
from ._values import Encoded
from ._wire import INVOKE, WireError, dump_head, load_head, pack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncfabric_storage._buffers import Buffer

Convention = Literal["one", "star", "full"]
"""How an input becomes arguments: `fn(x)`, `fn(*x)`, or `fn(*x[0], **x[1])`."""

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


_PLAN_FIELDS = (
    "job",
    "function",
    "is_async",
    "convention",
    "shared",
    "seed",
    "timeout",
    "initializer",
    "env",
    "store_url",
    "by_reference",
    "prompt",
    "python",
    "archive",
    "inline",
    "code",
    "heartbeats",
    "area",
    "data_inputs",
    "data_results",
    "secrets",
    "left",
)


class Plan:
    """What all invocations of one fan-out have in common.

    Attributes:
        job: the fan-out's id.
        function: digest of the packed function.
        is_async: the function is a coroutine function; its calls run concurrently.
        convention: how an input becomes arguments.
        shared: keyword argument to digest of its stored value.
        seed: what `current().rng()` derives from.
        timeout: seconds one attempt may run; None for no limit.
        initializer: digest of a packed callable that runs once per process, before any call.
        env: environment variables in force while the calls run.
        store_url: where refs and shared values are; None where driver and worker share no store.
        by_reference: store the results and return refs.
        prompt: send every result at once, so that a crash never loses a finished call.
        python: the driver's Python version: functions by value are bytecode.
        archive: digest of the archive of the user's own modules; None where the worker has them.
        inline: bytes that an answer may carry; a larger one goes through the store. None for any.
        code: small packed functions, by digest, where a driver can't know what its worker has.
        heartbeats: what stands before the names of heartbeats in the store, and how many seconds
            lie between them; None for none. See `_heartbeat`.
        area: of a durable job: where its results are committed; None for other fan-outs.
        data_inputs: functions come by name and inputs as data: the worker unpickles nothing.
        data_results: results go back as data: the driver unpickles nothing.
        secrets: environment variable to the place where its value is kept; see `_secrets`.
        left: nobody waits for the answer: what fails is noted in the store. See `_left`.

    A plan is not changed once it is made. These classes are written out: `dataclasses` would cost a
    worker 9 ms of its start.
    """

    __slots__ = (*_PLAN_FIELDS, "_packed")

    def __init__(
        self,
        *,
        job: str,
        function: str,
        is_async: bool = False,
        convention: Convention = "one",
        shared: Mapping[str, str] | None = None,
        seed: int = 0,
        timeout: float | None = None,
        initializer: str | None = None,
        env: Mapping[str, str] | None = None,
        store_url: str | None = None,
        by_reference: bool = False,
        prompt: bool = False,
        python: str = PYTHON,
        archive: str | None = None,
        inline: int | None = None,
        code: Mapping[str, bytes] | None = None,
        heartbeats: tuple[str, float] | None = None,
        area: str | None = None,
        data_inputs: bool = False,
        data_results: bool = False,
        secrets: Mapping[str, str] | None = None,
        left: bool = False,
    ) -> None:
        self.job = job
        self.function = function
        self.is_async = is_async
        self.convention = convention
        self.shared: Mapping[str, str] = shared or {}
        self.seed = seed
        self.timeout = timeout
        self.initializer = initializer
        self.env = env
        self.store_url = store_url
        self.by_reference = by_reference
        self.prompt = prompt
        self.python = python
        self.archive = archive
        self.inline = inline
        self.code: Mapping[str, bytes] = code or {}
        self.heartbeats = heartbeats
        self.area = area
        self.data_inputs = data_inputs
        self.data_results = data_results
        self.secrets: Mapping[str, str] = secrets or {}
        self.left = left
        self._packed = b""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.packed() == other.packed()

    def __hash__(self) -> int:
        return hash(self.packed())

    def __repr__(self) -> str:
        return f"<Plan of {self.job}, function {self.function[:12]}>"

    @property
    def keeps(self) -> bool:
        """Whether results are written to the store before they are answered."""
        return self.by_reference or self.area is not None

    @property
    def surroundings(self) -> tuple[object, object]:
        """What calls must have in common to run beside each other: there is one environment."""
        return self.env, self.secrets

    def with_env(self, env: Mapping[str, str] | None) -> Plan:
        """Return this plan with another environment."""
        values: dict[str, Any] = {name: getattr(self, name) for name in _PLAN_FIELDS}
        values["env"] = env
        return Plan(**values)

    def packed(self) -> bytes:
        """Return the plan as the bytes of plain data; made once, sent with every envelope."""
        if not self._packed:
            values = {name: getattr(self, name) for name in _PLAN_FIELDS}
            values["shared"] = dict(self.shared)
            values["code"] = dict(self.code)
            values["secrets"] = dict(self.secrets)
            values["env"] = None if self.env is None else dict(self.env)
            self._packed = dump_head(values)
        return self._packed

    @classmethod
    def unpacked(cls, data: bytes) -> Plan:
        """Read what `packed` made, once a fan-out. Raises `WireError`."""
        plan = _plans.get(data)
        if plan is None:
            try:
                plan = cls(**load_head(data))
            except TypeError as error:
                msg = f"a plan has another shape than this worker knows: {error}"
                raise WireError(msg) from error
            if not plan_agrees(plan):
                msg = "a plan has parts that this worker can't read"
                raise WireError(msg)
            if len(_plans) >= _PLANS_KEPT:
                _plans.clear()
            _plans[data] = plan
        return plan


_PLANS_KEPT = 256
_plans: dict[bytes, Plan] = {}


class Seals(NamedTuple):
    """What the calls of one invocation seal their results with, in a durable job.

    Attributes:
        nonce: 16 random bytes, of the invocation.
        subjects: the digests of the inputs, one behind the other.
        tokens: the key of each call's own attempt, one behind the other.
    """

    nonce: bytes
    subjects: bytes
    tokens: bytes

    def __repr__(self) -> str:
        """Show no token."""
        return f"<Seals of {len(self.subjects) // 32} calls, hidden>"


class Envelope:
    """One invocation.

    Attributes:
        plan: what it shares with the rest of its fan-out.
        flight: the driver's number for this invocation.
        indices: the calls' indices.
        attempts: the attempt number of each call, or one number for all.
        inputs: the encoded inputs, in the order of `indices`.
        refs: digests of the refs among the inputs.
        attachments: packed objects that the worker may lack, by digest.
        copy_of: the invocation that has these calls already, for a copy of one that takes too long:
            a backend keeps them apart. It stays in the driver.
        segments: large buffers, referred to by `inputs`.
        seals: what the calls of a durable job seal their results with; None for others.
    """

    __slots__ = (
        "attachments",
        "attempts",
        "copy_of",
        "flight",
        "indices",
        "inputs",
        "plan",
        "refs",
        "seals",
        "segments",
    )

    def __init__(
        self,
        plan: Plan,
        flight: int,
        indices: Sequence[int],
        attempts: int | list[int],
        inputs: Encoded,
        refs: list[str],
        segments: list[Buffer],
        attachments: dict[str, Buffer] | None = None,
        seals: Seals | None = None,
    ) -> None:
        self.plan: Plan = plan
        self.flight: int = flight
        self.indices: Sequence[int] = indices
        self.attempts: int | list[int] = attempts
        self.inputs: Encoded = inputs
        self.refs: list[str] = refs
        self.segments: list[Buffer] = segments
        self.attachments: dict[str, Buffer] = {} if attachments is None else attachments
        self.copy_of: int | None = None
        self.seals: Seals | None = seals

    def attempt(self, position: int) -> int:
        """Return the attempt number of the call at a position."""
        return self.attempts if isinstance(self.attempts, int) else self.attempts[position]

    def to_frame(self) -> list[Buffer]:
        """Lay the envelope out for a byte stream."""
        segments = self.segments
        places: dict[str, int] = {}
        if self.attachments:
            segments = list(segments)
            for name, data in self.attachments.items():
                places[name] = len(segments)
                segments.append(data)
        head = (
            self.plan.packed(),
            self.flight,
            places_to_wire(self.indices),
            self.attempts,
            tuple(self.inputs),
            self.refs,
            places,
            None if self.seals is None else tuple(self.seals),
        )
        return pack(INVOKE, head, segments)

    @classmethod
    def from_segments(cls, segments: Sequence[Buffer]) -> Envelope:
        """Read an envelope from a frame's segments. Raises `WireError`."""
        head, *rest = segments
        try:
            plan, flight, indices, attempts, inputs, refs, places, seals = load_head(head)
            envelope = cls(
                Plan.unpacked(plan),
                flight,
                places_from_wire(indices),
                attempts,
                Encoded(*inputs),
                refs,
                rest,
                {name: rest[place] for name, place in places.items()} if places else None,
                None if seals is None else Seals(*seals),
            )
            if envelope_agrees(envelope):
                return envelope
            error: Exception = ValueError("its parts don't agree with each other")
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as raised:
            error = raised
        msg = f"an envelope has another shape than this worker knows: {error}"
        raise WireError(msg) from error


def places_to_wire(indices: Sequence[int]) -> Any:  # noqa: ANN401 - a pair or a list
    """Return indices or positions as plain data."""
    return (indices.start, len(indices)) if isinstance(indices, range) else list(indices)


def places_from_wire(wire: Any) -> Sequence[int]:  # noqa: ANN401 - a pair or a list
    """Read what `places_to_wire` wrote."""
    if isinstance(wire, tuple):
        first, count = cast("tuple[int, int]", wire)
        return range(first, first + count)
    return list(wire)
