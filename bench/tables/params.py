"""params: sparse logistic regression on a model that workers share through Redis."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from bench.goals import Goal, LimitGoal, RatioGoal, Side
from bench.meter import Meter
from bench.model import Cell
from bench.peers import OURS
from bench.peers.session import require
from bench.sparse import BATCH, RATE, WORDS, problem, sequential
from bench.tables.base import Metric, Table, same_work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bench.sparse import Array
    from bench.tables.base import Plan

NAME = "params"
_DOCUMENTS = {47_236: 12_000, 1 << 20: 1_600}
"""By features: moving the larger model whole takes so long."""
_WORKERS = (1, 2, 4)
_EPOCHS = 3
_PATIENCE = 2  # times as many epochs to reach the target in
_TARGET = 1.02
_PARTS = 4  # calls an epoch is cut into; of whole batches
_TOGETHER = 4  # updates that travel as one, where a row says so

_ONE, _FOUR = "parameter-server", "parameter-server-4"
_PEERS = {
    47_236: ("get-set", "get-set-tuned", "get-set-4", "watch-set"),
    1 << 20: ("get-set-tuned", "get-set-4"),
}


def _work(features: int, workers: int) -> str:
    return f"{features:,} features, {workers} worker{'s' * (workers > 1)}"


def _updates(features: int) -> int:
    return _DOCUMENTS[features] // BATCH


def cells(plan: Plan) -> Sequence[Cell]:
    """Return every peer at every size and number of workers; the sequential ones at one worker."""
    found: list[Cell] = []
    for features in _DOCUMENTS:
        for workers in _WORKERS:
            ways = [(OURS, _ONE), (OURS, _FOUR), *(("redis-py", way) for way in _PEERS[features])]
            if workers == 1:
                ways += [("scikit-learn", "partial_fit")]
            found += [
                Cell(
                    table=NAME,
                    peer=peer,
                    way=way,
                    work=_work(features, workers),
                    n=_updates(features) * _EPOCHS,
                    loop=plan.loop,
                    timeout_s=300,
                )
                for peer, way in ways
            ]
    return found[:3] if plan.smoke else found


async def measure(cell: Cell) -> Mapping[str, float]:
    """Descend for some epochs; the clock stands still while the loss is computed."""
    features = int(cell.work.split()[0].replace(",", ""))
    workers = int(cell.work.split(", ")[1].split()[0])
    descent = _Descent(features)
    if cell.peer == "scikit-learn":
        return _follow_scikit(descent)
    require("redis")
    if cell.peer == OURS:
        every = _TOGETHER if cell.way == _FOUR else 1
        return await _with_parameter_server(descent, workers, every)
    return await _with_whole_model(descent, workers, cell.way)


class _Descent:
    """Losses and times of a descent, epoch by epoch."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.documents = _DOCUMENTS[features]
        self.problem = problem(features, self.documents)
        self._best = sequential(features, self.documents, _EPOCHS)[-1]
        self._losses: list[float] = []
        self._seconds = 0.0
        self._reached: float | None = None

    async def follow(
        self, epoch: Callable[[], Awaitable[object]], model: Callable[[], Awaitable[Array]]
    ) -> dict[str, float]:
        """Descend until the target is reached, and for some epochs at least."""
        kept = cpu = 0.0
        while self.goes_on:
            with Meter() as meter:
                await epoch()
            cpu += meter.driver_cpu_s + meter.others_cpu_s
            elements = await model()
            self.add(meter.wall_s, elements)
            kept = float(elements[-1])
        updates = _updates(self.features) * len(self._losses)
        return {
            **self.metrics(updates),
            "kept_per_s": kept / self._seconds,
            "kept_percent": 100 * kept / updates,
            "cpu_us": cpu / updates * 1e6,
        }

    @property
    def goes_on(self) -> bool:
        done = len(self._losses)
        return done < _EPOCHS or (self._reached is None and done < _PATIENCE * _EPOCHS)

    def add(self, seconds: float, model: Array) -> None:
        """Note an epoch's end."""
        self._seconds += seconds
        self._losses.append(self.problem.loss(model))
        if self._reached is None and self._losses[-1] <= _TARGET * self._best:
            self._reached = self._seconds

    def metrics(self, updates: int) -> dict[str, float]:
        """Return the figures; no time to the target if it wasn't reached."""
        found = {
            "updates_per_s": updates / self._seconds,
            "loss_ratio": self._losses[_EPOCHS - 1] / self._best,
            "epoch_s": self._seconds / len(self._losses),
        }
        if self._reached is not None:
            found["target_s"] = self._reached
        return found


async def _with_parameter_server(descent: _Descent, workers: int, every: int) -> dict[str, float]:
    import numpy as np

    from asyncfabric.params import ParameterServer
    from bench.peers.redis_models import with_parameter_server

    async with ParameterServer(name="bench") as ps:

        async def model() -> Array:
            values, _ = await ps.pull("weights")
            return values.astype(np.float64, copy=False)

        await ps.put("weights", np.zeros(descent.features + 1))
        shared = {"ps": ps, "every": every}
        found = await _in_workers(descent, workers, with_parameter_server, shared, model)
        staleness = await ps.staleness("weights")
    return found | {
        "staleness_mean": staleness.mean,
        "staleness_p95": float(staleness.quantile(0.95)),
    }


async def _with_whole_model(descent: _Descent, workers: int, way: str) -> dict[str, float]:
    import numpy as np
    import redis

    from asyncfabric.params._private import PrivateRedis
    from bench.peers.redis_models import MODEL, get_and_set, set_then_get, watch_and_set

    works = {"get-set": get_and_set, "watch-set": watch_and_set}
    server = PrivateRedis()
    server.start()
    path = server.url.removeprefix("unix://")
    client: Any = redis.Redis(unix_socket_path=path)

    async def model() -> Array:
        elements: Array = np.frombuffer(client.get(MODEL), np.float64)
        return elements

    client.set(MODEL, np.zeros(descent.features + 1).tobytes())
    shared: dict[str, Any] = {"path": path}
    if way not in works:
        shared["every"] = _TOGETHER if way == "get-set-4" else 1
    found = await _in_workers(descent, workers, works.get(way, set_then_get), shared, model)
    client.close()
    server.stop()
    return found


async def _in_workers(
    descent: _Descent,
    workers: int,
    work: Callable[..., None],
    shared: Mapping[str, Any],
    model: Callable[[], Awaitable[Array]],
) -> dict[str, float]:
    import asyncfabric as af
    from bench.peers.redis_models import prepare

    what = {"features": descent.features, "documents": descent.documents}
    cuts = [_updates(descent.features) * part // _PARTS for part in range(_PARTS + 1)]
    parts = [slice(start, end) for start, end in pairwise(cuts)]
    async with af.Fabric(f"local://?processes={workers}", hedge=None) as fabric:

        async def epoch() -> None:
            await fabric.map(work, parts, shared={**what, **shared}, chunksize=1)

        await fabric.map(prepare, range(8 * workers), shared=what, chunksize=1)
        return await descent.follow(epoch, model)


def _follow_scikit(descent: _Descent) -> dict[str, float]:
    linear: Any = require("sklearn.linear_model")
    sparse: Any = require("scipy.sparse")
    import numpy as np

    documents = descent.documents
    starts = np.arange(0, documents * WORDS + 1, WORDS)
    values = np.full(documents * WORDS, 1 / np.sqrt(WORDS))
    matrix = sparse.csr_matrix(
        (values, descent.problem.columns.reshape(-1), starts), shape=(documents, descent.features)
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
    epochs = 0
    while descent.goes_on:
        begin = time.perf_counter()
        model.partial_fit(matrix, descent.problem.classes, classes=[-1.0, 1.0])
        descent.add(time.perf_counter() - begin, model.coef_[0])
        epochs += 1
    return descent.metrics(documents * epochs)


def _goals() -> tuple[Goal, ...]:
    works = [(features, workers) for features in _DOCUMENTS for workers in _WORKERS]
    updates = [
        RatioGoal(
            text=f"updates/s against the whole model by GET and SET, {what}, {work}",
            metric="updates_per_s",
            better="higher",
            ours=Side(way=ours, work=work, n=n),
            theirs=Side(peer="redis-py", way=theirs, work=work, n=n),
            factor=5,
        )
        for what, ours, theirs in (
            ("each update by itself", _ONE, "get-set-tuned"),
            (f"{_TOGETHER} updates together", _FOUR, "get-set-4"),
        )
        for features, workers in works
        for work, n in ((_work(features, workers), _updates(features) * _EPOCHS),)
    ]
    losses = [
        LimitGoal(
            text=f"loss against that of sequential descent, {way}, {_work(features, 4)}",
            metric="loss_ratio",
            better="lower",
            ours=Side(way=way, work=_work(features, 4), n=_updates(features) * _EPOCHS),
            limit=_TARGET,
            unit="",
        )
        for way in (_ONE, _FOUR)
        for features in _DOCUMENTS
    ]
    return (*updates, *losses)


TABLE = Table(
    name=NAME,
    title="A sparse model shared through Redis",
    about=(
        f"Logistic regression over generated documents of 60 words (Zipf's law), {_EPOCHS} epochs "
        f"of mini-batches of {BATCH}: an update reads the weights of a batch's words, some 800, "
        "and adds to them. 47,236 features are those of RCV1, here with 12,000 documents; a "
        "million (2^20), with 1,600, is what scikit-learn's HashingVectorizer makes of a text. The "
        "rows of Redis differ in nothing but how workers use it, a private server on a Unix "
        "socket; workers are asyncfabric's own in all of them. An element of the model counts "
        "updates: `kept` are those that are in it at the end, and weren't overwritten by other "
        "workers. `loss ratio`: the loss after these epochs against that of the same descent in "
        "one process without a server. `to target`: seconds until the end of the first epoch whose "
        "loss is within 2% of it, none if that took more than twice as many."
    ),
    headline=Metric("updates_per_s", "updates/s", "rate", "higher"),
    columns=(
        Metric("kept_per_s", "kept/s", "rate", "higher"),
        Metric("kept_percent", "kept %", "number", "higher"),
        Metric("cpu_us", "CPU us/update", "us"),
        Metric("loss_ratio", "loss ratio", "number"),
        Metric("target_s", "to target s", "number"),
        Metric("epoch_s", "epoch s", "number"),
        Metric("staleness_mean", "staleness, mean", "number"),
        Metric("staleness_p95", "staleness, p95", "number"),
    ),
    cells=cells,
    measure=measure,
    reference=same_work(_ONE),
    goals=_goals(),
    notes=(
        (
            "Pushes of a parameter server are never lost. GET and SET of several workers overwrite "
            "each other, which is why fewer of their updates are kept and their loss grows; "
            "`watch-set` loses nothing, and repeats the work when another worker was faster."
        ),
        (
            f"The two rows that end in {_TOGETHER} make {_TOGETHER} updates on a worker's own copy "
            "and send them as one: less traffic, and staler weights. Staleness counts pushes, each "
            "of which may be several updates."
        ),
        (
            "scikit-learn updates after every document, in one process and compiled, with no "
            "server: its updates are a twentieth of the others'."
        ),
        (
            "`CPU`: of workers, driver and Redis together. It says more than the clock where the "
            "machine had other work to do."
        ),
        "Where there are fewer cores than workers and Redis, more workers can't be faster.",
    ),
)
