"""A password in the URL of a backend reaches the backend, and nobody else."""

from __future__ import annotations

import base64

import pytest

from lair.router.v1 import router_service_pb2 as pb
from tests.fakes.answers import Answer, Step
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, both_ways, failure, say

SECRET = "s3cret"


def url_of(server: OpenAIServer) -> str:
    return server.url.replace("://", f"://ann:{SECRET}@")


async def test_it_is_sent_and_not_listed(world: World, server: OpenAIServer) -> None:
    async with world.router(backends=[{"name": "a", "url": url_of(server)}]) as router:
        await answer(router, asking("hi"))
        listed = await router.ListBackends(pb.ListBackendsRequest())
    sent = server.received[0].headers["authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent).decode() == f"ann:{SECRET}"
    assert listed.backends[0].url == server.url.replace("://", "://***@")


@both_ways
@pytest.mark.parametrize("gone", [True, False], ids=["gone", "cut"])
async def test_no_error_record_or_log_quotes_it(
    world: World,
    server: OpenAIServer,
    capsys: pytest.CaptureFixture[str],
    gone: bool,
    streamed: bool,
) -> None:
    server.script(Answer((), before=(Step.CUT,)))
    async with world.router(backends=[{"name": "a", "url": url_of(server)}]) as router:
        if gone:
            await server.__aexit__()
        error = await failure(say(router, asking("hi"), streamed=streamed))
        listed = await router.ListBackends(pb.ListBackendsRequest())
    record = await world.metrics.record()
    told = [error.message, str(error.metadata), str(record), str(listed), *capsys.readouterr()]
    assert "cannot be reached at http://***@127.0.0.1" in error.message
    assert not [text for text in told if SECRET in text]
