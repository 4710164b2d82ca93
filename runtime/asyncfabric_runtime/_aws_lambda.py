"""The door of AWS Lambda: a handler that takes an envelope as text and answers with an outcome.

The payload is a JSON string: a frame (see `_wire`) in base64, since what passes through the Python
runtime must be JSON. An answer that doesn't fit goes through the store, and so does a large
envelope: then the payload is a small frame that names the stored one and its digest.
"""

from __future__ import annotations

import binascii
import os
import sys
import traceback
from array import array
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

from asyncfabric_storage import FabricError, IntegrityError, ObjectNotFound, digest, object_key
from asyncfabric_storage._errors import AccessDenied

from ._alarm import Alarm
from ._capture import Tee
from ._context import become_worker, running_transcript
from ._dependencies import install_dependencies
from ._envelope import PYTHON, Envelope
from ._failure import LOAD, describe
from ._invocation import Invocation
from ._named import served
from ._outcome import Outcome
from ._private import rejoin
from ._process import Process
from ._stores import open_shared_store, read_checked
from ._values import Encoded
from ._wire import (
    INVOKE,
    PING,
    PONG,
    SPILLED,
    WIRE_VERSION,
    WireError,
    load_head,
    load_place,
    pack,
    unpack,
)

if TYPE_CHECKING:
    from asyncfabric_storage._buffers import Buffer

    from ._archives import Archives
    from ._heartbeat import Heartbeat

MARGIN_SECONDS = 2.0
"""An invocation is answered so long before the function's own timeout, which would lose it."""
MOST_BYTES = 4 * 1024 * 1024
"""Of an answer: in base64 it must stay below Lambda's 6 MB."""


class LambdaWorker:
    """One process of one execution environment."""

    def __init__(self) -> None:
        self._process = Process()
        self._process.missing_module_advice = (
            "put it on the function (asyncfabric deploy --requirements ...), or, if it is your "
            "own, see that it is importable from where the driver runs"
        )
        self._process.served = served()
        self._archives: Archives | None = None
        self._served = False
        self._equipped = False

    def serve(self, event: object, seconds: float) -> object:
        """Serve one invocation, which may take so long; return what the driver is to be told."""
        until = perf_counter() + max(seconds - MARGIN_SECONDS, seconds / 2)
        try:
            return _to_text(self._answer(*_frame_of(event), until))
        except WireError as error:
            return _refusal(str(error))
        except IntegrityError as error:
            return {**_refusal(str(error)), "integrity": False}
        except Exception as error:  # noqa: BLE001 - the driver is to know it, and the log
            traceback.print_exc()
            return _refusal(f"{type(error).__name__}: {error}")

    def _answer(self, kind: int, segments: list[memoryview], until: float) -> list[Buffer]:
        cold, self._served = not self._served, True
        if cold:
            _become_worker()
        if not self._equipped:
            # Not before: Lambda cuts a start that takes ten seconds, and takes no words from it.
            install_dependencies()
            self._equipped = True
        if kind == PING:
            self._process.invocations += 1
            return _pong(load_head(segments[0]), until, cold=cold)
        private: list[memoryview] = []
        if kind == SPILLED:
            private = segments[1:]
            kind, segments = self._process.wait_for(_fetch_frame(segments[0]))
        if kind != INVOKE:
            msg = f"a frame of kind {kind} is nothing that a function serves"
            raise WireError(msg)
        envelope = Envelope.from_segments(segments)
        if private:
            rejoin(envelope, private[0])
        outcome = self._run(envelope, until)
        if envelope.plan.left:
            from ._left import note_failures

            self._process.wait_for(note_failures(envelope, outcome))
            outcome = _nothing(envelope)
        return self._to_frame(envelope, outcome)

    def _run(self, envelope: Envelope, until: float) -> Outcome:
        plan = envelope.plan
        started = perf_counter()
        try:
            if self._process.served is not None:
                self._process.served.check(plan)
            self._get_code(envelope)
        except _MissingCodeError as error:
            return _lacking(envelope, str(error))
        except Exception as error:  # noqa: BLE001 - it is the calls' failure
            return _failed(envelope, error, f"the worker can't get the function's code: {error}")
        invocation = Invocation(envelope, self._process)
        invocation.record.fetch = perf_counter() - started
        invocation.until = until
        alarm = Alarm(plan.timeout, until)
        heartbeat: Heartbeat | None = None
        if plan.heartbeats is not None:
            from ._heartbeat import Heartbeat

            heartbeat = Heartbeat(invocation, *plan.heartbeats)
        try:
            if not plan.is_async:
                invocation.limit = alarm
                return invocation.run()
            invocation.on_begin = alarm.begin_together
            last: list[Outcome] = []
            self._process.wait_for(invocation.run_here(last.append, stream=False))
            return last[0]
        finally:
            alarm.dismiss()
            if heartbeat is not None:
                heartbeat.stop()

    def _get_code(self, envelope: Envelope) -> None:
        """Bring the function and the user's modules here, unless they are."""
        plan, process = envelope.plan, self._process
        if plan.archive is not None or self._archives is not None:
            if self._archives is None:
                from ._archives import Archives

                self._archives = Archives()
            archives, name = self._archives, plan.archive
            if name is not None and not archives.holds(name):
                archives.install(name, process.wait_for(_read_code(name, plan.store_url)))
            if archives.activate(name):
                process.forget_modules()
        for name in process.lacks(envelope):
            process.keep(name, bytes(process.wait_for(_read_code(name, plan.store_url))))

    def _to_frame(self, envelope: Envelope, outcome: Outcome) -> list[Buffer]:
        """Lay an answer out, through the store if it is large."""
        plan, frame = envelope.plan, outcome.to_frame()
        size = sum(memoryview(piece).nbytes for piece in frame)
        if size <= (MOST_BYTES if plan.inline is None else min(plan.inline, MOST_BYTES)):
            return frame
        key = f"spill/{plan.job}/{os.urandom(16).hex()}"
        try:
            name = digest(frame)
            self._process.wait_for(open_shared_store(plan.store_url).put(key, frame))
        except Exception as error:  # noqa: BLE001 - it is the calls' failure
            message = f"the worker can't store results of {size:,} bytes: {error}"
            return _failed(envelope, error, message).to_frame()
        return pack(SPILLED, (key, name, plan.store_url, size))


def _become_worker() -> None:
    """Only with the first invocation: before it, the runtime has not put its own streams up."""
    become_worker()
    sys.stdout = Tee(sys.stdout, running_transcript)
    sys.stderr = Tee(sys.stderr, running_transcript)


def _frame_of(event: object) -> tuple[int, list[memoryview]]:
    if not isinstance(event, str):
        msg = (
            f"this function takes what an asyncfabric driver sends, not a {type(event).__name__}; "
            "use asyncfabric.Fabric('lambda://...') to call it"
        )
        raise WireError(msg)
    try:
        data = bytearray(binascii.a2b_base64(event, strict_mode=True))  # arrays in it are writable
    except (binascii.Error, ValueError) as error:
        msg = f"this payload is no asyncfabric envelope: {error}"
        raise WireError(msg) from None
    return unpack(data)


def _to_text(frame: list[Buffer]) -> str:
    data = frame[0] if len(frame) == 1 else b"".join(frame)
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _failed(envelope: Envelope, error: Exception, message: str) -> Outcome:
    as_text = envelope.plan.data_results
    failure = describe(error, LOAD, message=message, as_text=as_text)
    failures = dict.fromkeys(range(len(envelope.indices)), failure)
    return Outcome(envelope.flight, (), Encoded(None, []), array("d"), failures, final=True)


def _nothing(envelope: Envelope) -> Outcome:
    return Outcome(envelope.flight, (), Encoded(None, []), array("d"), final=True)


def _lacking(envelope: Envelope, name: str) -> Outcome:
    outcome = _nothing(envelope)
    outcome.lacks = [name]
    return outcome


class _MissingCodeError(Exception):
    """The store has not got the code of this digest: somebody has deleted it."""


async def _read_code(name: str, store_url: str | None) -> memoryview:
    try:
        return await _read(object_key(name), name, store_url)
    except (ObjectNotFound, AccessDenied):  # who may not list isn't told which of them it is
        raise _MissingCodeError(name) from None


async def _fetch_frame(head: Buffer) -> tuple[int, list[memoryview]]:
    place = load_place(head)
    try:
        return unpack(bytearray(await _read(*place)))
    except IntegrityError:
        raise
    except FabricError as error:
        msg = f"the worker can't read the envelope that was stored for it: {error}"
        raise WireError(msg) from error


async def _read(key: str, name: str, store_url: str | None, size: int | None = None) -> memoryview:
    return await read_checked(open_shared_store(store_url), key, name, size)


def _refusal(reason: str) -> dict[str, Any]:
    return {
        "asyncfabric": "refused",
        "reason": reason,
        "wire": WIRE_VERSION,
        "python": PYTHON,
    }


def _pong(question: Any, until: float, *, cold: bool) -> list[Buffer]:  # noqa: ANN401 - plain data
    """Say what this worker is, and which modules it hasn't got; stay busy for a while if asked."""
    try:
        hold, names = float(question["hold"]), list(map(str, question["modules"]))
    except (TypeError, ValueError, LookupError) as error:
        msg = f"the payload asks what this worker can't read: {error}"
        raise WireError(msg) from error
    sleep(max(0.0, min(hold, until - perf_counter())))
    missing: list[str] = []
    if names:
        from ._archives import missing_modules

        missing = missing_modules(names)
    answer = {
        "python": PYTHON,
        "wire": WIRE_VERSION,
        "cold": cold,
        "missing": missing,
        "worker": os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", str(os.getpid())),
    }
    return pack(PONG, answer)


_worker = LambdaWorker()


def handler(event: object, context: Any) -> object:  # noqa: ANN401 - Lambda's own
    """Serve one invocation of the function."""
    return _worker.serve(event, context.get_remaining_time_in_millis() / 1000)
