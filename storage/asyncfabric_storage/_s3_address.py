"""Which bucket, where, below which prefix: the parts of an `s3://` URL, checked."""

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from ._errors import ConfigurationError
from ._keys import MAX_KEY_BYTES, validate_key

if TYPE_CHECKING:
    from urllib.parse import SplitResult

ANY_OWNER = "any"
"""The `owner` that switches the check of the bucket's owner off."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_OWNER = re.compile(r"[0-9]{12}")
_ENDPOINT = re.compile(r"https?://[^/?#@\s]+/?")
_OPTIONS = ("region", "endpoint_url", "owner")
_EXAMPLE = "write for example 's3://my-bucket/some/prefix?region=eu-west-1'"


class Address(NamedTuple):
    """A bucket and a prefix in it."""

    bucket: str
    prefix: str
    """Without slashes at its ends; may be empty."""
    region: str | None
    endpoint_url: str | None
    """None: AWS itself."""
    owner: str | None
    """The account that must own the bucket, `"any"`, or None if nothing was said."""

    @property
    def url(self) -> str:
        """The URL that opens it."""
        from urllib.parse import quote, urlencode

        options = {name: text for name in _OPTIONS if (text := getattr(self, name))}
        path = f"/{quote(self.prefix)}" if self.prefix else ""
        query = f"?{urlencode(options, safe=':/')}" if options else ""
        return f"s3://{self.bucket}{path}{query}"

    @property
    def base(self) -> str:
        """What stands before every key."""
        return f"{self.prefix}/" if self.prefix else ""


def make_address(
    bucket: str,
    prefix: str = "",
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    owner: str | None = None,
) -> Address:
    """Return the checked address; region and endpoint default to those of AWS's variables.

    Raises:
        ConfigurationError: a part that can't be.
    """
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        msg = (
            f"{bucket!r} can't be the name of a bucket (3 to 63 lower-case letters, digits, dots "
            f"and hyphens); {_EXAMPLE}"
        )
        raise ConfigurationError(msg)
    prefix = prefix.strip("/")
    if prefix:
        validate_key(prefix)
    if owner is not None and owner != ANY_OWNER and not _OWNER.fullmatch(owner):
        msg = (
            f"owner={owner!r} is no account number; give the 12 digits of the account that owns "
            f"the bucket, or owner={ANY_OWNER} to accept anyone's"
        )
        raise ConfigurationError(msg)
    environ = os.environ.get
    endpoint_url = (
        endpoint_url or environ("AWS_ENDPOINT_URL_S3") or environ("AWS_ENDPOINT_URL") or None
    )
    if endpoint_url is not None and not _ENDPOINT.fullmatch(endpoint_url):
        msg = (
            f"endpoint_url={endpoint_url!r} is not the address of a service; write for example "
            "'http://127.0.0.1:4566', without a path and without a password"
        )
        raise ConfigurationError(msg)
    region = region or environ("AWS_REGION") or environ("AWS_DEFAULT_REGION") or None
    endpoint_url = endpoint_url.rstrip("/") if endpoint_url else None
    return Address(bucket, prefix, region, endpoint_url, owner)


def parse_address(url: str, parts: "SplitResult") -> Address:
    """Return the address in `url`, which has been split into `parts`.

    Raises:
        ConfigurationError: an unknown option, a password, a part that can't be.
    """
    from urllib.parse import parse_qsl, unquote

    if "@" in parts.netloc:
        msg = (
            "an s3:// URL holds no credentials, for it is written to logs and sent to workers; "
            "leave out what stands before '@' and use AWS's environment variables or profiles"
        )
        raise ConfigurationError(msg)
    options = dict[str, str]()
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            msg = f"unknown option {name!r} in {url!r}; s3:// knows {known}"
            raise ConfigurationError(msg)
        if name in options or not text:
            what = "twice" if name in options else "without a value"
            msg = f"the option {name!r} stands {what} in {url!r}; give it once, or leave it out"
            raise ConfigurationError(msg)
        options[name] = text
    return make_address(parts.netloc, unquote(parts.path), **options)


def object_name(base: str, key: str) -> str:
    """Return the object's full name in the bucket.

    Raises:
        ConfigurationError: the key breaks the rule for keys, or is too long with the prefix.
    """
    validate_key(key)
    name = base + key
    if base and len(name.encode()) > MAX_KEY_BYTES:
        msg = (
            f"the object key {key[:60]!a}... is too long with the store's prefix {base!r}: S3 "
            f"takes {MAX_KEY_BYTES} bytes in all; shorten the key, for example to its SHA-256"
        )
        raise ConfigurationError(msg)
    return name
