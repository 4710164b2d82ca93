"""A parallel map, and one reduce of all its results on one worker."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import ObjectNotFound
from asyncfabric_runtime._bsp._kept import AsyncKeeper, Gatherer, Keeper

from ._host import Scratch, carrying, check_fabric, check_plain, places

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping

    from asyncfabric._fabric import Fabric

    from ._host import Durable

FAN_IN = 16
"""Results that one call of a tree reduce takes, at most."""


async def map_reduce(
    fabric: Fabric,
    function: Callable[..., Any],
    items: Iterable[Any] | AsyncIterable[Any],
    reduce: Callable[[Iterator[Any]], Any],
    *,
    ordered: bool,
    associative: bool,
    memory: int,
    shared: Mapping[str, object] | None,
    seed: int | None,
    durable: Durable,
) -> Any:  # noqa: ANN401 - the user's
    """Do what `Fabric.map_reduce` says."""
    check_plain("reduce", reduce)
    check_fabric(fabric)
    prefix = durable.prefix("reduce")
    scratch = Scratch(fabric, prefix)
    gatherer = Gatherer(reduce, prefix, memory)
    stages: list[str] = []

    def job(stage: str) -> str | None:
        stages.append(stage)
        return durable.stage(stage)

    done = False
    try:
        mapped = carrying(fabric, function).map(
            _keeper(function, prefix),
            items,
            # Those of a job are the same in the same order whenever it is run again.
            ordered=ordered or durable.name is not None,
            shared=shared,
            seed=seed,
            job=job("map"),
            version=durable.version,
        )
        async with scratch.watch(mapped):
            kept: list[tuple[str, int, str]] = [each async for each in mapped]
        reducing = carrying(fabric, reduce)
        workers = places(fabric) if durable.name is None else 1
        while associative and len(kept) > FAN_IN:
            level = reducing.map(
                Keeper(gatherer, prefix),
                list(_groups(kept, workers)),
                chunksize=1,
                job=job(f"reduce{len(stages)}"),
                version=durable.version,
            )
            kept = await scratch.watch(level)
        last = reducing.map(gatherer, [kept], job=job("reduce"), version=durable.version)
        [result] = await last
    except ObjectNotFound as error:
        if durable.name is None or prefix not in str(error):
            raise
        raise durable.gone(error, *stages) from error
    else:
        done = True
        return result
    finally:
        # A job that has not come to its end is run again, and goes on from there.
        if done or durable.name is None:
            await scratch.clean()


def _keeper(function: Callable[..., Any], prefix: str) -> Any:  # noqa: ANN401 - of either kind
    call: Any = type(function).__call__
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call):
        return AsyncKeeper(function, prefix)
    return Keeper(function, prefix)


def _groups(kept: list[tuple[str, int, str]], workers: int) -> Iterator[list[tuple[str, int, str]]]:
    """Yield neighbours, at least two and at most `FAN_IN` together, for all workers at once."""
    most = max(2, min(FAN_IN, -(-len(kept) // workers)))
    for start in range(0, len(kept), most):
        yield kept[start : start + most]
