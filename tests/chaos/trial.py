"""One job, whose driver is killed again and again, and what must hold each time and in the end."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyncfabric.jobs._key_file import decode_key
from asyncfabric.jobs._keys import MasterKey
from asyncfabric_storage import ObjectStore, open_store

from . import audit
from .blows import Assassin, Blow, Moment, Shot
from .calls import Given, executions
from .nursery import Driver, Nursery
from .program import Order, Shape
from .steps import Fate, Plan, Role

LARGE = 300_000
"""Bytes of a result that is stored apart."""

_KEY = secrets.token_hex(32)
_TAKEN = "has taken over job"
_NOTHING_IS_LEFT = "nothing of a driver that is dead may be left"


class BrokenError(AssertionError):
    """A law is broken; the message says what happened, and how to have it happen again."""


async def _at_once() -> None:
    """Where every process is one of the driver's, nobody else has to come to rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job runs.

    Attributes:
        name: for the report: what the command calls it.
        backend: as in `Fabric`.
        storage: as in `Fabric`, with the trial's name for `{trial}`; None: a directory of its own.
        audited: the storage as those see it who look at it; None: the same one.
        tries: so often a program is run to its end; more than once where the store does wrong.
        environment: variables of drivers.
        rest: waits until what drivers have begun elsewhere is over.
        assassin: kills drivers at their requests to the storage, where it sees them.
    """

    name: str = "file"
    backend: str = "local://?processes=2"
    storage: str | None = None
    audited: str | None = None
    tries: int = 1
    environment: dict[str, str] = field(default_factory=dict[str, str])
    rest: Callable[[], Awaitable[None]] = _at_once
    assassin: Assassin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a job does.

    Attributes:
        shape: how the program uses it.
        count: how many inputs.
        large: those with results that are stored apart.
        fails: those that fail, for good.
    """

    shape: Shape = "map"
    count: int = 6
    large: frozenset[int] = frozenset({2})
    fails: frozenset[int] = frozenset()

    def inputs(self, folder: Path) -> list[Given]:
        """Return the inputs."""
        return [
            (index, LARGE if index in self.large else 10, index in self.fails, str(folder))
            for index in range(self.count)
        ]


def work_of(shape: Shape) -> Work:
    """Return what a job of a shape does."""
    return Work(shape=shape, fails=frozenset({1, 4}) if shape == "errors" else frozenset())


class Trial:
    """One job.

    Attributes:
        folder: all that is noted of it.
        statuses: of the drivers that have ended.
        runs: how many were started.
    """

    def __init__(
        self, nursery: Nursery, folder: Path, work: Work, place: Place, expected: list[Any] | None
    ) -> None:
        self.folder = folder
        self.work = work
        self.place = place
        self.statuses: list[int] = []
        self.expected = expected
        self.blows: list[Blow] = []
        self.story: list[str] = []
        self._nursery = nursery
        self.runs = 0
        self._known: dict[int, tuple[bytes, int]] = {}
        for name in ("executions", "traps", "gates", "tmp", "store"):
            (folder / name).mkdir(parents=True)
        self.storage = self._named(place.storage) or (folder / "store").as_uri()
        self._audited = self._named(place.audited) or self.storage
        self._master = MasterKey(decode_key(_KEY, "this test"))

    def _named(self, storage: str | None) -> str | None:
        return None if storage is None else storage.replace("{trial}", self.folder.name)

    @property
    def kills(self) -> int:
        """How many drivers were killed."""
        return sum(status < 0 for status in self.statuses)

    @property
    def ended_first(self) -> bool:
        """Whether the first run came to its end before anything befell it."""
        return self.statuses[0] == 0

    # -- running --------------------------------------------------------------------------------

    async def start(
        self, blow: Blow | None = None, *, shape: Shape | None = None, limit: int | None = None
    ) -> Driver:
        """Start the program, for whom something is in store."""
        self.runs += 1
        if blow is not None:
            self.blows.append(blow)
        counts = self.folder / f"counts-{self.runs}"
        counts.mkdir()
        order = Order(
            shape=shape or self.work.shape,
            backend=self.place.backend,
            storage=self.storage,
            inputs=self.work.inputs(self.folder),
            out=str(self.folder / f"out-{self.runs}"),
            log=str(self.folder / f"log-{self.runs}"),
            environment={
                "ASYNCFABRIC_KEY": _KEY,
                "TMPDIR": str(self.folder / "tmp"),
                **self.place.environment,
            },
            counts=str(counts) if self.place.storage is None else "",
            fate=blow if isinstance(blow, Fate) else None,
            limit=limit,
        )
        assassin = self.place.assassin
        if assassin is not None:
            assassin.aim(blow if isinstance(blow, Shot) else None)
        driver = await self._nursery.start(order)
        if assassin is not None:
            assassin.find(driver)
        return driver

    async def run(
        self, blow: Blow | None = None, *, shape: Shape | None = None, limit: int | None = None
    ) -> int:
        """Run the program until it is over, or dead; return its status."""
        driver = await self.start(blow, shape=shape, limit=limit)
        if isinstance(blow, Moment):
            await asyncio.wait([driver.status], timeout=blow.seconds)
            driver.kill()
        return await self.end(driver, blow)

    async def end(self, driver: Driver, why: object = None) -> int:
        """Wait for the end of a driver and of what it began; look at what is there then."""
        status = await self._over(driver, f"run {self.runs}: {why or 'undisturbed'}")
        await self.place.rest()
        await self.look()
        return status

    async def _over(self, driver: Driver, what: str) -> int:
        try:
            status = await driver.over()
        except TimeoutError:
            raise self.broken(f"{_NOTHING_IS_LEFT}: processes were") from None
        self.statuses.append(status)
        self.story.append(f"{what}: status {status}")
        return status

    async def race(self, pauses: Sequence[float]) -> None:
        """Start a program beside the one that runs, after each pause; see how they end.

        Args:
            pauses: seconds, before each program.
        """
        racers: list[tuple[int, Driver]] = []
        for pause in pauses:
            if racers:
                await asyncio.wait([driver.status for _, driver in racers], timeout=pause)
            racers.append((self.runs + 1, await self.start()))
        statuses: list[int] = []
        for run, driver in racers:
            statuses.append(await self._over(driver, f"run {run}: beside others"))
            if statuses[-1] and _TAKEN not in self.said(run) and self.place.tries == 1:
                raise self.broken(f"run {run} failed, and not since another took the job over")
        if all(statuses) and self.place.tries == 1:
            raise self.broken("of drivers that raced, none came to its end")
        await self.place.rest()
        await self.look()

    def said(self, run: int | None = None) -> str:
        """Return what a run, or the last one, has written."""
        log = self.folder / f"log-{run or self.runs}"
        return log.read_text(encoding="utf-8")

    def steps(self, role: Role) -> int:
        """Return how many steps the last run had."""
        return Plan("", str(self.folder / f"counts-{self.runs}"), None).steps(role)

    def store(self) -> ObjectStore:
        """Open the store, to look into it."""
        return open_store(self._audited)

    def output(self) -> Any:
        """Return what the last run has put out."""
        out = self.folder / f"out-{self.runs}"
        return json.loads(out.read_text(encoding="utf-8"))

    # -- what must hold -------------------------------------------------------------------------

    async def look(self) -> None:
        """See that what was done before is as it was, and was not done again."""
        async with aclosing(self.store()) as store:
            records = await audit.committed(store)
        counts = executions(self.folder)
        for index, (record, count) in self._known.items():
            if records.get(index) != record:
                raise self.broken(f"the result of input {index} was there, and is another now")
            if counts[index] != count:
                raise self.broken(f"input {index} was done, and its call was run again")
        for index, record in records.items():
            self._known.setdefault(index, (record, counts.get(index, 0)))

    async def finish(self, *, again: bool = False) -> None:
        """Run the program to its end; look at everything.

        Args:
            again: run it once more, and another that attaches.
        """
        for _ in range(self.place.tries):
            if not await self.run():
                break
        else:
            raise self.broken("undisturbed, the program failed")
        if again:
            before = executions(self.folder)
            for shape in (None, "attach"):
                for _ in range(self.place.tries):
                    if not await self.end(await self.start(shape=shape)):
                        break
                else:
                    raise self.broken("a program failed whose job was finished")
                self._compare()
            if executions(self.folder) != before:
                raise self.broken("calls of a finished job were run again")
        await self.check_end()

    async def check_end(self) -> None:
        """See that the last run put out what it should, and there is nothing else."""
        self._compare()
        counts = executions(self.folder)
        if set(counts) != set(range(self.work.count)):
            raise self.broken(f"calls were run: {sorted(counts)}")
        async with aclosing(self.store()) as store:
            try:
                await audit.check_end(store, self._master, self.work.count, set(self.work.fails))
            except Exception as error:
                raise self.broken(str(error)) from error
        left = [str(path) for path in (self.folder / "tmp").rglob("*")]
        if left:
            raise self.broken(f"{_NOTHING_IS_LEFT}: {left} were")

    def _compare(self) -> None:
        if self.expected is not None and self.output() != self.expected:
            raise self.broken(f"the results are others: {self.output()}, not {self.expected}")

    # -- the report -----------------------------------------------------------------------------

    def broken(self, what: str) -> BrokenError:
        """Return an error that tells all that is known."""
        lines = [what, f"a job of {self.work} on {self.place.name}:", *self.story]
        lines += ["to repeat it:", command(self.place, self.work, self.blows)]
        lines += ["executions:", str(dict(sorted(executions(self.folder).items())))]
        lines += ["the store:", *_described(self)]
        if (self.folder / f"log-{self.runs}").exists():
            lines += [f"run {self.runs} said:", self.said()[-4000:]]
        return BrokenError("\n".join(lines))


def _described(trial: Trial) -> list[str]:
    """Look into the store from wherever this is needed; a loop may be running."""
    from concurrent.futures import ThreadPoolExecutor

    async def look() -> list[str]:
        async with aclosing(trial.store()) as store:
            return await audit.describe(store)

    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(lambda: asyncio.run(look())).result()
        except Exception as error:  # noqa: BLE001 - the report is about something else
            return [f"it can't be looked into: {error}"]


def command(place: Place, work: Work, blows: Sequence[Blow]) -> str:
    """Return what repeats a trial, as far as it can be repeated."""
    told = " ".join(map(str, blows))
    return f"python -m tests.chaos --place {place.name} --shape {work.shape} --replay {told}"
