"""The endpoint's process: `python -m bench.fakes SETTINGS_JSON`.

Prints one line of JSON with its ports once it listens, and ends when its standard input does: with
the process that started it, whatever becomes of that one.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

from bench.fakes.invocations import FakeLambda
from bench.fakes.objects import FakeS3
from bench.fakes.server import BACKLOG, Connection, Service, listeners


async def serve(settings: dict[str, Any]) -> None:
    """Listen until standard input ends."""
    loop = asyncio.get_running_loop()
    store = FakeS3()
    functions = FakeLambda(loop, store)
    functions.configure(settings)
    service = Service(functions, store)
    ports: dict[str, int] = {}
    servers: list[asyncio.Server] = []
    for name, context in (("plain", None), ("tls", _context(settings["certificate"]))):
        if name == "tls" and context is None:
            continue
        sockets = listeners()
        ports[name] = sockets[0].getsockname()[1]
        servers += [
            await loop.create_server(
                lambda: Connection(service), sock=sock, ssl=context, backlog=BACKLOG
            )
            for sock in sockets
        ]
    over = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), over.set)
    print(json.dumps(ports), flush=True)
    await over.wait()
    for server in servers:
        server.close()


def _context(certificate: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def main() -> None:
    """Serve on uvloop where it is installed."""
    try:
        import uvloop
    except ModuleNotFoundError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
