"""Refusals of the Invoke API, as Lambda words them."""

from __future__ import annotations

import json
from typing import NamedTuple


class Refusal(NamedTuple):
    """A request that isn't served: status, error type, message and what else Lambda says."""

    status: int
    code: str
    message: str
    reason: str | None = None
    retry_after: float | None = None

    @property
    def body(self) -> bytes:
        """The body of the reply."""
        fields: dict[str, str] = {}
        if self.reason is not None:
            fields["Reason"] = self.reason
        fields["Type"] = "User" if self.status < 500 else "Service"  # noqa: PLR2004
        # The one error whose message Lambda writes with a capital.
        fields["Message" if self.code == "ResourceNotFoundException" else "message"] = self.message
        return json.dumps(fields, separators=(",", ":")).encode()

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the reply, besides those that every reply has."""
        headers = {"x-amzn-ErrorType": self.code}
        if self.retry_after is not None:
            headers["Retry-After"] = f"{self.retry_after:g}"
        return headers


def not_found(arn: str) -> Refusal:
    """No such function, or no such version of it."""
    return Refusal(404, "ResourceNotFoundException", f"Function not found: {arn}")


def throttled(reason: str) -> Refusal:
    """Too many at a time, or too many a second: those say when to come back."""
    after = 1.0 if "Rate" in reason else None
    return Refusal(429, "TooManyRequestsException", "Rate Exceeded.", reason, after)


def too_large(size: int, limit: int, *, event: bool) -> Refusal:
    """The payload exceeds the limit; sizes are in bytes."""
    message = (
        f"{size} byte payload is too large for the Event invocation type (limit {limit} bytes)"
        if event
        else f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
    )
    return Refusal(413, "RequestEntityTooLargeException", message)
