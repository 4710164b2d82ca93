"""params: sparse logistic regression on a model that workers share through Redis."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bench.goals import Goal, LimitGoal, RatioGoal, Side
from bench.model import Cell
from bench.peers import OURS
from bench.peers.session import require
from bench.sparse import BATCH, DOCUMENTS, RATE, problem, sequential
from bench.tables.base import Metric, Table, same_work

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.sparse import Array
    from bench.tables.base import Plan

NAME = "params"
_FEATURES = (47_236, 1 << 20)
_WORKERS = (1, 2, 4)
_EPOCHS = 3
_PATIENCE = 2  # times as many epochs to reach the target in
_TARGET = 1.02
_PARTS = 10  # calls an epoch is cut into; of whole batches
_UPDATES = DOCUMENTS // BATCH


def _work(features: int, workers: int) -> str:
    return f"{features:,} features, {workers} worker{'s' * (workers > 1)}"


def cells(plan: Plan) -> Sequence[Cell]:
    """Return every peer at every size and number of workers; the sequential ones at one worker."""
    found: list[Cell] = []
    for features in _FEATURES:
        for workers in _WORKERS:
            ways = [(OURS, "parameter-server"), ("redis-py", "get-set")]
            if workers == 1:
                ways += [("scikit-learn", "partial_fit")]
            found += [
                Cell(
                    table=NAME,
                    peer=peer,
                    way=way,
                    work=_work(features, workers),
                    n=_UPDATES * _EPOCHS,
                    loop=plan.loop,
                    timeout_s=300,
                )
                for peer, way in ways
            ]
    return found[:2] if plan.smoke else found


async def measure(cell: Cell) -> Mapping[str, float]:
    """Descend for some epochs; the clock stands still while the loss is computed."""
    features = int(cell.work.split()[0].replace(",", ""))
    workers = int(cell.work.split(", ")[1].split()[0])
    best = sequential(features, _EPOCHS)[-1]
    if cell.peer == "scikit-learn":
        return _follow_scikit(features, best)
    require("redis")
    if cell.peer == OURS:
        return await _with_parameter_server(features, workers, best)
    return await _with_whole_model(features, workers, best)


class _Descent:
    """Losses and times of a descent, epoch by epoch."""

    def __init__(self, features: int, best: float) -> None:
        self._problem = problem(features)
        self._best = best
        self._losses: list[float] = []
        self._seconds = 0.0
        self._reached: float | None = None

    @property
    def goes_on(self) -> bool:
        done = len(self._losses)
        return done < _EPOCHS or (self._reached is None and done < _PATIENCE * _EPOCHS)

    def epoch(self, seconds: float, weights: Array) -> None:
        """Note an epoch's end."""
        self._seconds += seconds
        self._losses.append(self._problem.loss(weights))
        if self._reached is None and self._losses[-1] <= _TARGET * self._best:
            self._reached = self._seconds

    def metrics(self, updates: int = _UPDATES) -> dict[str, float]:
        """Return the figures; no time to the target if it wasn't reached."""
        found = {
            "updates_per_s": updates * len(self._losses) / self._seconds,
            "loss_ratio": self._losses[_EPOCHS - 1] / self._best,
            "epoch_s": self._seconds / len(self._losses),
        }
        if self._reached is not None:
            found["target_s"] = self._reached
        return found


def _parts() -> list[tuple[int, int]]:
    cut = DOCUMENTS // _PARTS
    return [(at, at + cut) for at in range(0, DOCUMENTS, cut)]


async def _with_parameter_server(features: int, workers: int, best: float) -> dict[str, float]:
    import numpy as np

    import asyncfabric as af
    from bench.peers.redis_models import prepare, with_parameter_server

    descent = _Descent(features, best)
    shared: dict[str, Any] = {"features": features}
    async with (
        af.params.ParameterServer(name="bench") as ps,
        af.Fabric(f"local://?processes={workers}", hedge=None) as fabric,
    ):
        await ps.put("weights", np.zeros(features))
        await fabric.map(prepare, [features] * 8 * workers, chunksize=1)
        while descent.goes_on:
            begin = time.perf_counter()
            await fabric.map(
                with_parameter_server, _parts(), shared={**shared, "ps": ps}, chunksize=1
            )
            seconds = time.perf_counter() - begin
            values: Any = (await ps.pull("weights")).values
            descent.epoch(seconds, values)
        staleness = await ps.staleness("weights")
    return descent.metrics() | {
        "staleness_mean": staleness.mean,
        "staleness_p95": float(staleness.quantile(0.95)),
    }


async def _with_whole_model(features: int, workers: int, best: float) -> dict[str, float]:
    import numpy as np
    import redis

    import asyncfabric as af
    from asyncfabric.params._private import PrivateRedis
    from bench.peers.redis_models import MODEL, prepare, with_whole_model

    descent = _Descent(features, best)
    server = PrivateRedis()
    server.start()
    path = server.url.removeprefix("unix://")
    shared: dict[str, Any] = {"features": features, "path": path}
    client: Any = redis.Redis(unix_socket_path=path)
    client.set(MODEL, np.zeros(features).tobytes())
    async with af.Fabric(f"local://?processes={workers}", hedge=None) as fabric:
        await fabric.map(prepare, [features] * 8 * workers, chunksize=1)
        while descent.goes_on:
            begin = time.perf_counter()
            await fabric.map(with_whole_model, _parts(), shared=shared, chunksize=1)
            seconds = time.perf_counter() - begin
            descent.epoch(seconds, np.frombuffer(client.get(MODEL)))
    client.close()
    server.stop()
    return descent.metrics()


def _follow_scikit(features: int, best: float) -> dict[str, float]:
    linear: Any = require("sklearn.linear_model")
    sparse: Any = require("scipy.sparse")
    import numpy as np

    from bench.sparse import WORDS

    data = problem(features)
    starts = np.arange(0, DOCUMENTS * WORDS + 1, WORDS)
    values = np.full(DOCUMENTS * WORDS, 1 / np.sqrt(WORDS))
    matrix = sparse.csr_matrix(
        (values, data.columns.reshape(-1), starts), shape=(DOCUMENTS, features)
    )
    matrix.sum_duplicates()
    model: Any = linear.SGDClassifier(
        loss="log_loss",
        penalty=None,
        fit_intercept=False,
        learning_rate="constant",
        eta0=RATE / BATCH,  # a step for each document
        shuffle=False,
    )
    descent = _Descent(features, best)
    while descent.goes_on:
        begin = time.perf_counter()
        model.partial_fit(matrix, data.classes, classes=[-1.0, 1.0])
        descent.epoch(time.perf_counter() - begin, model.coef_[0])
    return descent.metrics(DOCUMENTS)


def _goals() -> tuple[Goal, ...]:
    n = _UPDATES * _EPOCHS
    updates = [
        RatioGoal(
            text=f"updates/s against the whole model by GET and SET, {work}",
            metric="updates_per_s",
            better="higher",
            ours=Side(way="parameter-server", work=work, n=n),
            theirs=Side(peer="redis-py", way="get-set", work=work, n=n),
            factor=5,
        )
        for work in (_work(features, workers) for features in _FEATURES for workers in _WORKERS)
    ]
    losses = [
        LimitGoal(
            text=f"loss against that of sequential descent, {work}",
            metric="loss_ratio",
            better="lower",
            ours=Side(way="parameter-server", work=work, n=n),
            limit=_TARGET,
            unit="",
        )
        for work in (_work(features, 4) for features in _FEATURES)
    ]
    return (*updates, *losses)


TABLE = Table(
    name=NAME,
    title="A sparse model shared through Redis",
    about=(
        f"Logistic regression over {DOCUMENTS:,} generated documents of 60 words (Zipf's law), "
        f"{_EPOCHS} epochs of mini-batches of {BATCH}: an update reads the weights of a batch's "
        "words, some 800, and adds to them. 47,236 features are those of RCV1; a million "
        "(2^20) is what scikit-learn's HashingVectorizer makes of a text. The rows of Redis "
        "differ in nothing but how workers use it, a private server on a Unix socket; workers are "
        "asyncfabric's own in both. `loss ratio`: the loss after these epochs against that of the "
        "same descent in one process without a server. `to target`: seconds until the end of the "
        "first epoch whose loss is within 2% of it, none if that took more than twice as many."
    ),
    headline=Metric("updates_per_s", "updates/s", "rate", "higher"),
    columns=(
        Metric("loss_ratio", "loss ratio", "number"),
        Metric("target_s", "to target s", "number"),
        Metric("epoch_s", "epoch s", "number"),
        Metric("staleness_mean", "staleness, mean", "number"),
        Metric("staleness_p95", "staleness, p95", "number"),
    ),
    cells=cells,
    measure=measure,
    reference=same_work("parameter-server"),
    goals=_goals(),
    notes=(
        (
            "Pushes of a parameter server are never lost. GET and SET of several workers overwrite "
            "each other, which is why their loss grows with the workers."
        ),
        (
            "scikit-learn updates after every document, in one process and compiled, with no "
            "server: its updates are a twentieth of the others'."
        ),
        "Where there are fewer cores than workers and Redis, more workers can't be faster.",
    ),
)
