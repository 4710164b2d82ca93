"""Which transport it is to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from asyncfabric._exceptions import ConfigurationError

from ._sockets import allow_descriptors

if TYPE_CHECKING:
    from asyncfabric.aws._session import Session

    from ._protocol import Transport


async def open_transport(
    session: Session, *, kind: Literal["thin", "aiobotocore"] | None = None, limit: int
) -> Transport:
    """Return a transport to the session's Lambda endpoint. Nothing is connected yet.

    Args:
        session: an open session.
        kind: `"thin"`, `"aiobotocore"`, or None for the thin one unless a proxy (HTTPS_PROXY) or
            certificates of one's own (AWS_CA_BUNDLE) stand in the way, which it knows nothing of.
        limit: connections at most. The process's limit on open files is raised if need be.

    Raises:
        ConfigurationError: so many connections are not allowed, or httptools isn't installed.
    """
    allow_descriptors(limit)
    if kind is None:
        kind = "thin" if session.direct(session.endpoint("lambda")) else "aiobotocore"
    if kind == "aiobotocore":
        from ._aiobotocore import AiobotocoreTransport

        return await AiobotocoreTransport.open(session, limit=limit)
    try:
        import httptools  # noqa: F401 # pyright: ignore[reportUnusedImport] - found out early
    except ImportError as error:
        raise ConfigurationError(
            f"the thin transport needs httptools ({error}); run: pip install 'asyncfabric[aws]'"
        ) from error
    from ._thin import ThinTransport

    return await ThinTransport.open(session, limit=limit)
