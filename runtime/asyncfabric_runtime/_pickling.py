"""The pickler of every value that crosses: cloudpickle, plus exceptions of every awkward kind.

cloudpickle sends what lives in `__main__`, lambdas and closures by value, and keeps the identity of
such classes across the round trip, so `isinstance` holds at both ends.
"""

from __future__ import annotations

import contextlib
from types import FunctionType
from typing import TYPE_CHECKING, Any

import cloudpickle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pickle import PickleBuffer

_BUILTIN_REDUCTIONS = (BaseException.__reduce__, OSError.__reduce__)


def rebuild_exception(
    kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]
) -> Any:  # noqa: ANN401
    """Make an exception without running its own `__init__`, whose arguments are not known."""
    error = kind.__new__(kind, *args)
    # The built-in ancestor's initialiser takes `args` and fills the fields kept in C (errno, code).
    builtin = next(base for base in kind.__mro__ if not _python_init(base))
    with contextlib.suppress(TypeError):
        builtin.__init__(error, *args)  # type: ignore[misc] # of an ancestor, on purpose
    error.args = args
    error.__dict__.update(state)
    return error


def _python_init(kind: type) -> bool:
    return isinstance(kind.__init__, FunctionType)  # type: ignore[misc] # read, not called


class Pickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle is untyped
    """cloudpickle's, at protocol 5, with exceptions rebuilt by attributes instead of by `__init__`.

    The default reduction calls the class with `args`, which fails for the many exceptions whose
    `__init__` takes other arguments than it hands to `super().__init__`.
    """

    def __init__(self, file: Any, buffer_callback: Callable[[PickleBuffer], Any]) -> None:  # noqa: ANN401
        super().__init__(  # pyright: ignore[reportUnknownMemberType] # cloudpickle is untyped
            file, protocol=5, buffer_callback=buffer_callback
        )

    def reducer_override(self, obj: Any) -> Any:  # noqa: ANN401 - the hook's signature
        """Reduce exceptions with an `__init__` of their own by state, unless they say how."""
        if isinstance(obj, BaseException):
            kind = type(obj)
            if _python_init(kind) and kind.__reduce__ in _BUILTIN_REDUCTIONS:
                return rebuild_exception, (kind, obj.args, dict(obj.__dict__))
        return super().reducer_override(obj)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
