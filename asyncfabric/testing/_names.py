"""Names of functions as the Invoke API takes them: plain, partial or full ARN, with a qualifier."""

from __future__ import annotations

import re
from typing import NamedTuple

LATEST = "$LATEST"

PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
_NAME = re.compile(PATTERN)


class FunctionName(NamedTuple):
    """A function's name in its parts; what wasn't given is None."""

    name: str
    qualifier: str | None
    region: str | None
    account: str | None


def parse(text: str) -> FunctionName | None:
    """Take a function's name or ARN apart; None where it is neither."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    region, account = match[3], match[5]
    return FunctionName(match[7], match[9], region and region[:-1], account and account[:-1])


def arn(region: str, account: str, name: str, qualifier: str | None = None) -> str:
    """Return the full ARN."""
    plain = f"arn:aws:lambda:{region}:{account}:function:{name}"
    return plain if qualifier is None else f"{plain}:{qualifier}"
