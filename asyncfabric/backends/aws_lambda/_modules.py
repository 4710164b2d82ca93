"""The modules that functions need on their workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asyncfabric.shipping._compiled import Target
from asyncfabric.shipping._missing import missing_error
from asyncfabric.shipping._parcels import Parcels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncfabric.aws._family import Member
    from asyncfabric.shipping._survey import Survey

    from ._cargo import Cargo
    from ._questions import Questions


class Modules:
    """Sends the user's own modules along, and checks that the others are installed there."""

    def __init__(self, cargo: Cargo, questions: Questions, member: Member) -> None:
        self._cargo = cargo
        self._questions = questions
        self._function = member.function_name
        self._parcels = Parcels(Target(python=member.python, arch=member.arch))
        self._present: set[str] = set()
        self._asking = asyncio.Lock()

    async def prepare(self, functions: Mapping[str, Callable[..., Any]]) -> str | None:
        """Return the digest of the archive that functions (by digest) need, once it is stored.

        Raises `DeploymentError` for the packages that workers lack, all in one, what packing the
        modules raises, and what asking a worker raises.
        """
        parcel = self._parcels.ready(tuple(functions))
        if parcel is None:
            parcel = await asyncio.to_thread(self._parcels.prepare, functions)
        if not self._present.issuperset(parcel.survey.need.required):
            # Fifty maps that begin together would ask as much fifty times.
            async with self._asking:
                await self._ask(functions, parcel.survey)
        if parcel.archive is None:
            return None
        await self._cargo.store_archive(parcel.archive.digest, parcel.archive.data)
        return parcel.archive.digest

    async def _ask(self, functions: Mapping[str, Callable[..., Any]], survey: Survey) -> None:
        needed = [name for name in survey.need.required if name not in self._present]
        if not needed:
            return
        answer = await self._questions.ask(modules=needed)
        missing: list[str] = answer["missing"]
        if missing:
            name = " and ".join(_name(each) for each in functions.values())
            title = f"{name}, on {self._function},"
            raise missing_error(missing, survey, title, self._questions.redeploy)
        self._present.update(needed)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
