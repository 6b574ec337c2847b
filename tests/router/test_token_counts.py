"""CountTokens: counted by the server that would be asked first, or estimated."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from lair.router.v1.router_service_pb2 import CountTokensRequest, CountTokensResponse
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from router_svc.main import open_service
from svckit.channels import connect
from svckit.grpc_server import serving
from svckit.inprocess import InProcessChannel
from tests.fakes.answers import Step, model_entry, reply, stream
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, failure

LONG = "All the words of a long question. " * 200


@asynccontextmanager
async def vllm(world: World, tokenize: Any) -> AsyncIterator[RouterServiceStub]:
    """Open a router over a server that signs as vLLM, and so counts prompts."""
    async with OpenAIServer("tiny", documents={"/tokenize": tokenize}) as server:
        server.models = reply({"data": [{**model_entry("tiny"), "owned_by": "vllm"}]})
        async with world.router(server) as router:
            yield router


async def count(router: RouterServiceStub, *texts: str, **fields: Any) -> CountTokensResponse:
    request = CountTokensRequest(call=asking(*texts, **fields))
    return await router.CountTokens(request, timeout=20)


async def test_a_server_that_counts_is_asked(world: World) -> None:
    async with vllm(world, reply({"count": 42})) as router:
        counted = await count(router, "hi", model="tiny")
    assert (counted.token_count, counted.exact) == (42, True)
    assert (counted.backend, counted.model) == ("a", "tiny")


async def test_what_is_counted_makes_estimates_better(world: World) -> None:
    replies = [reply({"count": 4000}), reply({"error": "busy"}, 503)]
    async with vllm(world, lambda _: replies.pop(0)) as router:
        assert (await count(router, LONG)).token_count == 4000
        later = await count(router, LONG)
    assert not later.exact
    assert later.token_count > len(LONG) / 3.8


async def test_where_nobody_counts_tokens_are_estimated(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    counted = await count(router, LONG)
    assert not counted.exact
    assert len(LONG) / 5 < counted.token_count < len(LONG) / 3
    assert (counted.backend, counted.model) == ("a", "tiny")
    assert server.received == []


async def test_a_server_that_takes_too_long_is_not_waited_for(world: World) -> None:
    async with vllm(world, stream(before=(Step.HANG,))) as router:
        assert not (await count(router, LONG)).exact


async def test_the_count_is_for_who_answers(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    async with world.router(server, other) as router:
        chosen = await answer(router, asking("hi", backend="b"))
        assert chosen.route.backend == "b"
        assert (await count(router, "hi", backend="b")).backend == "b"


async def test_an_unknown_model_is_not_found(router: RouterServiceStub) -> None:
    assert (await failure(count(router, "hi", model="none"))).reason == "MODEL_NOT_FOUND"


async def test_a_chat_without_messages_is_refused(router: RouterServiceStub) -> None:
    error = await failure(count(router))
    assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", "messages")


async def test_it_is_asked_for_over_a_real_channel_as_well(
    world: World, server: OpenAIServer
) -> None:
    async with world.router(server) as router:
        expected = await count(router, LONG)
    memory = InProcessChannel(world.memory.servicers())
    metrics = InProcessChannel(world.metrics.servicers())
    async with (
        open_service(world.settings, memory=memory, metrics=metrics) as servicers,
        serving(servicers, "127.0.0.1:0", grace_seconds=0) as port,
        connect(f"127.0.0.1:{port}") as channel,
    ):
        assert await count(RouterServiceStub(channel), LONG) == expected
