"""The program whose job it is: a driver, as a user would write it.

python -m tests.chaos.program ORDER runs one; without an order, it is a nursery: it reads orders,
a line each, and runs each in a process of its own, forked from here, where everything is imported.
It answers by a line when a driver has begun (`begun PID`) and when it is over (`over PID STATUS`).
"""

import asyncio
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import asyncfabric as af
from asyncfabric.shipping._survey import survey

from .calls import Given, RefusedError, work
from .steps import Fate, Plan

Shape = Literal["map", "stream", "errors", "generator", "attach", "launch"]

_HEAVY = ("aiobotocore.session", "numpy", "obstore.store")
"""What many drivers import, and the nursery once for all of them; none of it starts a thread."""

NAME = "chaos"
SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a driver is to do.

    Attributes:
        shape: how the program uses its job.
        backend: as in `Fabric`.
        storage: as in `Fabric`.
        inputs: the job's.
        out: the file for the results.
        log: the file for what it says.
        environment: variables of the process.
        counts: the directory where steps are counted; empty: they are not.
        fate: what befalls it.
        limits: the most bytes that a file may have; None for no limit.
    """

    shape: Shape
    backend: str
    storage: str
    inputs: list[Given]
    out: str
    log: str
    environment: dict[str, str]
    counts: str = ""
    fate: Fate | None = None
    limit: int | None = None

    def dump(self) -> str:
        """Return a line that `load` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, line: str) -> "Order":
        """Read a line."""
        fields: dict[str, Any] = json.loads(line)
        fields["inputs"] = [tuple(each) for each in fields["inputs"]]
        fields["fate"] = None if fields["fate"] is None else Fate(**fields["fate"])
        return cls(**fields)


def run(order: Order) -> int:
    """Be the driver; return the status to exit with."""
    os.environ.update(order.environment)
    if order.limit is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (order.limit, order.limit))
    if order.counts:
        Plan(order.storage.removeprefix("file://"), order.counts, order.fate).announce()
    try:
        results = asyncio.run(_drive(order))
    except Exception as error:  # noqa: BLE001 - whatever it is, the program has failed
        traceback.print_exc()
        print(f"it ended with {type(error).__name__}", file=sys.stderr)
        return 1
    staged = Path(order.out + ".new")
    staged.write_text(json.dumps(results), encoding="utf-8")
    staged.rename(order.out)
    return 0


async def _drive(order: Order) -> list[Any]:
    async with af.Fabric(order.backend, storage=order.storage) as fabric:
        if order.shape == "attach":
            return [
                told(each) async for each in af.jobs.attach(fabric, NAME, return_exceptions=True)
            ]
        inputs: Any = _endless(order.inputs) if order.shape == "generator" else order.inputs
        if order.shape == "launch":
            await af.jobs.launch(fabric, work, inputs, job=NAME, version="1", seed=SEED)
            return []
        errors = order.shape == "errors"
        start: Any = fabric.map  # overloaded: by options that an order has
        mapped: Any = start(
            work,
            inputs,
            job=NAME,
            version="1",  # or each driver would look at all these files
            seed=SEED,
            chunksize=1,
            return_exceptions=errors,
        )
        if order.shape == "stream":
            return [told(each) async for each in mapped]
        return [told(each) for each in await mapped]


async def _endless(inputs: list[Given]) -> AsyncIterator[Given]:
    for each in inputs:
        yield each


def told(result: Any) -> list[Any]:
    """Return a result as it is compared: what it is, whatever it weighs."""
    if isinstance(result, RefusedError):
        return ["failed", str(result)]
    if isinstance(result, BaseException):
        raise result
    index, name, chance, body = result
    whole = body == (name.encode() * (len(body) // len(name) + 1))[: len(body)]
    return [index, name, chance, len(body), whole]


def main() -> int:
    """Run one order, or be a nursery."""
    if len(sys.argv) > 1:
        return run(Order.load(sys.argv[1]))
    for module in _HEAVY:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, _reap)
    for line in sys.stdin:
        order = Order.load(line)
        if order.backend.startswith("lambda:"):
            survey([work])  # each driver would parse these files for its archive
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if not pid:
            os._exit(_be_born(order))
        print(f"begun {pid}", flush=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    return 0


def _reap(*_: object) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        print(f"over {pid} {os.waitstatus_to_exitcode(status)}", flush=True)


def _be_born(order: Order) -> int:
    """Become a process like one that a shell has started: nothing of the nursery's is left."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    os.setsid()
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for descriptor, own in ((null, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, own)
    status = 1
    try:
        status = run(order)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return status


if __name__ == "__main__":
    sys.exit(main())
