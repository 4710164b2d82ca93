"""`launch`: a job whose calls are left to AWS Lambda, and collected later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from asyncfabric._checks import (
    check_callable,
    check_choice,
    check_count,
    check_items,
    check_job,
    check_shared,
)
from asyncfabric._exceptions import ConfigurationError
from asyncfabric.backends._protocol import Leaves

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncfabric._fabric import Fabric
    from asyncfabric._signatures import Function, Items, Sharing

A = TypeVar("A")


class Launched(NamedTuple):
    """What was launched.

    Attributes:
        name: the job's.
        total: inputs there are.
        done: of those, the ones that had a result already.
        calls: of those, the ones that were left to AWS Lambda.
    """

    name: str
    total: int
    done: int
    calls: int


async def launch(
    fabric: Fabric,
    fn: Function[A, object] | Sharing[A, object],
    items: Items[A],
    /,
    *,
    job: str,
    version: str | None = None,
    results: Literal["value", "ref"] = "value",
    shared: Mapping[str, object] | None = None,
    seed: int | None = None,
    chunksize: int = 1,
) -> Launched:
    """Run a function on every item on AWS Lambda, and don't wait: return when Lambda has the calls.

        await asyncfabric.jobs.launch(fabric, price, seeds, job="overnight")
        ...                                       # this program may end; another one, elsewhere:
        prices = await asyncfabric.jobs.attach(fabric, "overnight")

    Lambda's own queue keeps the calls (for 15 minutes at most, as deployed) and runs them when it
    has room. Results are committed as those of `Fabric.map(..., job=)`. Nothing is tried again: a
    call that fails is noted, and `attach` raises its exception; of one whose worker died or whose
    event got lost, nothing comes. Launch the same again, and all calls without a result are
    launched, those included that still run; or have them run by `Fabric.map(..., job=)`, which
    holds every call and tries again what fails.

    Items are read as Lambda takes them, a few at a time; what Lambda throttles is sent again.

    Args:
        fabric: of a `lambda://` backend, and lasting storage.
        fn: called as `fn(item)`.
        items: any iterable or async iterable that ends; the same whenever it is launched again.
        job: the job's name.
        version: says which version of the code this is; see `Fabric.map`.
        results: "ref" leaves results in the store, and `attach` gives a `Ref` to each.
        shared: values passed to every call by keyword, as with `Fabric.map`.
        seed: what `current().rng()` derives from; by default drawn at random, once for the job.
        chunksize: calls in one event; they run one after another within one invocation.

    Raises:
        ConfigurationError: an argument makes no sense, the backend isn't AWS Lambda, or the job was
            begun with other code or inputs.
        TakenOver: another program drives the job since, or it was discarded.
        SerializationError: the function or an item can't be sent.
        Throttled: Lambda took nothing for a minute.
        DeploymentError, InvocationError, StorageError: as for any call.
    """
    from asyncfabric._function import options_of
    from asyncfabric._launch import Launch
    from asyncfabric._leaving import Leaving

    core = fabric._core  # noqa: SLF001 - this is a part of the Fabric that lies elsewhere
    fabric._check_open()  # noqa: SLF001 - as above
    check_callable(fn)
    check_items(items)
    check_job(job, version, core.store)
    check_choice("results", results, ("value", "ref"))
    check_count("chunksize", chunksize)
    if shared is not None:
        check_shared(shared)
    if seed is not None:
        check_count("seed", seed, least=0)
    backend: Any = core.backend
    if not isinstance(backend, Leaves):
        raise ConfigurationError(
            f"calls can be left to AWS Lambda only, not to a {type(backend).__name__}, whose "
            f"workers end with this program; run fabric.map(..., job={job!r}) instead (killed, it "
            "goes on when it is run again), or give the Fabric 'lambda://NAME'"
        )
    settings = fabric._settings.with_options(options_of(fn))  # noqa: SLF001 - as above
    prepared = Launch(
        core,
        settings,
        fn,
        convention="one",
        shared=shared,
        seed=seed,
        by_reference=results == "ref",
        job=job,
        version=version,
    )
    driven, plan, code = await prepared.leave()
    leaving = Leaving(driven, plan, code, backend, chunksize=chunksize, again=settings.idempotent)
    counts = await leaving.run(items)
    return Launched(job, *counts)
