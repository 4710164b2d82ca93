"""A function of somebody else's: it answers every invocation with what a test makes up."""

import base64
from array import array
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from asyncfabric_runtime import Envelope, Failure, Outcome
from asyncfabric_runtime._values import Encoded
from asyncfabric_runtime._wire import unpack
from tests.aws.backend.test_answers import LAMBDA, Impostor, impostor

Reply = Callable[[Envelope], list[Any]]
"""Makes the pieces of a frame."""


@asynccontextmanager
async def answering(reply: Reply) -> AsyncGenerator[Impostor]:
    """Serve as a function that replies so."""

    async def answer(request: web.Request) -> web.Response:
        data = base64.b64decode((await request.read()).strip(b'"'))
        frame = reply(Envelope.from_segments(unpack(data)[1]))
        whole = b"".join(bytes(memoryview(piece)) for piece in frame)
        return web.Response(body=b'"' + base64.b64encode(whole) + b'"', headers=LAMBDA)

    async with impostor(answer) as made:
        yield made


def results(kinds: list[int], bodies: list[Any], segments: list[Any] | None = None) -> Reply:
    """Reply with values as they are given."""

    def reply(envelope: Envelope) -> list[Any]:
        count = len(envelope.indices)
        outcome = Outcome(
            envelope.flight,
            range(count),
            Encoded(bytes(kinds), bodies),
            array("d", [0.0] * count),
            final=True,
            segments=segments,
        )
        return outcome.to_frame()

    return reply


def failures(failure: Failure) -> Reply:
    """Reply that each call failed so."""

    def reply(envelope: Envelope) -> list[Any]:
        told = dict.fromkeys(range(len(envelope.indices)), failure)
        outcome = Outcome(
            envelope.flight, (), Encoded(None, []), array("d"), failures=told, final=True
        )
        return outcome.to_frame()

    return reply
