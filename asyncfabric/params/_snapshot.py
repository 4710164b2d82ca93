"""The whole model at one moment, to keep outside of Redis."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ._checks import float_array
from ._pull import nothing_to_read, pull_command, read_shards
from ._replica import REPLICAS, Pulled
from ._steps import ask, gone, nothing, raise_first, status
from ._store import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._layout import FloatArray
    from ._place import Place
    from ._steps import Command, Reply, Steps

_MAGIC = b"AFPARAM1"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All parameters of a server as they were at one moment.

    With them go the numbers of the pushes that are in them, so that a call that is repeated after
    a restore isn't counted twice.

        store = fabric.store
        await store.put("model", (await ps.snapshot()).to_bytes())
        await ps.restore(Snapshot.from_bytes(await store.get("model")))

    Attributes:
        values: by name.
        versions: of each parameter.
    """

    values: Mapping[str, FloatArray]
    versions: Mapping[str, int]
    _seen: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes], repr=False)

    def to_bytes(self) -> bytes:
        """Return it as bytes: a JSON head, then raw little-endian elements. No pickle."""
        arrays = {
            name: values.astype(f"<f{values.itemsize}", copy=False)
            for name, values in self.values.items()
        }
        head = {
            "parameters": [
                [name, values.dtype.str, values.shape, self.versions[name]]
                for name, values in arrays.items()
            ],
            "seen": [[token.hex(), int(number)] for token, number in self._seen.items()],
        }
        text = json.dumps(head).encode()
        body = [values.tobytes() for values in arrays.values()]
        return b"".join([_MAGIC, len(text).to_bytes(8, "little"), text, *body])

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Snapshot:
        """Read what `to_bytes` wrote. Raises `ValueError` for anything else."""
        view = memoryview(data)
        length = int.from_bytes(view[8:16], "little")
        if bytes(view[:8]) != _MAGIC or len(view) < 16 + length:
            msg = "these bytes are no snapshot of a ParameterServer, or not all of one"
            raise ValueError(msg)
        head: dict[str, Any] = json.loads(bytes(view[16 : 16 + length]))
        try:
            return cls._from(view, head, 16 + length)
        except (AttributeError, KeyError, TypeError) as error:
            msg = f"the head of this snapshot isn't one that a ParameterServer wrote ({error})"
            raise ValueError(msg) from None

    @classmethod
    def _from(cls, view: memoryview, head: dict[str, Any], start: int) -> Snapshot:
        import numpy as np

        values: dict[str, FloatArray] = {}
        versions: dict[str, int] = {}
        for name, code, shape, version in head["parameters"]:
            if code not in ("<f4", "<f8"):
                msg = f"parameter {name!r} of the snapshot is {code}, and not a float"
                raise ValueError(msg)
            if any(each < 0 for each in shape):
                msg = f"parameter {name!r} of the snapshot has shape {shape}"
                raise ValueError(msg)
            kind = np.dtype(code)
            count = int(np.prod(shape, dtype=np.int64))
            if start + count * kind.itemsize > len(view):
                msg = f"the snapshot ends in the midst of parameter {name!r}: it was cut short"
                raise ValueError(msg)
            flat: FloatArray = np.frombuffer(view, kind, count, start)
            values[name] = flat.astype(kind.newbyteorder("=")).reshape(shape)
            versions[name] = version
            start += count * kind.itemsize
        if start < len(view):
            msg = f"{len(view) - start} bytes come after the end of the snapshot"
            raise ValueError(msg)
        seen = {bytes.fromhex(token): b"%d" % number for token, number in head["seen"]}
        return cls(values, versions, seen)


def snapshot(place: Place) -> Steps[Snapshot]:
    """Read everything in one transaction, small because the most of it is read before."""
    import numpy as np

    while True:
        names = yield from place.names()
        found = yield from place.look_up(names) if names else nothing([])
        layouts = {name: each for name, each in zip(names, found, strict=True) if each is not None}
        for name, layout in layouts.items():
            yield from read_shards(place, name, layout, range(layout.shards), nothing_to_read)
        values: dict[str, FloatArray] = {
            name: np.empty(layout.size, layout.dtype) for name, layout in layouts.items()
        }
        versions: dict[str, int] = {}
        incarnation = (yield ()).incarnation
        commands: list[Command] = [
            pull_command(place, name, layout, range(layout.shards), incarnation)
            for name, layout in layouts.items()
        ]
        commands += ("HGETALL", place.keys.seen_before), ("HGETALL", place.keys.seen)
        answer = yield from ask(("MULTI",), *commands, ("EXEC",))
        replies: list[Reply] = answer.replies[-1]
        raise_first(replies)
        if len(layouts) < len(names):
            continue
        for (name, layout), reply in zip(layouts.items(), replies, strict=False):
            said = status(reply)
            if said == "gone":
                raise gone(name)
            pulled = Pulled(place.server, layout, range(layout.shards), answer.incarnation)
            if said == "changed" or not _read(pulled, reply, values[name]):
                break
            versions[name] = int(reply[1])
        if len(versions) == len(names):
            shaped = {name: values[name].reshape(layouts[name].shape) for name in names}
            seen = {**_pairs(replies[-2]), **_pairs(replies[-1])}
            return Snapshot(shaped, versions, seen)


def _read(pulled: Pulled, reply: Reply, values: FloatArray) -> bool:
    """Read a parameter; returns False if it isn't as it was at the snapshot's moment."""
    layout = pulled.layout
    then = [since + len(entries) for since, _, entries, _, _ in reply[2]]
    now: list[int] = []

    def read(shard: int, at: int, elements: FloatArray) -> None:
        now.append(at)
        values[shard * layout.shard : shard * layout.shard + elements.size] = elements

    # Another thread may have brought the copies further: what it has isn't among what was seen.
    return REPLICAS.update(pulled, reply[2], read) and now == then


def _pairs(reply: Reply) -> dict[bytes, bytes]:
    found = dict(zip(reply[::2], reply[1::2], strict=True))
    found.pop(b"", None)
    return found


def restoring(snapshot: Snapshot) -> Change:
    """Return the change that brings a snapshot back, instead of everything that is there."""
    values = {
        name: float_array(array, name, finite=False) for name, array in snapshot.values.items()
    }
    return Change(
        values,
        everything=True,
        versions=snapshot.versions,
        seen=snapshot._seen,  # noqa: SLF001
    )
