"""Options: what can be set for a Fabric, for a part of its calls, or on a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict, cast, get_type_hints

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
    env: environment variables in force in the workers while the calls run. Default None.
    weight: share of the workers among maps that run at once, a number above 0: one of weight 2
        launches twice as much work as one of weight 1. Default 1.
    """

    timeout: float | None
    retry: Retry | None
    hedge: Hedge | None
    idempotent: bool
    initializer: Callable[[], object] | None
    env: Mapping[str, str] | None
    weight: float


@dataclass(frozen=True, slots=True)
class Settings:
    """Options checked, with their defaults filled in."""

    timeout: float | None = None
    retry: Retry | None = Retry()  # noqa: RUF009 - frozen
    hedge: Hedge | None = Hedge()  # noqa: RUF009 - frozen
    idempotent: bool = True
    initializer: Callable[[], object] | None = None
    env: Mapping[str, str] | None = None
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
_OF_ALL = frozenset({"backend", "storage", "limit", "max_concurrency", "max_pending"})


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
    if env is not None and not (isinstance(env, Mapping) and _all_text(cast("Any", env))):
        _refuse("env", given["env"], "a mapping from str to str, such as {'OMP_NUM_THREADS': '1'}")


def _all_text(env: Mapping[Any, Any]) -> bool:
    return all(isinstance(part, str) for pair in env.items() for part in pair)


def _is_positive(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 < value < float("inf")


def _refuse(name: str, value: object, wanted: str) -> None:
    msg = f"{name}={value!r} makes no sense; give {wanted}"
    raise ConfigurationError(msg)
