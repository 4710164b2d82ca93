"""What the user wants deployed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncfabric._exceptions import ConfigurationError
from asyncfabric.aws._family import DEFAULT_MEMORY, Member, machine, member
from asyncfabric_runtime import PYTHON

from ._served import check_served
from ._target import Target, check_python

if TYPE_CHECKING:
    from collections.abc import Mapping

_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_POLICY = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\w+=,.@/-]+")
_LAYER = re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:layer:[\w-]+:\d+")
_RETENTION = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653)
MOST_LAYERS = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `asyncfabric deploy`.

    Raises:
        ConfigurationError: one of them makes no sense; said before anything is asked of AWS.
    """

    name: str = "asyncfabric"
    memory: tuple[int, ...] = (DEFAULT_MEMORY,)
    """MB of each member."""
    arch: str = field(default_factory=machine)
    timeout: int = 900
    """Seconds that an invocation may take."""
    ephemeral_storage: int = 2048
    """MB of /tmp."""
    bucket: str | None = None
    """None: the family's own, `asyncfabric-ACCOUNT-REGION`."""
    expire_days: int = 30
    """Days after which objects go; of a bucket of ours only."""
    log_days: int = 14
    role_arn: str | None = None
    """None: a role is made."""
    permissions_boundary: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    reserved_concurrency: int | None = None
    """None: as it is."""
    requirements: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    image: str | None = None
    serve: tuple[str, ...] = ()
    """Modules and functions; the workers run nothing else then."""

    def __post_init__(self) -> None:
        _ = self.members
        self._check_numbers()
        self._check_names()
        check_served(self.serve)
        if self.image is None:
            check_python(PYTHON)
        elif self.layers or self.requirements:
            msg = "an image holds its packages; give --image without --layer and --requirements"
            raise ConfigurationError(msg)

    @property
    def members(self) -> list[Member]:
        """The functions that should be there."""
        return [member(self.name, memory=each, arch=self.arch) for each in sorted({*self.memory})]

    @property
    def target(self) -> Target:
        """What they run on."""
        return Target(PYTHON, self.arch)

    @property
    def prefix(self) -> str:
        """Where in the bucket the family's objects are: the family's name."""
        return self.name

    def _check_numbers(self) -> None:
        for value, least, most, what in (
            (self.timeout, 1, 900, "--timeout (seconds)"),
            (self.ephemeral_storage, 512, 10_240, "--ephemeral-storage (MB)"),
            (self.expire_days, 1, 3650, "--expire-days"),
        ):
            if not least <= value <= most:
                msg = f"{what} can't be {value}; give {least} to {most}"
                raise ConfigurationError(msg)
        if self.log_days not in _RETENTION:
            msg = f"logs can't be kept for {self.log_days} days; give one of {_RETENTION}"
            raise ConfigurationError(msg)
        if self.reserved_concurrency is not None and self.reserved_concurrency < 0:
            msg = "--reserved-concurrency can't be negative; give how many workers may run at once"
            raise ConfigurationError(msg)
        if len(self.layers) > MOST_LAYERS:
            msg = f"a function takes {MOST_LAYERS} layers and {len(self.layers)} were given"
            raise ConfigurationError(msg)

    def _check_names(self) -> None:
        for value, pattern, what in (
            (self.bucket, _BUCKET, "--bucket: name of a bucket, as my-bucket"),
            (self.role_arn, _ROLE, "--role-arn: as arn:aws:iam::123456789012:role/NAME"),
            (
                self.permissions_boundary,
                _POLICY,
                "--permissions-boundary: as arn:aws:iam::123456789012:policy/NAME",
            ),
            *(
                (layer, _LAYER, "--layer: as arn:aws:lambda:REGION:123456789012:layer:NAME:VERSION")
                for layer in self.layers
            ),
        ):
            if value is not None and not pattern.fullmatch(value):
                option, _, example = what.partition(": ")
                msg = f"{option} can't be {value!r}; write it {example}"
                raise ConfigurationError(msg)
