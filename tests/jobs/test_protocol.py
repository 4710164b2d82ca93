"""Drivers and workers that crash anywhere, lost and wrong answers, messages delivered twice.

Everything runs by hand, one operation on the store at a time, in whatever order hypothesis thinks
of. Afterwards: one result for each input, the one that everybody was told; nothing orphaned.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from asyncfabric.jobs._garbage import collect
from asyncfabric.jobs._job import Job, open_job
from asyncfabric.jobs._keys import job_key
from asyncfabric.jobs._lease import TakenOver
from asyncfabric.jobs._listing import discard, summarize
from asyncfabric.jobs._manifest import read_manifest
from asyncfabric.jobs._results import Failed, read_payload, read_result
from asyncfabric_storage import (
    ConfigurationError,
    MemoryStore,
    ObjectNotFound,
    StorageError,
    _commits,
)
from asyncfabric_storage._commits import Attempt, Commit, commit
from tests.jobs.programs import KEY, attempt, keys_of, objects_of, subject, wanted
from tests.jobs.stepping import ORDERS, Order, Pause, Program, SteppedStore, at_once, bury

INPUTS = ["zero", "one", "two"]
LARGE = 8  # bytes from which on a result is stored apart, here


class Message(NamedTuple):
    """An invocation that was sent: it may arrive any number of times."""

    attempt: Attempt
    about: int


class Execution(NamedTuple):
    """One arrival of a message."""

    message: Message
    payload: bytes
    program: Program


class Machine(RuleBasedStateMachine):
    """Several drivers, workers that run what they send, and a store that does wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryStore()
        self.store = SteppedStore(self.memory)
        self.drivers: list[Program] = []
        self.messages: list[Message] = []
        self.executions: list[Execution] = []
        self.seen: dict[str, bytes] = {}
        self.told: dict[str, tuple[bytes, bool]] = {}
        self.payloads: set[bytes] = set()
        self.discarded: set[str] = set()

    # -- programs -------------------------------------------------------------------------------

    async def drive(self, *, patient: bool) -> Job:
        job = await open_job(self.store, KEY, wanted())
        subjects = [subject(each) for each in INPUTS]
        await job.inputs.add(subjects)
        for number in (1, 2, 3):
            for index, each in enumerate(INPUTS):
                if index not in job.done:
                    # Two copies of late calls are two attempts; all three rounds are sent anyhow.
                    nonce = f"{job.lease.driver.hex()} {number}".encode()
                    tried = attempt(job, index, each, number=number, nonce=nonce)
                    self.messages.append(Message(tried, index))
            await Pause("answers")
            await job.check()
        while True:
            failed = 0
            for index, about in enumerate(subjects):
                try:
                    found = await job.result(index, about)
                except ObjectNotFound:
                    if patient:
                        break
                    reason = Failed("user", "ValueError", "no", "Traceback", b"", 0)
                    found = await job.fail(index, 3, about, reason)
                payload = bytes(await read_payload(self.store, job.root, found))
                self.tell(job.root, index, payload, found.failed is not None)
                failed += found.failed is not None
            else:
                await job.finish(await job.inputs.end(), failed)
                return job
            await Pause("answers")
            await job.check()

    def tell(self, root: str, index: int, payload: bytes, failed: bool) -> None:
        """Somebody was told what an input has come to; nobody is ever told anything else."""
        if root not in self.discarded:
            assert self.told.setdefault(f"{root}/{index}", (payload, failed)) == (payload, failed)

    async def work(self, message: Message, payload: bytes) -> Commit:
        return await commit(self.store, message.attempt, "pickle", payload)

    # -- what happens ---------------------------------------------------------------------------

    @precondition(lambda self: len(self.drivers) < 4)
    @rule(patient=st.booleans())
    def start_a_driver(self, patient: bool) -> None:
        self.drivers.append(Program(self.drive(patient=patient), f"driver {len(self.drivers)}"))

    @precondition(lambda self: self.messages and len(self.executions) < 12)
    @rule(data=st.data(), large=st.booleans())
    def deliver(self, data: st.DataObject, large: bool) -> None:
        message = data.draw(st.sampled_from(self.messages))
        number = len(self.executions)
        payload = f"{number}".encode() * (LARGE if large else 1)
        self.payloads.add(payload)
        program = Program(self.work(message, payload), f"execution {number} of {message.about}")
        self.executions.append(Execution(message, payload, program))

    def running(self) -> list[Program]:
        programs = [*self.drivers, *(each.program for each in self.executions)]
        return [program for program in programs if not program.over]

    @precondition(lambda self: self.running())
    @rule(
        data=st.data(),
        order=st.sampled_from([*ORDERS, "go", "go", "go"]),
        more=st.integers(0, 6),
    )
    def go_on(self, data: st.DataObject, order: Order, more: int) -> None:
        program = data.draw(st.sampled_from(self.running()))
        program.step(order)
        for _ in range(more):
            if not program.over:
                program.step()
        self.look_at(program)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), steps=st.integers(10, 60))
    def carry_on(self, data: st.DataObject, steps: int) -> None:
        program = data.draw(st.sampled_from(self.running()))
        for _ in range(steps):
            if not program.over:
                program.step()
        self.look_at(program)

    @precondition(lambda self: self.messages and len(self.executions) < 12)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """All goes well for one message."""
        self.deliver(data, large=data.draw(st.booleans()))
        self.executions[-1].program.run()

    @precondition(lambda self: len(self.running()) > 2)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.running())).crash()

    @rule()
    def rest(self) -> None:
        """Nothing happens, as when all drivers have ended before they sent anything."""

    @precondition(lambda self: self.executions)
    @rule()
    def collect_garbage(self) -> None:
        before = at_once(keys_of(self.memory))
        asyncio.run(collect(self.memory))
        gone = set(before) - set(at_once(keys_of(self.memory)))
        assert not [key for key in gone if "/lease/" not in key and "/data/" not in key]

    @precondition(lambda self: len(self.drivers) == 3)
    @rule()
    def throw_away(self) -> None:
        found = at_once(read_manifest(self.memory, KEY, "prices"))
        if found is None:
            with pytest.raises(ConfigurationError, match="there is no job"):
                asyncio.run(discard(self.memory, "prices"))
            return
        asyncio.run(discard(self.memory, "prices"))
        self.discarded.add(found[0].root)
        self.seen.clear()

    # -- what must hold -------------------------------------------------------------------------

    def look_at(self, program: Program) -> None:
        if program.error is not None:
            assert isinstance(program.error, StorageError | TakenOver), repr(program.error)

    @invariant()
    def results_stay_as_they_are(self) -> None:
        now = at_once(objects_of(self.memory))
        dead = {root.partition("/")[2] for root in self.discarded}
        for key, data in now.items():
            if key.split("/")[1] in dead:
                continue
            if "/done/" in key or "/names/" in key or "/inputs/" in key:
                assert self.seen.setdefault(key, data) == data
        assert not [key for key in self.seen if key not in now]

    @invariant()
    def who_won_has_the_result(self) -> None:
        won: dict[str, Execution] = {}
        for execution in self.executions:
            program, tried = execution.program, execution.message.attempt
            if not program.over or program.result is None or tried.root in self.discarded:
                continue
            place = f"{tried.root}/{execution.message.about}"
            there = at_once(self.result_at(tried.root, execution.message.about))
            assert (there == execution.payload) is (program.result.verdict == "won")
            if program.result.verdict == "won":
                assert place not in won
                won[place] = execution
                self.tell(tried.root, execution.message.about, execution.payload, False)

    async def result_at(self, root: str, index: int) -> bytes:
        key = await job_key(KEY, "prices", root.partition("/")[2])
        found = await read_result(self.memory, root, key, index)
        return bytes(await read_payload(self.memory, root, found))

    def teardown(self) -> None:
        for program in self.running():
            program.crash()
        # A program that all goes well for, and workers that answer it.
        self.messages.clear()
        last = Program(self.drive(patient=True), "the last driver")
        for _ in range(5000):
            if last.over:
                break
            last.step()
            for message in self.messages:
                payload = f"last {message.about}".encode()
                self.payloads.add(payload)
                Program(self.work(message, payload), "a last execution").run()
            self.messages.clear()
        assert last.over, f"it goes on for ever: {last}"
        job: Job = last.run()
        try:
            asyncio.run(self.audit(job))
        finally:
            bury()

    async def audit(self, job: Job) -> None:
        """Every input has one result, of an execution that took place; nothing else is there."""
        store, root = self.memory, job.root
        later = datetime.now(UTC) + timedelta(days=2)
        await collect(store, now=later)
        found = await read_manifest(store, KEY, "prices")
        assert found is not None
        expected = {"jobs/names/prices", f"{root}/finished", f"{root}/inputs/ended"}
        expected |= {f"{root}/code/{name}" for name in wanted().objects}
        expected.add(f"{root}/lease/{job.lease.epoch:08d}")
        failed = 0
        for index in range(len(INPUTS)):
            result = await read_result(store, root, found[1], index)
            expected.add(f"{root}/done/{index:012d}")
            if result.failed is not None:
                failed += 1
                continue
            assert bytes(await read_payload(store, root, result)) in self.payloads
            if result.digest:
                expected.add(f"{root}/{result.place}")
        assert set(await keys_of(store)) == expected
        summary = await summarize(store, KEY, "prices")
        assert (summary.done, summary.total, summary.failed) == (3, 3, failed)
        again = await collect(store, now=later)
        assert again.objects == 0


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_commits, "INLINE_BYTES", LARGE - 1)


@pytest.mark.timeout(280)
def test_whatever_happens_every_input_has_one_result() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=80,
            stateful_step_count=50,
            phases=[Phase.generate],  # names are random, so that no example is quite the same twice
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
