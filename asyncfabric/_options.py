"""Options: what can be set for a Fabric, for a part of its calls, or on a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict, get_type_hints

from asyncfabric_runtime._secrets import is_reference, is_variable

from ._exceptions import ConfigurationError
from .scheduling import Hedge, Retry
from .shipping import is_coroutine_function

if TYPE_CHECKING:
    from typing import Self


class Options(TypedDict, total=False):
    """Keyword options of `Fabric`, `Fabric.with_options` and `asyncfabric.function`.

    timeout: seconds that one attempt may run, enforced by the worker; None for no limit. Default:
        no limit on this machine, 300 on AWS Lambda. Everything longer than an attempt is bounded by
        `asyncio.timeout()`.
    retry: a `Retry`, or None to repeat nothing. Default: `Retry()`, up to three attempts at calls
        that failed for no fault of their own, such as those whose worker died.
    hedge: a `Hedge`, or None for no copies. Default: `Hedge()`, which launches a second copy of a
        call that plainly takes too long, when there is room; the first answer counts. Backends that
        can't see to that ignore it: `"inline://"`, and others that don't say they can.
    idempotent: False if a call must not run twice: an attempt that may have run isn't repeated, its
        call raises; and there are no copies. Default True.
    initializer: runs once in each worker process before its first call. Default None.
    env: environment variables in force in the workers while the calls run. They travel in every
        invocation, so don't put secrets there. Default None.
    secrets: environment variables whose values the workers read themselves, from AWS Secrets
        Manager or SSM: `{"DSN": "arn:aws:secretsmanager:..."}`. Only the names travel. See
        `docs/security.md`. Default None.
    weight: share of the workers among maps that run at once, a number above 0: one of weight 2
        launches twice as much work as one of weight 1. Default 1.
    """

    timeout: float | None
    retry: Retry | None
    hedge: Hedge | None
    idempotent: bool
    initializer: Callable[[], object] | None
    env: Mapping[str, str] | None
    secrets: Mapping[str, str] | None
    weight: float


@dataclass(frozen=True, slots=True)
class Settings:
    """Options checked, with their defaults filled in."""

    timeout: float | None = None
    retry: Retry | None = Retry()  # noqa: RUF009 - frozen
    hedge: Hedge | None = Hedge()  # noqa: RUF009 - frozen
    idempotent: bool = True
    initializer: Callable[[], object] | None = None
    env: Mapping[str, str] | None = field(default=None, repr=False)
    secrets: Mapping[str, str] | None = field(default=None, repr=False)
    weight: float = 1.0
    timeout_given: bool = False

    def timeout_on(self, default: float | None) -> float | None:
        """Return the timeout on a backend with a default of its own."""
        return self.timeout if self.timeout_given else default

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """Return these settings with options put over them. Raises `ConfigurationError`."""
        if not options:
            return self
        unknown = sorted(set(options) - set(_NAMES))
        if unknown:
            name = unknown[0]
            msg = f"unknown option {name!r}; the options are {', '.join(sorted(_NAMES))}"
            if name in _OF_ALL:
                msg = f"{name!r} holds for all that a Fabric runs; give it to Fabric({name}=...)"
            raise ConfigurationError(msg)
        merged = replace(self, **options, timeout_given=self.timeout_given or "timeout" in options)
        _check(merged)
        return merged


_NAMES = frozenset(get_type_hints(Options))
_OF_ALL = frozenset(
    {"backend", "storage", "limit", "max_concurrency", "max_pending", "trust", "code"}
)


def _check(settings: Settings) -> None:
    # The types are what the caller promised; these checks are for callers that break the promise.
    given: dict[str, Any] = {name: getattr(settings, name) for name in _NAMES}
    timeout, weight, env, hedge = given["timeout"], given["weight"], given["env"], given["hedge"]
    retry, initializer, idempotent = given["retry"], given["initializer"], given["idempotent"]
    if timeout is not None and not _is_positive(timeout):
        _refuse("timeout", timeout, "seconds above 0, or None for no limit")
    if not _is_positive(weight):
        _refuse("weight", weight, "a number above 0")
    if not isinstance(idempotent, bool):
        _refuse("idempotent", idempotent, "True or False")
    if retry is not None and not isinstance(retry, Retry):
        _refuse("retry", retry, "an asyncfabric.Retry(...), or None for no retry")
    if hedge is not None and not isinstance(hedge, Hedge):
        _refuse("hedge", hedge, "an asyncfabric.Hedge(...), or None for no copies")
    if initializer is not None and not callable(initializer):
        _refuse("initializer", initializer, "a function without arguments")
    if initializer is not None and is_coroutine_function(initializer):
        _refuse("initializer", initializer, "a plain function: nothing awaits a coroutine there")
    if env is not None and not _is_text_to_text(env):
        _refuse_hidden("env", "a mapping from str to str, such as {'OMP_NUM_THREADS': '1'}")
    _check_secrets(given["secrets"], env or {})


def _check_secrets(secrets: Any, env: Mapping[str, str]) -> None:  # noqa: ANN401 - the caller's
    if secrets is None:
        return
    if not _is_text_to_text(secrets):
        _refuse_hidden("secrets", "a mapping such as {'DSN': 'arn:aws:secretsmanager:...'}")
    references: Mapping[str, str] = secrets
    for name, reference in references.items():
        if not is_variable(name) or name in env:
            msg = (
                f"secrets can't be put into the environment variable {name!r}; give it a name that "
                "env= doesn't have, of letters, digits and underscores, and none that steers "
                "Python or AWS's tools"
            )
            raise ConfigurationError(msg)
        if not is_reference(reference):
            _refuse_hidden(
                f"secrets[{name!r}]",
                "where the value is kept, not the value: the ARN of a secret "
                "(arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME), of a parameter "
                "(arn:aws:ssm:REGION:ACCOUNT:parameter/NAME), or env:NAME, an environment variable "
                "of the workers",
            )


def _is_text_to_text(given: object) -> bool:
    if not isinstance(given, Mapping):
        return False
    mapping: Mapping[Any, Any] = given  # pyright: ignore[reportUnknownVariableType] # the caller's
    return all(isinstance(part, str) for pair in mapping.items() for part in pair)


def _is_positive(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 < value < float("inf")


def _refuse_hidden(name: str, wanted: str) -> None:
    """Refuse what may be secret: its value isn't shown."""
    msg = f"{name} makes no sense; give {wanted}"
    raise ConfigurationError(msg)


def _refuse(name: str, value: object, wanted: str) -> None:
    msg = f"{name}={value!r} makes no sense; give {wanted}"
    raise ConfigurationError(msg)
