"""The worker functions of the table `params`: a slice of an epoch, on each kind of shared model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from bench.peers.session import require
from bench.sparse import batches, problem

if TYPE_CHECKING:
    from asyncfabric.params import ParameterServer

MODEL = "bench:model"
_clients: dict[str, Any] = {}


def prepare(features: int) -> None:
    """Make the problem in this process, and import what the work needs."""
    require("redis")
    problem(features)


def with_parameter_server(part: tuple[int, int], ps: ParameterServer, features: int) -> None:
    """Pull the weights of each batch's words, push what the step adds to them."""
    data = problem(features)
    for batch in batches(*part):
        touched, words = data.touched(batch)
        weights, version = ps.blocking.pull("weights", indices=touched)
        delta = data.delta(batch, words, cast("Any", weights))
        ps.blocking.push("weights", delta, indices=touched, version=version)


def with_whole_model(part: tuple[int, int], path: str, features: int) -> None:
    """GET the whole model for each batch and SET it afterwards, as redis-py is used."""
    import numpy as np
    import redis

    client = _clients.get(path)
    if client is None:
        client = _clients[path] = redis.Redis(unix_socket_path=path)
    data = problem(features)
    for batch in batches(*part):
        touched, words = data.touched(batch)
        weights = np.frombuffer(cast("Any", client).get(MODEL)).copy()
        weights[touched] += data.delta(batch, words, weights[touched])
        client.set(MODEL, weights.tobytes())
