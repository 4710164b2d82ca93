"""How a commit ends, whatever the store answers."""

from typing import Any

import pytest

from asyncfabric import IntegrityError, StorageError
from asyncfabric.jobs._job import open_job
from asyncfabric_storage import MemoryStore
from asyncfabric_storage._commits import INLINE_BYTES, commit
from tests.jobs.programs import KEY, attempt, keys_of, opened, run_call, subject, wanted
from tests.jobs.stepping import Order, Program, SteppedStore, at_once

PLACE = "done/000000000000"


def _commit(
    memory: MemoryStore, orders: list[Order], *, before: str = "", large: bool = False
) -> Any:
    """Commit a result; `orders` say how the operations end that can be refused, one after another.

    `before` says what happens before the first of them: "another" execution commits, or a "twin" of
    the same attempt does.
    """
    job = at_once(opened(memory))
    tried = attempt(job, 0, "x")
    if before == "another":
        at_once(run_call(memory, attempt(job, 0, "x", number=2), b"another"))
    elif before == "twin":
        at_once(run_call(memory, tried, b"twin"))
    payload = b"x" * (INLINE_BYTES + 1) if large else b"mine"
    program = Program(run_call(SteppedStore(memory), tried, payload), "a commit")
    program.step()
    left = list(orders)
    while not program.over:
        about = program.at.partition(" ")[0]
        program.step(left.pop(0) if left and about in {"create", "put", "get"} else "go")
    assert left == [] or before
    return job, program


FAULTS: dict[str, list[Order]] = {
    "nothing": [],
    "the answer was lost": ["lose"],
    "412 for one's own write": ["exists"],
    "refused once": ["refuse"],
    "refused three times": ["refuse", "go", "refuse", "go", "refuse"],
    "lost, and the look refused": ["lose", "refuse"],
    "lost, and the looks refused": ["lose", "refuse", "go", "refuse"],
    "412, and the look refused": ["exists", "refuse"],
}


@pytest.mark.parametrize("orders", FAULTS.values(), ids=FAULTS)
def test_alone_it_wins(orders: list[Order]) -> None:
    memory = MemoryStore()
    job, program = _commit(memory, orders)
    ended = program.run()
    assert ended.verdict == "won"
    assert ended.record.body == bytes(at_once(memory.get(f"{job.root}/{PLACE}")))
    assert bytes(at_once(job.result(0, subject("x"))).payload) == b"mine"


@pytest.mark.parametrize("before", ["another", "twin"])
@pytest.mark.parametrize("orders", FAULTS.values(), ids=FAULTS)
def test_after_another_it_loses(orders: list[Order], before: str) -> None:
    memory = MemoryStore()
    orders = [order for order in orders if order != "exists"]
    job, program = _commit(memory, orders, before=before)
    ended = program.run()
    assert ended.verdict == "lost"
    assert ended.record.body == bytes(at_once(memory.get(f"{job.root}/{PLACE}")))
    assert bytes(at_once(job.result(0, subject("x"))).payload) == before.encode()


def test_a_store_that_never_works() -> None:
    memory = MemoryStore()
    _, program = _commit(memory, ["refuse"] * 8)
    assert isinstance(program.error, StorageError)
    assert "503" in str(program.error)


def test_a_store_that_never_takes_it() -> None:
    """Each create is refused, and each look finds nothing: the reason is what the create said."""
    memory = MemoryStore()
    _, program = _commit(memory, ["refuse", "go"] * 4)
    assert isinstance(program.error, StorageError)
    assert "create" in str(program.error)
    assert [key for key in at_once(keys_of(memory)) if "/done/" in key] == []


def test_data_that_could_not_be_written() -> None:
    memory = MemoryStore()
    _, program = _commit(memory, ["refuse"], large=True)
    assert isinstance(program.error, StorageError)
    assert [key for key in at_once(keys_of(memory)) if "/done/" in key] == []


def test_rubbish_in_its_place() -> None:
    memory = MemoryStore()
    job = at_once(opened(memory))
    at_once(memory.put(f"{job.root}/{PLACE}", b"rubbish"))
    with pytest.raises(IntegrityError, match="no record"):
        at_once(run_call(memory, attempt(job, 0, "x")))


@pytest.mark.parametrize("codec", ["", "a b", "x" * 17, "ä", "../x"])
def test_a_codec_has_a_plain_name(codec: str) -> None:
    memory = MemoryStore()
    job = at_once(opened(memory))
    with pytest.raises(ValueError, match="codec"):
        at_once(commit(memory, attempt(job, 0, "x"), codec, b""))


# drivers that begin at once


def test_two_programs_that_begin_a_job_at_once() -> None:
    memory = MemoryStore()
    store = SteppedStore(memory)
    programs = [Program(open_job(store, KEY, wanted()), f"driver {at}") for at in range(3)]
    while not all(program.over for program in programs):
        for program in programs:
            if not program.over:
                program.step()
    jobs = [program.run() for program in programs]
    assert {job.manifest.area for job in jobs} == {jobs[0].manifest.area}
    assert sorted(job.resumed for job in jobs) == [False, True, True]
    assert sorted(job.lease.epoch for job in jobs) == [1, 2, 3]
    code = [key for key in at_once(keys_of(memory)) if "/code/" in key]
    assert len(code) == 1  # who came second has taken its own away


@pytest.mark.parametrize("order", ["lose", "exists", "refuse"])
@pytest.mark.parametrize("what", ["jobs/names/prices", "/lease/"])
def test_a_job_is_begun_whatever_the_store_answers(what: str, order: Order) -> None:
    memory = MemoryStore()
    program = Program(open_job(SteppedStore(memory), KEY, wanted()), "a driver")
    program.step()
    while not program.over:
        wrong = program.at.startswith("create") and what in program.at
        program.step(order if wrong else "go")
        if wrong:
            what = "only once"
    job = program.run()
    assert (job.resumed, job.lease.epoch) == (False, 1)
    assert what == "only once"
    at_once(job.check())
