"""What users hand in, checked before anything is sent."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, cast

from asyncfabric._exceptions import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ._layout import FloatArray, Layout


def parameter_name(name: object) -> str:
    """Check the name of a parameter."""
    if not isinstance(name, str) or not name:
        msg = f"a parameter's name is a text that isn't empty, not {name!r}"
        raise TypeError(msg)
    return name


def part_of_keys(text: object, what: str) -> str:
    """Check what keys begin with: no two servers' are the same, nor mean more in an ACL rule."""
    if not isinstance(text, str):
        msg = f"{what} is a text, not {text!r}"
        raise TypeError(msg)
    if not text or set(text) & set(":{}*?["):
        msg = f"{what}{text!r}: give a text without any of : {{ }} * ? [ that isn't empty"
        raise ConfigurationError(msg)
    return text


def whole_number(number: object, what: str) -> int:
    """Check an integer, which may be numpy's."""
    try:
        return operator.index(cast("Any", number))
    except TypeError:
        msg = f"{what} is an integer, not {number!r}"
        raise TypeError(msg) from None


def positive_number(number: object, what: str) -> int:
    """Check an integer above 0."""
    found = whole_number(number, what)
    if found < 1:
        msg = f"{what}{found}: give an integer above 0"
        raise ConfigurationError(msg)
    return found


def float_array(
    values: object, what: str, *, may_be_empty: bool = False, finite: bool = True
) -> FloatArray:
    """Return values as an array of finite floats; Python numbers and lists become float64."""
    import numpy as np

    array: NDArray[Any] = np.asarray(values)
    if not isinstance(values, np.ndarray | np.generic) and array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype.char not in "fd":
        msg = f"{what} is {array.dtype}; parameters are float32 or float64: use .astype(float)"
        raise TypeError(msg)
    if array.size == 0 and not may_be_empty:
        msg = f"{what} is empty; there is nothing to share"
        raise ValueError(msg)
    if finite and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        msg = (
            f"{what} has {bad} values that are NaN or infinite; added to a shared parameter they "
            "could never be taken out again. Lower the step, or check the inputs"
        )
        raise ValueError(msg)
    return array


def narrowed(delta: FloatArray, layout: Layout) -> FloatArray:
    """Return numbers of Python's in a parameter's precision; too large ones are refused."""
    import numpy as np

    if delta.itemsize == layout.itemsize:
        return delta
    with np.errstate(over="ignore"):
        return float_array(
            delta.astype(layout.dtype), f"the delta, as {layout.dtype},", may_be_empty=True
        )


def fitting(layout: Layout, delta: FloatArray, name: str) -> FloatArray:
    """Check a delta's precision: what a parameter can't hold exactly isn't added silently."""
    if delta.itemsize != layout.itemsize:
        msg = (
            f"the delta is {delta.dtype} and parameter {name!r} is {layout.dtype}: convert it with "
            f".astype(numpy.{layout.dtype})"
        )
        raise TypeError(msg)
    return delta


def index_array(layout: Layout, indices: object) -> NDArray[np.int64]:
    """Return indices into the flattened parameter, one-dimensional and within it."""
    import numpy as np

    array: NDArray[Any] = np.asarray(indices)
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        msg = f"indices are a one-dimensional array of integers, not {array.ndim}-d {array.dtype}"
        raise TypeError(msg)
    array = array.astype(np.int64, copy=False)
    # As unsigned numbers, negative ones are too large as well.
    if array.view(np.uint64).max() >= layout.size:
        msg = (
            f"indices reach from {array.min()} to {array.max()}; the parameter has {layout.size} "
            "elements, counted from 0 (of a matrix, flattened: numpy.ravel_multi_index)"
        )
        raise IndexError(msg)
    return array
