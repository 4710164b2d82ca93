"""What S3's refusals mean: whether to try again.

obstore's errors carry S3's answer as text, so that is what is read here.
"""

import re
from typing import Literal, NamedTuple

Kind = Literal[
    "absent",  # no such object
    "exists",  # a precondition failed
    "conflict",  # another conditional write is under way: again
    "range",  # the range lies beyond the object
    "whole",  # the service sent the whole object where a range was asked for
    "throttle",  # slower, again
    "transient",  # again, a few times
    "expired",  # again with fresh credentials
    "terminal",  # never again
]

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]*)</Code>")
_SIZE = re.compile(r"<ActualObjectSize>([0-9]{1,18})</ActualObjectSize>")
_UNANSWERED = 0
_SERVER_ERROR = 500

_BY_CODE: dict[str, Kind] = {
    "BandwidthLimitExceeded": "throttle",
    "ExpiredToken": "expired",
    "ExpiredTokenException": "expired",
    "NoSuchBucket": "terminal",
    "RequestLimitExceeded": "throttle",
    "RequestThrottled": "throttle",
    "RequestTimeout": "transient",
    "SlowDown": "throttle",
    "Throttling": "throttle",
    "ThrottlingException": "throttle",
    "TokenRefreshRequired": "expired",
    "TooManyRequests": "throttle",
    "TooManyRequestsException": "throttle",
}
_BY_STATUS: dict[int, Kind] = {
    404: "absent",
    408: "transient",
    409: "conflict",
    412: "exists",
    416: "range",
    429: "throttle",
    501: "terminal",
    503: "throttle",
}


class Answer(NamedTuple):
    """A request that brought no result."""

    kind: Kind
    status: int
    """Of HTTP; 0 if there was no answer."""
    code: str
    """S3's own, empty if it sent none (it never does in answer to HEAD)."""
    text: str
    """The whole error, on one line."""
    size: int | None = None
    """Of the object, if the answer tells."""

    @property
    def is_of_service(self) -> bool:
        """Whether the service gave it; if not, no request may have been sent at all."""
        return self.status != _UNANSWERED or self.kind == "absent"

    @property
    def uncertain(self) -> bool:
        """Whether a write may have happened all the same."""
        return self.status >= _SERVER_ERROR or (
            self.status == _UNANSWERED and self.code != "connect"
        )


# What obstore says of requests without an answer of S3, or with one that it can't take. The codes
# are no codes of S3's.
_WITHOUT_ANSWER = (
    ("/latest/api/token", Answer("terminal", _UNANSWERED, "credentials", "")),
    ("/latest/meta-data", Answer("terminal", _UNANSWERED, "credentials", "")),
    ("redirect without LOCATION", Answer("terminal", 301, "PermanentRedirect", "")),
    ("non-partial response", Answer("whole", 200, "", "")),
    ("invalid peer certificate", Answer("terminal", _UNANSWERED, "certificate", "")),
    ("Encountered object with invalid path", Answer("terminal", 200, "name", "")),
    ("kind: Connect", Answer("transient", _UNANSWERED, "connect", "")),
    ("HTTP error", Answer("transient", _UNANSWERED, "lost", "")),
    ("credential", Answer("terminal", _UNANSWERED, "credentials", "")),
)


def read_answer(error: Exception) -> Answer:
    """Return what an exception of obstore means."""
    if isinstance(error, TimeoutError):
        return Answer("transient", _UNANSWERED, "timeout", "no answer in time")
    full = str(error)
    text = " ".join(full.partition("\n\nDebug source")[0].split())
    found = _STATUS.search(text)
    if found is None or "/latest/" in text.partition("status code")[0]:
        for sign, answer in _WITHOUT_ANSWER:
            if sign in full:
                return answer._replace(text=text)
    if found is None:
        absent = isinstance(error, FileNotFoundError)
        return Answer("absent" if absent else "terminal", _UNANSWERED, "", text)
    status = int(found[1])
    code = match[1] if (match := _CODE.search(text)) else ""
    size = int(match[1]) if (match := _SIZE.search(text)) else None
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if kind is None:
        kind = "transient" if status >= _SERVER_ERROR else "terminal"
    return Answer(kind, status, code, text, size)
