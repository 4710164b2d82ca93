"""What a function is, and what the simulated account allows."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncfabric._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings:
    """One Lambda function: what it runs, and within which limits. Defaults are Lambda's own.

    >>> FunctionSettings(handler="app.handler", memory=512, timeout=10).memory
    512

    Attributes:
        handler: `module.function`, imported from `code` or from the driver's environment.
        memory: megabytes (MiB) that the worker and its children may occupy; 128 by default.
        timeout: seconds one invocation may take; 3 by default.
        environment: environment variables, besides those that Lambda sets itself.
        code: directory with the function's code, the working directory of its workers. None: an
            empty one.
        reserved_concurrency: invocations at a time, set aside for this function; 0 refuses all.
            None: it shares what no function has reserved.
        aliases: names by which versions can be invoked, as `{"live": "3"}`. Those versions and
            `$LATEST` are the only ones there are; all run the same code.
        event_retries: how often an `Event` invocation is repeated after a function error, 0 to 2.

    Raises:
        ConfigurationError: a value makes no sense.
    """

    handler: str
    memory: int = 128
    timeout: float = 3.0
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    code: str | os.PathLike[str] | None = None
    reserved_concurrency: int | None = None
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    event_retries: int = 2

    def __post_init__(self) -> None:
        if "." not in self.handler:
            raise ConfigurationError(
                f"handler={self.handler!r} names no function; write it as 'module.function'"
            )
        if self.memory < 1:
            raise ConfigurationError(f"memory={self.memory} is not positive; give megabytes")
        if not self.timeout > 0:
            raise ConfigurationError(f"timeout={self.timeout} is not positive; give seconds")
        if self.reserved_concurrency is not None and self.reserved_concurrency < 0:
            raise ConfigurationError(
                f"reserved_concurrency={self.reserved_concurrency} is negative; give 0 to refuse "
                "every invocation, or None to reserve nothing"
            )
        if self.code is not None and not os.path.isdir(self.code):  # noqa: PTH112 - any path-like
            raise ConfigurationError(f"code={os.fspath(self.code)!r} is no directory; give one")
        if not 0 <= self.event_retries <= 2:  # noqa: PLR2004 - Lambda's own limit
            raise ConfigurationError(f"event_retries={self.event_retries}: Lambda allows 0, 1 or 2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the simulated account and service allow. Defaults are those of AWS in late 2026.

    >>> Limits(concurrency=10).request_bytes
    6291456

    Attributes:
        concurrency: invocations at a time, in the whole account. A new account has less than the
            default of 1,000.
        environments_at_once: execution environments that a function may start at once.
        environments_per_10_seconds: how fast that allowance refills, evenly.
        requests_per_environment: requests a second for each unit of concurrency that a function
            can have: AWS allows 10. None, the default, is no such limit: the tests of a program
            are seldom about it.
        request_bytes: size of a payload, synchronous.
        event_bytes: size of a payload, for `Event` invocations.
        response_bytes: size of a function's answer.
        init_seconds: how long an environment may take to start before it is started anew.
        idle_seconds: how long a warm environment is kept unused; None: until the front is closed.
        event_waits: seconds before the first and second repetition of a failed `Event`.

    Raises:
        ConfigurationError: a number makes no sense.
    """

    concurrency: int = 1000
    environments_at_once: int = 1000
    environments_per_10_seconds: float = 1000.0
    requests_per_environment: float | None = None
    request_bytes: int = 6_291_456
    event_bytes: int = 1_048_576
    response_bytes: int = 6_291_556
    init_seconds: float = 10.0
    idle_seconds: float | None = None
    event_waits: tuple[float, float] = (60.0, 120.0)

    def __post_init__(self) -> None:
        optional = (self.requests_per_environment or 0.0, self.idle_seconds or 0.0)
        numbers = (self.environments_per_10_seconds, self.init_seconds, *optional)
        sizes = (self.request_bytes, self.event_bytes, self.response_bytes)
        if min(self.concurrency, self.environments_at_once, *sizes) < 1:
            raise ConfigurationError(
                f"{self} lets nothing run; give a concurrency, environments_at_once and sizes of "
                "at least 1"
            )
        if min(*numbers, *self.event_waits) < 0:
            raise ConfigurationError(f"{self} has negative times or rates; give 0 or more")
