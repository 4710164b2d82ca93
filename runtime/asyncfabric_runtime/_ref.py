"""`Ref`: a value kept in the object store, handed around by name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ._stores import open_shared_store, read_object

if TYPE_CHECKING:
    from ._data_reading import MakeRef

T = TypeVar("T")


class Ref(Generic[T]):
    """A stored value. Pass it to a call, and the worker passes the value to the function.

    Made by `await fabric.put(value)` and by `map(..., results="ref")`. Two refs are equal when they
    name the same bytes. A Ref can be pickled; it finds its store again by URL.

        ref = await fabric.put(big_frame)
        await fabric.submit(summarise, ref)      # summarise gets the frame, read once per worker
        frame = await ref.get()

    Attributes:
        digest: SHA-256 of the stored bytes, in hexadecimal.
        size: stored bytes.
    """

    __slots__ = ("_as_data", "_store_url", "digest", "size")

    def __init__(self, digest: str, size: int, store_url: str, as_data: bool = False) -> None:  # noqa: FBT001, FBT002 - by name, or from a pickle
        self.digest: str = digest
        self.size: int = size
        self._store_url = store_url
        self._as_data = as_data

    @property
    def store_url(self) -> str:
        """URL of the store that keeps the value."""
        return self._store_url

    async def get(self) -> T:
        """Fetch the value, its digest checked.

        Raises `ObjectNotFound` when it was deleted, `IntegrityError` when its bytes were changed.
        """
        value: T = await read_object(
            open_shared_store(self._store_url),
            self.digest,
            self.size,
            as_data=self._as_data,
            make_ref=refs_of(self._store_url),
        )
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return Ref, (self.digest, self.size, self._store_url, self._as_data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Ref {self.digest[:12]} of {self.size:,} bytes in {self._store_url}>"


def refs_of(store_url: str | None) -> MakeRef | None:
    """Return what makes refs that came as data: they are of this store, whatever they say.

    A worker that could name another one would have the driver read there with its credentials.
    """
    if store_url is None:
        return None
    make = cast("Any", partial)(Ref, store_url=store_url, as_data=True)
    made: MakeRef = make
    return made


def refs_in(value: object) -> list[Ref[Any]]:
    """Find the refs that a call's input is or directly holds: itself, or a member of its tuple."""
    if type(value) is Ref:
        return [value]
    if type(value) is tuple:
        members: tuple[Any, ...] = value  # pyright: ignore[reportUnknownVariableType]
        return [item for item in members if type(item) is Ref]
    return []


def with_values(value: Any, held: dict[str, Any]) -> Any:  # noqa: ANN401 - the user's value
    """Put the values held by digest in the place of the refs."""
    if type(value) is Ref:
        return held[value.digest]
    if type(value) is tuple:
        members: tuple[Any, ...] = value  # pyright: ignore[reportUnknownVariableType]
        if any(type(item) is Ref for item in members):
            return tuple(held[item.digest] if type(item) is Ref else item for item in members)
    whole: Any = value  # pyright: ignore[reportUnknownVariableType]
    return whole
