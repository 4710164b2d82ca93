"""Signature version 4 for Lambda's Invoke, with all that repeats computed once.

The scheme is AWS's: "Create a signed AWS API request" in the IAM user guide. From call to call only
the payload's digest changes: everything before it is hashed once a second for each function, and of
HMAC's two hashes the beginnings once a second and once a day. What is left costs three small
hashes, some 2 us.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from hashlib import _Hash

    from ._session import Credentials

_BLOCK = 64  # bytes in a block of SHA-256
_PORTS = {"http": 80, "https": 443}
_INNER = bytes(each ^ 0x36 for each in range(256))
_OUTER = bytes(each ^ 0x5C for each in range(256))


class _Prepared(NamedTuple):
    """What requests for one function have in common during one second."""

    head: str  # the request's head as far as the signature
    canonical: _Hash  # the canonical request as far as the payload's digest


class Signer:
    """Heads of Invoke requests to one endpoint.

    Args:
        url: the endpoint, such as `"https://lambda.eu-west-1.amazonaws.com"`.
        region: the region's name.
    """

    def __init__(self, url: str, region: str) -> None:
        parts = urlsplit(url)
        self._path = f"{parts.path.rstrip('/')}/2015-03-31/functions/"
        self._host = _host(url)
        self._region = region
        self._second = -1
        self._stamp = ""
        self._credentials: Credentials | None = None
        self._scope: str = ""
        self._inner_key = b""
        self._inner = self._outer = hashlib.sha256()
        self._prepared: dict[tuple[str, bool, bool], _Prepared] = {}

    def head(
        self,
        function: str,
        digest: str,
        length: int,
        *,
        tail: bool,
        credentials: Credentials,
        now: float,
        event: bool = False,
    ) -> bytes:
        """Return the head of a signed request, with the empty line that ends it.

        Args:
            function: a name, `name:alias` or an ARN.
            digest: the payload's SHA-256, in hex.
            length: the payload's length in bytes.
            tail: ask for the last 4 KB of the function's log.
            credentials: whose request it is.
            now: seconds of the epoch.
            event: leave it to Lambda, which answers as soon as it has taken it.
        """
        if int(now) != self._second or credentials is not self._credentials:
            self._begin(int(now), credentials)
        kind = (function, tail, event)
        prepared = self._prepared.get(kind)
        if prepared is None:
            prepared = self._prepared[kind] = self._prepare(*kind, credentials)
        canonical = prepared.canonical.copy()
        canonical.update(digest.encode())
        inner = self._inner.copy()
        inner.update(canonical.hexdigest().encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        return f"{prepared.head}{outer.hexdigest()}\r\nContent-Length: {length}\r\n\r\n".encode()

    def _begin(self, second: int, credentials: Credentials) -> None:
        """Compute what holds for a second: date, scope, key."""
        self._prepared.clear()
        self._second = second
        self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        day = self._stamp[:8]
        scope = f"{day}/{self._region}/lambda/aws4_request"
        if scope != self._scope or credentials is not self._credentials:
            key = f"AWS4{credentials.secret_key}".encode()
            for part in scope.split("/"):
                key = hmac.digest(key, part.encode(), "sha256")
            key = key.ljust(_BLOCK, b"\0")
            self._inner_key = key.translate(_INNER)
            self._outer = hashlib.sha256(key.translate(_OUTER))
            self._scope = scope
            self._credentials = credentials
        self._inner = hashlib.sha256(self._inner_key)
        self._inner.update(f"AWS4-HMAC-SHA256\n{self._stamp}\n{scope}\n".encode())

    def _prepare(
        self,
        function: str,
        tail: bool,  # noqa: FBT001
        event: bool,  # noqa: FBT001
        credentials: Credentials,
    ) -> _Prepared:
        path = f"{self._path}{quote(function, safe='-._~')}/invocations"
        headers = {  # those that are signed, in alphabetical order
            "host": self._host,
            "x-amz-date": self._stamp,
            "x-amz-invocation-type": "Event" if event else "RequestResponse",
        }
        if tail:
            headers["x-amz-log-type"] = "Tail"
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        # Every service but S3 wants the path encoded a second time.
        canonical = f"POST\n{quote(path, safe='/-._~')}\n\n{lines}\n{names}\n"
        sent = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = (
            f"POST {path} HTTP/1.1\r\n{sent}User-Agent: asyncfabric\r\n"
            f"Authorization: AWS4-HMAC-SHA256 Credential={credentials.access_key}/{self._scope}, "
            f"SignedHeaders={names}, Signature="
        )
        return _Prepared(head, hashlib.sha256(canonical.encode()))


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if parts.port is None or parts.port == _PORTS.get(parts.scheme):
        return host
    return f"{host}:{parts.port}"
