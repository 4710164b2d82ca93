"""What an input has come to, as the user is to see it: a value or an exception.

This is where results of a job are unpickled, and nowhere else: they were verified before.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asyncfabric._codec import HEAVY_BYTES
from asyncfabric._exceptions import IntegrityError, SerializationError
from asyncfabric._failures import exception_for
from asyncfabric_runtime import Failure
from asyncfabric_runtime._commits import DATA, PICKLE
from asyncfabric_runtime._data_reading import BadDataError
from asyncfabric_runtime._packing import unpack_object
from asyncfabric_runtime._ref import refs_of

if TYPE_CHECKING:
    from ._results import Committed, Failed


async def value_of(
    committed: Committed, payload: memoryview, *, store_url: str, as_data: bool
) -> Any:  # noqa: ANN401 - the user's
    """Return the value of a verified result. A large one is unpickled in a thread.

    Args:
        committed: the result.
        payload: its bytes.
        store_url: of the store that it is from; refs among data are of that store.
        as_data: take data only, as the job was begun; nothing is unpickled.

    Raises:
        IntegrityError: it is a pickle and should be data, or coded in an unknown way.
        SerializationError: it can't be unpickled here.
    """
    if committed.codec == PICKLE and as_data:
        raise IntegrityError(
            f"the result of input {committed.at} is a pickle, and this job takes data only: it "
            "was begun with trust='data', which its worker did not keep to; find out what runs on "
            "your workers, then discard the job"
        )
    if committed.codec not in {PICKLE, DATA}:
        raise IntegrityError(
            f"the result of input {committed.at} is coded as {committed.codec!r}, which this "
            "asyncfabric doesn't know; use the release that the job was made with"
        )
    if len(payload) > HEAVY_BYTES:
        return await asyncio.to_thread(_unpacked, payload, store_url, as_data=as_data)
    return _unpacked(payload, store_url, as_data=as_data)


def error_of(failed: Failed, *, as_data: bool) -> Exception:
    """Return the exception of a verified failure: the user's own where it can be made."""
    told = Failure(
        failed.kind, failed.type_name, failed.message, failed.traceback, failed.pickled or None
    )
    return exception_for(told, as_data=as_data)


def _unpacked(payload: memoryview, store_url: str, *, as_data: bool) -> Any:  # noqa: ANN401 - the user's value
    try:
        refs = refs_of(store_url)
        return unpack_object(bytearray(payload), writable=True, as_data=as_data, make_ref=refs)
    except BadDataError as error:
        raise IntegrityError(f"a result is refused: {error}; discard the job") from error
    except Exception as error:
        raise SerializationError(
            f"a result can't be read here: {type(error).__name__}: {error}; what it is made of "
            "must be importable in the driver too"
        ) from error
