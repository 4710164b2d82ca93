"""The worker functions of the table `params`: a slice of an epoch, on each kind of shared model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.peers.session import require
from bench.sparse import problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncfabric.params import ParameterServer
    from bench.sparse import Array, Batch

MODEL = "bench:model"
_LARGE = 1 << 20  # bytes that a tuned client reads at once
_clients: dict[tuple[str, bool], Any] = {}


def prepare(_: int, features: int, documents: int) -> None:
    """Make the problem in this process, and import what the work needs."""
    require("redis")
    problem(features, documents)


def with_parameter_server(
    batches: slice, ps: ParameterServer, features: int, documents: int, every: int
) -> None:
    """Pull and push what each batch touches; `every` so many updates travel as one push."""
    with ps.blocking.stream("weights", every=every) as weights:
        for batch in problem(features, documents).batches[batches]:
            values: Any = weights.pull(indices=batch.touched).values
            weights.push(batch.delta(values), indices=batch.touched)


def get_and_set(batches: slice, path: str, features: int, documents: int) -> None:
    """GET the whole model for each batch and SET it afterwards, as redis-py is used."""
    client = _client(path, tuned=False)
    for batch in problem(features, documents).batches[batches]:
        model = _writable(client.get(MODEL))
        _update(model, [batch])
        client.set(MODEL, model.tobytes())


def set_then_get(batches: slice, path: str, features: int, documents: int, every: int) -> None:
    """GET and SET for `every` so many batches, each SET with the next GET in one round trip."""
    client = _client(path, tuned=True)
    todo = problem(features, documents).batches[batches]
    raw = client.get(MODEL)
    for at in range(0, len(todo), every):
        model = _writable(raw)
        _update(model, todo[at : at + every])
        if at + every >= len(todo):
            client.set(MODEL, model.tobytes())
            return
        pipeline = client.pipeline(transaction=False)
        pipeline.set(MODEL, model.tobytes())
        pipeline.get(MODEL)
        raw = pipeline.execute()[1]


def watch_and_set(batches: slice, path: str, features: int, documents: int) -> None:
    """GET and SET so that nothing is lost: WATCH, and once more if somebody else was faster."""
    import redis

    client = _client(path, tuned=True)
    for batch in problem(features, documents).batches[batches]:
        while True:
            with client.pipeline() as pipeline:
                pipeline.watch(MODEL)
                model = _writable(pipeline.get(MODEL))
                _update(model, [batch])
                pipeline.multi()
                pipeline.set(MODEL, model.tobytes())
                try:
                    pipeline.execute()
                except redis.WatchError:
                    continue
            break


def _update(model: Array, batches: Sequence[Batch]) -> None:
    for batch in batches:
        model[batch.touched] += batch.delta(model[batch.touched])


def _writable(raw: bytes) -> Array:
    import numpy as np

    return np.frombuffer(raw).copy()


def _client(path: str, *, tuned: bool) -> Any:  # noqa: ANN401 - whose types are partly unknown
    import redis

    key = path, tuned
    if key not in _clients:
        options: dict[str, Any] = {"socket_read_size": _LARGE} if tuned else {}
        _clients[key] = redis.Redis(unix_socket_path=path, **options)
    return _clients[key]
