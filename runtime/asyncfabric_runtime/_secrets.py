"""Secrets: names travel, values don't. The worker reads them, with its own rights.

A reference is the ARN of a secret of Secrets Manager, of a parameter of SSM, or `env:NAME`: an
environment variable that the worker was started with. Values are kept in the worker's memory for
some minutes, and are environment variables while the calls run.
"""

from __future__ import annotations

import os
import re
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric_storage import FabricError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEPT_SECONDS = 300.0
"""So long a value is used before it is read again: secrets are renewed."""
_TIMEOUT_SECONDS = 10.0
_MOST_BYTES = 1024 * 1024
_SECRET = re.compile(
    r"arn:(aws[a-z-]*):secretsmanager:([a-z0-9-]+):[0-9]{12}:secret:[\w/+=.@!-]+"
    r"(:[^:]*){0,3}"
)
_PARAMETER = re.compile(r"arn:(aws[a-z-]*):ssm:([a-z0-9-]+):[0-9]{12}:parameter/[\w/.-]+")
_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"(?!AWS_|LD_|DYLD_|PYTHON|ASYNCFABRIC_|PATH$)[A-Za-z_][A-Za-z0-9_]*")

_STEERING = re.compile(
    r"\w*_PROXY|SSL_\w*|\w*_CA_BUNDLE|\w*_CA_CERTS|OPENSSL_\w*|GLIBC_TUNABLES|MALLOC_\w*"
    r"|LAMBDA_\w*|HOME|TMP|TEMP|TMPDIR|XDG_\w*|_\w*",
    re.IGNORECASE,
)


class SecretError(FabricError):
    """A secret can't be read; the message names it, and never holds a value."""


def is_reference(text: str) -> bool:
    """Tell whether this says where a secret is kept."""
    if _VARIABLE.fullmatch(text):
        return is_variable(text.removeprefix("env:"))  # a worker's credentials are its own
    return any(each.fullmatch(text) for each in (_SECRET, _PARAMETER))


def is_variable(name: str) -> bool:
    """Tell whether a secret may be in an environment variable of this name.

    Not in one by which the interpreter, the loader or the cloud's own tools are steered.
    """
    return _NAME.fullmatch(name) is not None


def steers(name: str) -> bool:
    """Tell whether an environment variable says where connections lead, or where files lie.

    An owner may keep such things secret; who may only call a function shall not choose them. What
    libraries read besides, nobody can list.
    """
    return _STEERING.fullmatch(name) is not None


class Secrets:
    """The secrets that a process has read, by reference."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[float, str]] = {}

    def __repr__(self) -> str:
        return f"<Secrets, {len(self._held)} hidden>"

    def hold(self, wanted: Mapping[str, str]) -> bool:
        """Tell whether all these are at hand, under names that they may have."""
        now = monotonic()
        return all(
            is_variable(name)
            and reference in self._held
            and now - self._held[reference][0] < KEPT_SECONDS
            for name, reference in wanted.items()
        )

    async def fetch(
        self, wanted: Mapping[str, str], variable: Callable[[str], str | None] = os.environ.get
    ) -> None:
        """Read those that are not at hand, or were read long ago. Raises `SecretError`.

        `variable` gives the environment variables that the process was started with.
        """
        for name, reference in wanted.items():
            if not is_variable(name):
                raise SecretError(
                    f"a secret can't be in an environment variable of the name {name!r:.80}"
                )
            if not self.hold({name: reference}):
                self._held[reference] = monotonic(), await _read(name, reference, variable)

    def values(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """Return the values that were fetched, by variable."""
        return {name: self._held[reference][1] for name, reference in wanted.items()}


async def _read(name: str, reference: str, variable: Callable[[str], str | None]) -> str:
    if not is_reference(reference):
        raise SecretError(f"the secret {name} refers to nothing that asyncfabric knows")
    if _VARIABLE.fullmatch(reference):
        value = variable(reference.removeprefix("env:"))
        if value is None:
            raise SecretError(
                f"the secret {name} is {reference}, and the worker has no such environment "
                "variable; set it where the worker runs, or give the ARN of a secret"
            )
        return value
    import asyncio

    try:
        keys = await _keys()
        return await asyncio.to_thread(_ask, reference, keys)
    except SecretError as error:
        raise SecretError(f"the secret {name} ({reference}) can't be read: {error}") from None


class _Keys(NamedTuple):
    access: str
    secret: str
    token: str | None

    def __repr__(self) -> str:
        return "<_Keys, hidden>"


async def _keys() -> _Keys:
    """Return the worker's credentials: its environment's, as on Lambda, or the SDK's."""
    environment = os.environ.get
    access, secret = environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY")
    if access and secret:
        return _Keys(access, secret, environment("AWS_SESSION_TOKEN"))
    try:
        from aiobotocore import session

        sdk: Any = session
        found: Any = await sdk.get_session().get_credentials()
        frozen: Any = None if found is None else await found.get_frozen_credentials()
    except Exception as error:  # noqa: BLE001 - of a profile, a sign-on, a service
        raise SecretError(f"the worker finds no credentials ({type(error).__name__})") from None
    if frozen is None:
        raise SecretError("the worker has no credentials; set AWS_ACCESS_KEY_ID or AWS_PROFILE")
    return _Keys(frozen.access_key, frozen.secret_key, frozen.token)


def _ask(reference: str, keys: _Keys) -> str:
    found = _SECRET.fullmatch(reference)
    if found is None:
        found = _PARAMETER.fullmatch(reference)
        assert found is not None  # noqa: S101 - it is one of them
        question = {"Name": reference, "WithDecryption": True}
        answer = _call("ssm", "AmazonSSM.GetParameter", found, question, keys)
        return _text(answer.get("Parameter"), "Value")
    parts = reference.split(":")
    key, stage, version = [*parts[7:], "", "", ""][:3]
    question = {"SecretId": ":".join(parts[:7])}
    question |= {"VersionStage": stage} if stage else {}
    question |= {"VersionId": version} if version else {}
    answer = _call("secretsmanager", "secretsmanager.GetSecretValue", found, question, keys)
    text = _text(answer, "SecretString")
    return _member(text, key) if key else text


def _text(answer: Any, field: str) -> str:  # noqa: ANN401 - of JSON
    fields: dict[str, Any] = answer if isinstance(answer, dict) else {}  # pyright: ignore[reportUnknownVariableType] # of JSON
    value = fields.get(field)
    if not isinstance(value, str):
        raise SecretError("it holds no text; store it as text")
    return value


def _member(text: str, key: str) -> str:
    import json

    try:
        return _text(json.loads(text), key)
    except ValueError:
        raise SecretError(f"it is no JSON, so it has no key {key}") from None


def _call(
    service: str, target: str, found: re.Match[str], question: dict[str, Any], keys: _Keys
) -> dict[str, Any]:
    import json
    from urllib.error import HTTPError, URLError
    from urllib.request import Request

    partition, region = found[1], found[2]
    url = _endpoint(service, partition, region)
    body = json.dumps(question).encode()
    headers = _signed(url, service, region, target, body, keys)
    try:
        with _opener().open(Request(url, body, headers), timeout=_TIMEOUT_SECONDS) as reply:  # noqa: S310
            answer: dict[str, Any] = json.loads(reply.read(_MOST_BYTES))
    except HTTPError as error:
        with error:
            raise SecretError(_reason(error.read(_MOST_BYTES), error.code)) from None
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise SecretError(f"{service} does not answer ({type(reason).__name__})") from None
    return answer


def _reason(body: bytes, status: int) -> str:
    import json

    try:
        told = json.loads(body)
        code = str(told.get("__type", "")).rpartition("#")[2]
    except (ValueError, AttributeError):
        code = ""
    reason = f"HTTP {status} {code}".rstrip()
    if "AccessDenied" in code or status == 403:  # noqa: PLR2004 - Forbidden
        reason += "; allow the worker's role to read it (and to use its key, if it has its own)"
    return reason


def _endpoint(service: str, partition: str, region: str) -> str:
    name = {"secretsmanager": "SECRETS_MANAGER", "ssm": "SSM"}[service]
    own = os.environ.get(f"AWS_ENDPOINT_URL_{name}") or os.environ.get("AWS_ENDPOINT_URL")
    suffix = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    return f"{own.rstrip('/')}/" if own else f"https://{service}.{region}.{suffix}/"


def _opener() -> Any:  # noqa: ANN401 - urllib's
    import ssl
    from urllib.request import HTTPRedirectHandler, HTTPSHandler, build_opener

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            """Follow nobody: what is sent is signed."""

    context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
    return build_opener(Stay, HTTPSHandler(context=context))


def _signed(
    url: str, service: str, region: str, target: str, body: bytes, keys: _Keys
) -> dict[str, str]:
    """Return the headers of a signed request, Signature Version 4."""
    import hashlib
    import hmac
    from datetime import UTC, datetime
    from urllib.parse import urlsplit

    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    parts = urlsplit(url)
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": parts.netloc,
        "x-amz-date": now,
        "x-amz-target": target,
    }
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    names = sorted(headers)
    signed = ";".join(names)
    canonical = "\n".join(
        [
            "POST", parts.path or "/", "",
            *(f"{name}:{headers[name]}" for name in names), "",
            signed, hashlib.sha256(body).hexdigest(),
        ]
    )  # fmt: skip
    scope = f"{now[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(
        ["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = b"AWS4" + keys.secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope}, SignedHeaders={signed}, "
        f"Signature={signature}"
    )
    return headers
