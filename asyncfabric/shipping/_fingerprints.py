"""Fingerprints of inputs: equal for equal inputs, in every process that makes them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import SerializationError

from ._canonical import Canonical, NoCanonicalForm, no_form
from ._identity import spelt_identity

if TYPE_CHECKING:
    from collections.abc import Iterable

_ADVICE = "a durable job's inputs are plain data, arrays, or objects that can be pickled"


class Fingerprints:
    """Takes the fingerprints of one job's inputs.

    Functions and classes of the main program among them count by what they are made of, looked at
    once. A large input takes as long as SHA-256 of its bytes, about 1 ms a megabyte: call it in a
    thread then.
    """

    def __init__(self) -> None:
        self._canonical = Canonical(self._local)
        self._known: weakref.WeakKeyDictionary[Any, bytes] = weakref.WeakKeyDictionary()

    def of(self, value: object) -> bytes:
        """Return the fingerprint of an input: 32 bytes.

        Raises:
            SerializationError: it has none: it can't be pickled, or refers to itself.
        """
        try:
            return self._canonical.digest(value)
        except NoCanonicalForm as error:
            raise no_form("the input", error, _ADVICE) from error

    def of_all(self, values: Iterable[object]) -> list[bytes]:
        """Return the fingerprints of inputs. Raises as `of` does."""
        return list(map(self.of, values))

    def _local(self, found: Any) -> bytes:  # noqa: ANN401 - a function or class
        known = self._known.get(found)
        if known is None:
            try:
                known = spelt_identity(found)
            except SerializationError as error:
                raise NoCanonicalForm(str(error)) from error
            self._known[found] = known
        return known
