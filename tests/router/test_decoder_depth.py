"""Answers nested as deep as one likes: read or refused, and never a fault of ours."""

from __future__ import annotations

from typing import Any

import pytest

from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.fakes.answers import Answer, chunk, reply, stream
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import answer, asking, events, failure, text_of

# Up to the limit, beyond it, about where decoders give up, and far beyond that.
FINE, DEEP = (1, 90), (101, 400, 900, 990, 1_100, 100_000)
ANSWER = b'{"choices": [{"message": {"content": "Hello", "x": %b}}], "x": 1}'


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def deep_stream(levels: int) -> Answer:
    said = chunk("Hello").replace(b'"finish_reason"', b'"x": %b, "finish_reason"' % nested(levels))
    return stream(said, chunk(finish="stop"))


@pytest.mark.parametrize("levels", FINE)
async def test_what_is_within_the_limit_arrives(
    router: RouterServiceStub, server: OpenAIServer, levels: int
) -> None:
    server.script(reply(ANSWER % nested(levels)))
    message = (await answer(router, asking("hi"))).completion.choices[0].message
    assert message.extra_json == b'{"x":%b}' % nested(levels)
    server.script(deep_stream(levels))
    assert text_of(await events(router, asking("hi"))) == "Hello"


@pytest.mark.parametrize("levels", DEEP)
async def test_what_is_beyond_it_is_the_backends_fault(
    router: RouterServiceStub, server: OpenAIServer, levels: int
) -> None:
    server.script(reply(ANSWER % nested(levels)))
    error = await failure(answer(router, asking("hi")))
    assert (error.reason, "invalid JSON" in error.message) == ("UPSTREAM_FAILED", True)
    server.script(deep_stream(levels))
    assert (await failure(events(router, asking("hi")))).reason == "UPSTREAM_FAILED"


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("levels", DEEP)
async def test_a_deep_refusal_is_a_refusal(
    router: RouterServiceStub, server: OpenAIServer, levels: int, status: int
) -> None:
    body: Any = b'{"error": {"message": %b}}' % nested(levels)
    server.script(reply(body, status))
    error = await failure(answer(router, asking("hi")))
    assert error.reason in ("UPSTREAM_FAILED", "UPSTREAM_REJECTED")
    assert len(error.message) < 1000
