"""A password in the URL of a backend reaches the backend, and nobody else."""

from __future__ import annotations

import base64

import pytest

from lair.router.v1 import router_service_pb2 as pb
from tests.fakes.answers import DONE, Answer, Step, event, reply, stream
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


KEY = "sk-0123456789abcdef"
QUOTING = {"error": {"message": f"Incorrect API key provided: {KEY}"}}


@both_ways
@pytest.mark.parametrize(
    "refusal",
    [
        *(reply(QUOTING, status) for status in (400, 401, 500)),
        reply(QUOTING),
        stream(event(QUOTING), DONE),
    ],
    ids=["400", "401", "500", "whole", "stream"],
)
async def test_a_key_that_a_server_quotes_is_not_passed_on(
    world: World,
    server: OpenAIServer,
    capsys: pytest.CaptureFixture[str],
    refusal: Answer,
    streamed: bool,
) -> None:
    server.script(refusal)
    async with world.router(server, backend={"api_key": KEY}) as router:
        error = await failure(say(router, asking("hi"), streamed=streamed))
        listed = await router.ListBackends(pb.ListBackendsRequest())
    record = await world.metrics.record()
    told = [error.message, str(error.metadata), str(record), str(listed), *capsys.readouterr()]
    assert server.received[0].headers["authorization"] == f"Bearer {KEY}"
    assert not [text for text in told if KEY in text]


async def test_a_key_that_a_server_quotes_for_its_list_is_not_shown(
    world: World, server: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.models = reply(QUOTING, 401)
    async with world.router(server, backend={"api_key": KEY}) as router:
        listed = await router.ListBackends(pb.ListBackendsRequest())
    assert "Incorrect API key provided: ***" in listed.backends[0].last_error
    assert KEY not in "".join([str(listed), *capsys.readouterr()])
