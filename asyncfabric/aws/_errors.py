"""What a reply, or its absence, means: for the decision what to do, and for the user."""

from __future__ import annotations

import json
import math
from typing import Any

from asyncfabric._exceptions import (
    AttemptTimeout,
    ConfigurationError,
    DeploymentError,
    FabricError,
    InvocationError,
    PayloadTooLarge,
    Throttled,
)

from ._error_table import (
    ACCESS_ADVICE,
    AMBIGUOUS,
    CLOCK_ADVICE,
    CLOCK_WORDS,
    FUNCTION_ADVICE,
    LIMITS,
    THROTTLES,
    TOO_LARGE,
    TRANSIENT,
    UNREADABLE,
)
from ._fault import Fault, Kind, Place, compose
from ._function_errors import diagnose_function
from .transport._protocol import Reply, Unanswered

_SHOWN = 300
"""Characters that are shown of a body that makes no sense."""
_OK, _TAKEN, _FORBIDDEN, _NOT_FOUND = 200, 202, 403, 404
_TOO_SLOW, _TOO_LARGE, _TOO_MANY = 408, 413, 429
_SERVER_ERRORS = range(500, 600)
_AGAIN = "it is tried again where that is safe; if it lasts, see https://health.aws.amazon.com"


def diagnose(
    reply: Reply | Unanswered, *, function: str, region: str, endpoint: str, event: bool = False
) -> Fault | None:
    """Tell what went wrong with an invocation; None for a good reply.

    A reply is good with status 200, without X-Amz-Function-Error, and a JSON string or object; that
    to an event, with status 202.

    Args:
        reply: what the transport gave.
        function: the name that was invoked.
        region: where.
        endpoint: by which URL.
        event: it was left to Lambda, which only says whether it has taken it.
    """
    if event and isinstance(reply, Reply) and reply.status == _TAKEN:
        return None
    if (
        not event
        and isinstance(reply, Reply)
        and reply.status == _OK
        and "x-amz-function-error" not in reply.headers
        and _is_answer(reply.body)
    ):
        return None
    place = Place(function, region, endpoint)
    if isinstance(reply, Unanswered):
        return _unanswered(reply, place)
    request_id = reply.headers.get("x-amzn-requestid", "")
    if "x-amz-function-error" in reply.headers:
        return diagnose_function(reply, place, request_id)
    return _Diagnosis(reply, place, request_id).fault()


def _is_answer(body: bytes | bytearray) -> bool:
    """Look at both ends only: a result may have megabytes, and is parsed later anyway."""
    first, last = body[:1], body[-1:]
    if (first == b'"' and last == b'"' and len(body) > 1) or (first == b"{" and last == b"}"):
        return True
    text = body.strip()
    return text != body and _is_answer(text)


class _Diagnosis:
    """A look at a reply that isn't good."""

    def __init__(self, reply: Reply, place: Place, request_id: str) -> None:
        self._reply = reply
        self._place = place
        self._request_id = request_id
        body = _parsed(reply.body)
        self._body = body or {}
        self.code = _code(reply, self._body)
        text = str(self._body.get("message") or self._body.get("Message") or "")
        # What follows the first line is the request as AWS understood it, a session's token too.
        self.text = text.partition("\n")[0]
        # Lambda sends its header with every answer; emulators at least the code.
        self._is_lambda = bool(self.code) or "x-amzn-requestid" in reply.headers

    def fault(self) -> Fault:
        """Tell what it means."""
        if self.code in THROTTLES or self._reply.status == _TOO_MANY:
            return self._throttle()
        return self._by_code() or self._access() or self._by_status()

    def _by_code(self) -> Fault | None:
        """Tell what one of Lambda's own errors means."""
        place, code, status = self._place, self.code, self._reply.status
        kind: Kind = "terminal"
        error: type[FabricError] = DeploymentError
        if code in TOO_LARGE or status == _TOO_LARGE:
            kind, error = "payload", PayloadTooLarge
            what = f"the payload for {place} is larger than Lambda's 6 MB"
            advice = "pass less, or let inputs go through the store: storage='s3://...'"
        elif code in UNREADABLE:
            kind, error = "payload", InvocationError
            what, advice = f"Lambda can't read the request to {place}", "report this as a bug"
        elif code in TRANSIENT:
            kind, error = "transient", InvocationError
            what, advice = f"Lambda could not start {place}", _AGAIN
        elif code in AMBIGUOUS:
            kind, error = "ambiguous", InvocationError
            what, advice = f"Lambda failed with the call of {place}", _AGAIN
        elif code in FUNCTION_ADVICE:
            what, advice = f"{place} can't run", FUNCTION_ADVICE[code]
        elif status == _NOT_FOUND and self._is_lambda:
            what, advice = f"there is no function {place}", "run: {deploy}"
        else:
            return None
        return self._make(kind, error, what, advice)

    def _by_status(self) -> Fault:
        """Tell what a reply means that has no error of Lambda's."""
        place, status = self._place, self._reply.status
        kind: Kind = "terminal"
        error: type[FabricError] = ConfigurationError
        if status in _SERVER_ERRORS or status == _TOO_SLOW:
            # A gateway's, perhaps after the function began: Lambda's own have a name.
            kind, error = "ambiguous", InvocationError
            what = f"the call of {place} was lost: the answer was {status}"
            advice = _AGAIN
        elif not self._is_lambda:
            what = f"{place.endpoint} is not Lambda: it answers {status}, {self._shown() or '-'}"
            advice = "see endpoint_url= in the URL, AWS_ENDPOINT_URL_LAMBDA and AWS_ENDPOINT_URL"
        elif status == _OK:
            error = DeploymentError
            what = f"{place} answers what no worker of asyncfabric does: {self._shown()}"
            advice = "run: {deploy}"
        else:
            what = f"Lambda refuses to run {place} with {status}: {self._shown()}"
            advice = "see what is wrong: {doctor}"
        return self._make(kind, error, what, advice)

    def _throttle(self) -> Fault:
        reason = str(self._body.get("Reason") or "")
        advice = LIMITS.get(reason, "lower max_concurrency, or see the quotas: {doctor}")
        what = f"Lambda refuses to start more of {self._place}"
        return self._make("throttle", Throttled, what, advice, reason, self._retry_after())

    def _access(self) -> Fault | None:
        """Tell what it means that the credentials are refused."""
        name = self.code.removesuffix("Exception")
        advice = ACCESS_ADVICE.get(name)
        if advice is None:
            if self._reply.status != _FORBIDDEN or not self._is_lambda:
                return None
            advice = ACCESS_ADVICE["AccessDenied"]
        if "ignature" in name and any(word in self.text.lower() for word in CLOCK_WORDS):
            advice = CLOCK_ADVICE
        what = f"AWS refuses these credentials the call of {self._place}"
        return self._make("terminal", ConfigurationError, what, advice)

    def _make(
        self,
        kind: Kind,
        error: type[FabricError],
        what: str,
        advice: str,
        reason: str = "",
        retry_after: float | None = None,
    ) -> Fault:
        details = ", ".join(each for each in (self.code, reason) if each)
        if details:
            what = f"{what} ({details}{f': {self.text}' if self.text else ''})"
        place = self._place
        advice = advice.format(
            deploy=place.command("deploy"), doctor=place.command("doctor"), **place._asdict()
        )
        message = compose(what, self._request_id, advice)
        code = self.code or str(self._reply.status)
        return Fault(kind, code, reason, message, retry_after, self._request_id, error(message))

    def _retry_after(self) -> float | None:
        for value in (self._reply.headers.get("retry-after"), self._body.get("retryAfterSeconds")):
            try:
                seconds = float(value) if value is not None else math.nan
            except (TypeError, ValueError, OverflowError):
                continue  # a date, which Lambda doesn't send
            if math.isfinite(seconds) and seconds >= 0:
                return seconds
        return None

    def _shown(self) -> str:
        return bytes(self._reply.body[:_SHOWN]).decode("utf-8", "replace").strip()


def _parsed(body: bytes | bytearray) -> dict[str, Any] | None:
    try:
        parsed: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None  # pyright: ignore[reportUnknownVariableType]


def _code(reply: Reply, body: dict[str, Any]) -> str:
    """Return AWS's name of an error: a header has it, or the body, with a namespace or a URL."""
    said = reply.headers.get("x-amzn-errortype")
    if not said and reply.status != _OK:
        said = body.get("__type") or body.get("code") or body.get("Code")
    return str(said or "").partition(":")[0].rpartition("#")[2].strip()


def _unanswered(problem: Unanswered, place: Place) -> Fault:
    """Tell what it means that no reply came."""
    cause = problem.__cause__
    kind: Kind = "ambiguous" if problem.written else "transient"
    error: type[FabricError] = InvocationError
    advice = "it is tried again where that is safe; see the network and " + place.endpoint
    if problem.why == "credentials":
        if isinstance(cause, FabricError):
            return Fault("terminal", "credentials", "", str(cause), None, "", cause)
        advice = "see what 'aws sts get-caller-identity' says"
    elif problem.why == "nowhere":
        advice = f"see that there is a region {place.region}, and that {place.endpoint} is right"
    elif problem.why == "tls":
        advice = (
            f"see that {place.endpoint} is right; where a proxy or a server of one's own has "
            "certificates of its own, name them: AWS_CA_BUNDLE=/path/to/bundle.pem"
        )
    elif problem.why in {"malformed", "oversized"}:
        advice = (
            f"see that {place.endpoint} is Lambda's, and whether http or https is right: "
            "endpoint_url= in the URL, AWS_ENDPOINT_URL_LAMBDA and AWS_ENDPOINT_URL"
        )
    elif problem.why == "timeout":
        error = AttemptTimeout
        advice = "the call may still be running; give it more time (timeout=) or less to do"
    elif problem.why == "closed":
        advice = "don't close the Fabric before its calls are done"
    if problem.why in {"credentials", "nowhere", "tls"}:
        kind, error = "terminal", ConfigurationError
    elif problem.why in {"malformed", "oversized"}:
        error = ConfigurationError  # if it lasts
    message = compose(f"no answer from {place}: {problem}", "", advice)
    made = error(message)
    made.__cause__ = problem
    return Fault(kind, problem.why, "", message, None, "", made)
