"""What is done with jobs as a whole: list, show, discard, gc."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from asyncfabric._exceptions import ConfigurationError

from ._garbage import GRACE, collect
from ._key_file import find_master_key
from ._listing import discard as discard_in
from ._listing import job_names, summarize
from ._where import lent

if TYPE_CHECKING:
    from ._garbage import Collected
    from ._listing import Summary
    from ._where import Where

_DAY = GRACE.total_seconds()


async def list_jobs(where: Where, /) -> list[str]:
    """Return the names of all jobs in a store, sorted. No key is needed.

        names = await asyncfabric.jobs.list("s3://bucket/prefix")

    One request for each thousand names.

    Args:
        where: the store's URL, the store itself, or a Fabric that uses it.

    Raises:
        ConfigurationError: `where` is no store.
        StorageError: the store failed.
    """
    async with lent(where) as store:
        return await job_names(store)


async def show(where: Where, name: str, /) -> Summary:
    """Tell how far a job is.

        job = await asyncfabric.jobs.show(fabric, "prices")
        print(f"{job.done} of {job.total} done")

    Costs four requests, and one more for each thousand results of a job that isn't finished.

    Args:
        where: the store's URL, the store itself, or a Fabric that uses it.
        name: the job's.

    Raises:
        ConfigurationError: there is no such job.
        IntegrityError: it was made with another key than ASYNCFABRIC_KEY, or changed since.
        StorageError: the store failed.
    """
    async with lent(where) as store:
        return await summarize(store, find_master_key(), name)


async def discard(where: Where, name: str, /) -> int:
    """Forget a job with all its results; return how many objects were deleted. No key is needed.

        await asyncfabric.jobs.discard(fabric, "prices")

    With `NAME.map` goes what the mappers of a shuffle or a reduction left for its reducers. A
    program that drives the job sees it within seconds, and stops. Workers may write a little more
    afterwards, which `gc` deletes.

    Args:
        where: the store's URL, the store itself, or a Fabric that uses it.
        name: the job's.

    Raises:
        ConfigurationError: there is no such job.
        StorageError: the store failed; what is left is deleted by `gc`.
    """
    async with lent(where) as store:
        return await discard_in(store, name)


async def gc(where: Where, /, *, grace: float = _DAY) -> Collected:
    """Delete what no job needs any more, and return how much that was. No key is needed.

    That is: what is left of discarded jobs, results of executions that came second, leases of
    earlier drivers, and what stages that are no jobs left for one another when their driver was
    killed: one that may run for longer than `grace` should be a job. Results of jobs are kept,
    until the job is discarded. Safe beside running jobs.

        collected = await asyncfabric.jobs.gc("s3://bucket/prefix")
        print(f"{collected.objects} objects, {collected.size} bytes")

    Costs three requests, one for each thousand objects, and one for each large result.

    Args:
        where: the store's URL, the store itself, or a Fabric that uses it.
        grace: what may belong to work under way is kept for so many seconds; a day by default. On
            AWS Lambda, no attempt is under way for longer than 15 minutes, and an event waits for
            as long at most.

    Raises:
        ConfigurationError: `grace` is negative.
        StorageError: the store failed; what was deleted stays deleted.
    """
    if not grace >= 0:
        raise ConfigurationError(f"grace={grace} makes no sense; give seconds, 0 or more")
    async with lent(where) as store:
        return await collect(store, grace=timedelta(seconds=grace))
