"""A master key that AWS KMS keeps: what a job's key derives from never leaves the service.

`ASYNCFABRIC_KEY` is then the key's ARN. KMS makes an HMAC of what the key is for, which is the key
for it: one request for a job. GenerateMac takes 4096 bytes at most, so it is given a digest of the
context, behind words of our own, that no other use of the same key may come to the same HMAC.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import ConfigurationError
from asyncfabric.aws._error_table import ACCESS_ADVICE, THROTTLES
from asyncfabric.aws._fault import compose
from asyncfabric.aws._sdk import load
from asyncfabric.aws._session import Session
from asyncfabric_storage._sealed import KEY_BYTES

from ._keys import Hidden

if TYPE_CHECKING:
    from collections.abc import Mapping

_ARN = re.compile(
    r"arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:(?:key/([a-zA-Z0-9-]+)|(alias/[a-zA-Z0-9/_-]+))"
)
_DOMAIN = b"asyncfabric durable jobs 1, kms\0"
_CONNECT_SECONDS, _READ_SECONDS = 5, 10
"""Of each of three attempts. KMS answers within some milliseconds."""
_SERVER_ERRORS = range(500, 600)

_MAKE = "aws kms create-key --region {region} --key-usage GENERATE_VERIFY_MAC --key-spec HMAC_256"
_ADVICE: dict[str, str] = {
    "AccessDenied": "allow these credentials kms:GenerateMac on {key}, in the key's policy, or by "
    "IAM where that policy leaves it to IAM",
    "Disabled": "enable it: aws kms enable-key --region {region} --key-id {id}",
    "InvalidKeyUsage": "jobs need a key for HMAC_SHA_256, and what a key is for can't be changed; "
    "make one: " + _MAKE,
    "KMSInvalidState": "if it is to be deleted, keep it: aws kms cancel-key-deletion --region "
    "{region} --key-id {id}, then aws kms enable-key --region {region} --key-id {id}; without it, "
    "its jobs can only be discarded",
    "MissingAuthenticationToken": "see that the endpoint {endpoint} is that of KMS",
    "NotFound": "see that region, account and id are right; jobs of a key that was deleted can "
    "only be discarded, and a new key is made by: " + _MAKE,
}
"""By AWS's names of errors, without `Exception` at their end."""
_LATER = "try again; if it lasts, see https://health.aws.amazon.com"
_SLOWER = (
    "try again later, or ask for a higher rate of cryptographic operations (symmetric) in the "
    "Service Quotas console"
)
_SHOW = "aws kms describe-key --region {region} --key-id {arn}"
_LOOK = "see what this says: " + _SHOW
_NETWORK = (
    "see that this machine reaches {endpoint} (from a VPC without internet: through an endpoint of "
    "the VPC for KMS); AWS_ENDPOINT_URL_KMS and AWS_ENDPOINT_URL name another"
)


class KmsKey(Hidden):
    """A master key in KMS, for `kms:GenerateMac`; credentials and endpoints are those of `Session`.

    What it has derived it remembers: whoever follows a job asks again and again.
    """

    __slots__ = ("_alias", "_arn", "_derived", "_id", "_region", "_session", "_turn")

    def __init__(self, arn: str) -> None:
        """Take the ARN of a key or of an alias; nothing is asked yet.

        Raises:
            ConfigurationError: it is neither.
        """
        found = _ARN.fullmatch(arn)
        if found is None:
            raise ConfigurationError(
                f"ASYNCFABRIC_KEY={arn!r} is no ARN of a KMS key; "
                "write arn:aws:kms:REGION:ACCOUNT:key/ID, as 'aws kms describe-key' prints it, or "
                "that of an alias of yours"
            )
        self._arn = arn
        self._region: str = found[1]
        self._id: str | None = found[2]
        self._alias: str | None = found[3]
        self._session = Session(region=self._region)
        self._derived: dict[bytes, bytes] = {}
        self._turn = asyncio.Lock()

    async def derive(self, context: bytes) -> bytes:
        """Return the key for a context; see `KeySource`.

        Raises:
            ConfigurationError: KMS can't be asked or refuses; the message says what to do.
        """
        async with self._turn:
            key = self._derived.get(context)
            if key is None:
                key = await self._ask(_DOMAIN + hashlib.sha256(context).digest())
                self._derived[context] = key
            return key

    async def _ask(self, message: bytes) -> bytes:
        session = self._session  # it reads the SDK's tables once: 90 ms
        try:
            await session.open()
            endpoint = session.endpoint("kms")
        except ConfigurationError as error:
            raise ConfigurationError(
                f"the master key {self._arn} can't be used: {error}"
            ) from error
        sdk = load("botocore.exceptions")
        waits = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS}
        try:
            async with session.client("kms", **waits) as kms:
                kms.meta.events.register("before-parse.kms.GenerateMac", _take)
                answer = await kms.generate_mac(
                    KeyId=self._arn, MacAlgorithm="HMAC_SHA_256", Message=message
                )
        except sdk.ClientError as error:
            raise self._refused(error.response, endpoint) from error
        except sdk.BotoCoreError as error:
            what = f"KMS gave no answer for the master key {self._arn} ({error})"
            raise ConfigurationError(compose(what, "", self._fill(_NETWORK, endpoint))) from error
        mac = answer.get("Mac")
        if not isinstance(mac, bytes) or len(mac) != KEY_BYTES:
            what = f"what answers at {endpoint} is not KMS: it gave no HMAC"
            raise ConfigurationError(compose(what, "", self._fill(_NETWORK, endpoint)))
        return mac

    def _refused(self, answer: Mapping[str, Any], endpoint: str) -> ConfigurationError:
        """Return what a user is told when KMS answers with an error."""
        error: dict[str, Any] = answer.get("Error", {})
        about: dict[str, Any] = answer.get("ResponseMetadata", {})
        code = str(error.get("Code") or "an error without a name")
        # What follows the first line is the request as AWS understood it.
        text = str(error.get("Message") or "").partition("\n")[0]
        name = code.removesuffix("Exception")
        if code in THROTTLES:
            advice = _SLOWER
        elif about.get("HTTPStatusCode") in _SERVER_ERRORS:
            advice = _LATER
        else:
            advice = _ADVICE.get(name) or ACCESS_ADVICE.get(name) or _LOOK
        what = f"KMS refuses the master key {self._arn} ({code}{f': {text}' if text else ''})"
        request_id = str(about.get("RequestId") or "")
        return ConfigurationError(compose(what, request_id, self._fill(advice, endpoint)))

    def _fill(self, advice: str, endpoint: str) -> str:
        filled = advice.format(
            arn=self._arn,
            endpoint=endpoint,
            id=self._id or "ID",
            # Policies name keys: an alias allows nothing.
            key=self._arn if self._alias is None else f"the key of {self._alias}",
            region=self._region,
        )
        if self._alias is not None and ("{id}" in advice or "{key}" in advice):
            filled += f" (whose ID this shows: {_SHOW.format(arn=self._arn, region=self._region)})"
        return filled


def _take(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Take the HMAC out of an answer before the SDK logs it, as it does with level DEBUG."""
    if response_dict["status_code"] != 200:  # noqa: PLR2004 - OK
        return
    body, response_dict["body"] = response_dict["body"], b"{}"
    # Whatever else that may be, it is no HMAC.
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        customized_response_dict["Mac"] = base64.b64decode(json.loads(body)["Mac"], validate=True)
