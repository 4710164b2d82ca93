"""What the user is told when S3 refuses: what is wrong, and what to do next."""

import re
from typing import TYPE_CHECKING, NamedTuple

from ._errors import AccessDenied, ConfigurationError, FabricError, StorageError
from ._s3_address import ANY_OWNER

if TYPE_CHECKING:
    from ._s3_address import Address
    from ._s3_answers import Answer

_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_REQUEST = re.compile(r"<RequestId>([^<]*)</RequestId>")
_REGION = re.compile(r"<Region>([^<]*)</Region>")
_SHOWN = 300  # characters of somebody else's text


class _Advice(NamedTuple):
    kind: type[FabricError]
    text: str


_CREDENTIALS = _Advice(
    ConfigurationError,
    "the service does not accept the credentials; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY "
    "and AWS_PROFILE, and log in again",
)
_OTHER_REGION = _Advice(
    ConfigurationError,
    "the bucket is not in region {region}; add {right} to the s3:// URL",
)
_DENIED = _Advice(
    AccessDenied,
    "access denied: {whose}a policy does not allow it, or (where it forbids listing, as for "
    "workers) there is no such object; allow s3:GetObject, s3:PutObject, and for drivers "
    "s3:DeleteObject and s3:ListBucket",
)
_ADVICE = {
    "credentials": _Advice(
        ConfigurationError,
        "no AWS credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give "
        "this machine a role",
    ),
    "certificate": _Advice(
        ConfigurationError,
        "the service's TLS certificate is not trusted; name the authority that signed it with "
        "AWS_CA_BUNDLE=/path/to/ca.pem",
    ),
    "connect": _Advice(
        StorageError, "the service can't be reached; check endpoint_url, region and network"
    ),
    "name": _Advice(
        StorageError,
        "others keep objects here whose names are no keys; give the store a prefix of its own",
    ),
    "NoSuchBucket": _Advice(
        ConfigurationError, "there is no such bucket; create it, or correct its name"
    ),
    "RequestTimeTooSkewed": _Advice(
        StorageError, "the clock of this machine is wrong; set it, for example by NTP"
    ),
    "InvalidAccessKeyId": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "AuthorizationHeaderMalformed": _OTHER_REGION,
    "IllegalLocationConstraintException": _OTHER_REGION,
    "PermanentRedirect": _OTHER_REGION,
    "TemporaryRedirect": _OTHER_REGION,
    301: _OTHER_REGION,
    307: _OTHER_REGION,
    "expired": _Advice(
        StorageError,
        "the credentials have expired; log in again (for example with `aws sso login`) and repeat",
    ),
    401: _DENIED,
    403: _DENIED,
    "throttle": _Advice(
        StorageError,
        "the service keeps asking to slow down; run fewer workers at once, or wait some minutes "
        "until S3 has split the prefix",
    ),
    "conflict": _Advice(StorageError, "other writers keep getting in the way; try again later"),
    "transient": _Advice(StorageError, "the service does not recover; try again later"),
}
_ELSE = _Advice(StorageError, "an unexpected answer; check endpoint_url, or look the answer up")


def explain(answer: "Answer", doing: str, address: "Address") -> FabricError:
    """Return the exception for the user.

    `doing` begins its message: "reading 'results/0'".
    """
    reasons = (answer.code, answer.status, answer.kind)
    advice = next((_ADVICE[reason] for reason in reasons if reason in _ADVICE), _ELSE)
    match = _REGION.search(answer.text)
    right = f"region={match[1]}" if match else "its own (region=...)"
    whose = (
        f"the bucket does not belong to account {address.owner} (if it need not, name its owner "
        f"by owner=ACCOUNT in the s3:// URL), or "
        if address.owner not in {None, ANY_OWNER}
        else ""
    )
    text = advice.text.format(region=address.region or "us-east-1", right=right, whose=whose)
    at = f" at {address.endpoint_url}" if address.endpoint_url else ""
    return advice.kind(f"{doing} in s3://{address.bucket}{at} failed: {text} ({_said(answer)})")


def _said(answer: "Answer") -> str:
    if answer.code == "name" or not answer.code or not answer.status:
        return answer.text[:_SHOWN]
    parts = [f"HTTP {answer.status} {answer.code}"]
    if match := _MESSAGE.search(answer.text):
        parts.append(match[1][:_SHOWN])
    if match := _REQUEST.search(answer.text):
        parts.append(f"request {match[1]}")
    return ", ".join(parts)
