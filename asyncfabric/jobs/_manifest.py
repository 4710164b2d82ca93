"""The manifest of a job: what it was begun with, and whether a program may go on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from asyncfabric._exceptions import ConfigurationError, IntegrityError, ObjectNotFound
from asyncfabric.shipping._identity import Identity
from asyncfabric_storage import _job_places as places
from asyncfabric_storage._sealed import (
    FIXED_BYTES,
    MANIFEST,
    MAX_HEAD_BYTES,
    Sealed,
    check_fields,
    parse,
    read_sealed,
    seal,
)

from ._keys import job_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncfabric_storage import ObjectStore

    from ._keys import JobKey, KeySource

MAX_MANIFEST_BYTES = FIXED_BYTES + MAX_HEAD_BYTES

_MOST_SHOWN = 8
_FIELDS: dict[str, type] = {
    "archive": str,
    "begun": str,
    "by_reference": bool,
    "convention": str,
    "data_results": bool,
    "function": str,
    "initializer": str,
    "inputs": int,
    "is_async": bool,
    "parts": dict,
    "python": str,
    "release": str,
    "seed": str,
    "shared": dict,
}
_INPUTS = 1
"""How the digests of inputs are taken; see `shipping/_canonical.py`."""


class Terms(NamedTuple):
    """What a program asks for that goes on with a job; it must be what the job was begun with.

    Attributes:
        identity: what its code is made of.
        python: its minor version.
        convention: how an input becomes arguments.
        by_reference: results are kept in the store.
        data_results: they are data (`trust="data"`): whoever reads them unpickles nothing.
        shared: fingerprints of the values given as `shared=`, in hexadecimal, by name.
        seed: what the user gave, None for whatever the job was begun with.
    """

    identity: Identity
    python: str
    convention: str = "one"
    by_reference: bool = False
    data_results: bool = False
    shared: Mapping[str, str] = {}
    seed: int | None = None


class Code(NamedTuple):
    """The stored code of a job, by digest; an empty text where there is none.

    Attributes:
        function: the packed function.
        is_async: calling it gives a coroutine.
        initializer: the packed initializer.
        archive: the user's own modules.
    """

    function: str
    is_async: bool = False
    initializer: str = ""
    archive: str = ""


class Manifest(NamedTuple):
    """What a job was begun with.

    Attributes:
        name: the job's.
        area: where its objects are: `jobs/{area}`.
        terms: what a program must bring along to go on.
        code: what runs, whatever the program that goes on has.
        seed: of the random streams.
        release: the release of asyncfabric that began it.
        begun: when, as ISO 8601 in UTC; for people.
    """

    name: str
    area: str
    terms: Terms
    code: Code
    seed: int
    release: str
    begun: str

    @property
    def place(self) -> str:
        """Where it is, below `jobs`."""
        return f"{places.NAMES}{self.name}"

    @property
    def root(self) -> str:
        """Where the job's other objects are."""
        return f"{places.ROOT}/{self.area}"

    def sealed(self, key: JobKey) -> Sealed:
        """Return the record. Raises `ConfigurationError` where it has too many parts."""
        terms, code = self.terms, self.code
        head = {
            "archive": code.archive,
            "begun": self.begun,
            "by_reference": terms.by_reference,
            "convention": terms.convention,
            "data_results": terms.data_results,
            "function": code.function,
            "initializer": code.initializer,
            "inputs": _INPUTS,
            "is_async": code.is_async,
            "parts": dict(terms.identity.parts),
            "python": terms.python,
            "release": self.release,
            "seed": f"{self.seed:x}",
            "shared": dict(terms.shared),
        }
        try:
            body = seal(
                key.driver, self.place, MANIFEST, head, nonce=bytes.fromhex(self.area)
            )  # fmt: skip
        except ValueError as error:
            raise ConfigurationError(
                f"the program of job {self.name!r} has too many parts to be told apart one by one "
                f"({len(terms.identity.parts)}); give it version='1', and change that whenever the "
                "program changes"
            ) from error
        return parse(self.place, body)

    def check(self, terms: Terms) -> None:
        """Refuse a program that the job was not begun with.

        Raises:
            ConfigurationError: it names what differs.
        """
        lines = self.terms_differ(terms)
        if not lines:
            return
        shown = lines[:_MOST_SHOWN]
        if len(lines) > len(shown):
            shown.append(f"and {len(lines) - len(shown)} more")
        raise ConfigurationError(
            f"job {self.name!r} was begun with another program: {'; '.join(shown)}. Run that one, "
            "or give the new one another job= name, or forget what is done: asyncfabric jobs "
            f"discard {self.name}"
        )

    def terms_differ(self, terms: Terms) -> list[str]:
        """Return what differs between the job's terms and a program's, a line each."""
        mine = self.terms
        if mine.python != terms.python:
            # Its bytecode is another one then, so that all functions would be said to differ.
            return [f"it was Python {mine.python} and is {terms.python}"]
        lines = mine.identity.differences(terms.identity)
        if mine.convention != terms.convention:
            lines.append(
                f"inputs became arguments by {mine.convention!r}, not {terms.convention!r}"
            )
        if mine.by_reference != terms.by_reference:
            kinds = ("'value'", "'ref'")
            lines.append(f"results= was {kinds[mine.by_reference]}, is {kinds[terms.by_reference]}")
        if mine.data_results != terms.data_results:
            # Neither could go on: one would unpickle what untrusted workers made, the other can't
            # read what is there, and each would leave results that the other refuses.
            trusts = ("'pickle'", "'data'")
            was, now = trusts[mine.data_results], trusts[terms.data_results]
            lines.append(f"it was begun by a Fabric of trust={was}, and this one has trust={now}")
        if terms.seed is not None and terms.seed != self.seed:
            lines.append("seed= is another one")
        for name in sorted({*mine.shared, *terms.shared}):
            if mine.shared.get(name) != terms.shared.get(name):
                lines.append(f"the shared value {name!r} is another one")
        return lines


async def read_manifest(
    store: ObjectStore, source: KeySource, name: str
) -> tuple[Manifest, JobKey] | None:
    """Return a job's manifest and its key; None if there is no such job.

    Raises:
        IntegrityError: it was changed, or made with another master key.
        StorageError: it is of another release's format, or the store failed.
    """
    place = f"{places.NAMES}{places.check_name(name)}"
    try:
        record = await read_sealed(store, places.ROOT, place, MAX_MANIFEST_BYTES)
    except ObjectNotFound:
        return None
    key = await job_key(source, name, record.nonce.hex())
    return opened(record, name, key), key


def opened(record: Sealed, name: str, key: JobKey) -> Manifest:
    """Verify and read a manifest. Raises `IntegrityError`."""
    head, payload = record.open(key.driver)
    check_fields(record.place, head, _FIELDS)
    fields: Any = head
    texts: list[Any] = [*fields["parts"].items(), *fields["shared"].items()]
    plain = all(isinstance(text, str) for pair in texts for text in pair)
    try:
        seed = int(fields["seed"], 16)
    except ValueError:
        plain, seed = False, 0
    if not plain or payload or record.kind != MANIFEST:
        raise IntegrityError(f"the manifest of job {name!r} makes no sense; discard the job")
    if fields["inputs"] != _INPUTS:
        raise IntegrityError(
            f"the manifest of job {name!r} is of asyncfabric {fields['release']}, which takes the "
            "digests of inputs in another way; use that release"
        )
    terms = Terms(
        Identity(cast("dict[str, str]", fields["parts"])),
        fields["python"],
        fields["convention"],
        fields["by_reference"],
        fields["data_results"],
        cast("dict[str, str]", fields["shared"]),
        seed,
    )
    code = Code(fields["function"], fields["is_async"], fields["initializer"], fields["archive"])
    area = record.nonce.hex()
    return Manifest(name, area, terms, code, seed, fields["release"], fields["begun"])
