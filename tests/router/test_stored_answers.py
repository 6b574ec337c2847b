"""What is kept of a request that wants to be found again, and the id it is found by."""

from __future__ import annotations

from uuid import UUID, uuid4

from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.fakes.answers import chunk, event, reply, stream, usage_of
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, assistant, both_ways, events, say

DONE = event("[DONE]")


async def id_of_answer(router: RouterServiceStub, call: ChatCall, *, streamed: bool) -> str:
    if streamed:
        return (await events(router, call))[0].started.id
    return (await answer(router, call)).completion.id


@both_ways
async def test_an_answer_is_called_after_its_request(
    router: RouterServiceStub, streamed: bool
) -> None:
    request_id = str(uuid4())
    found = await id_of_answer(router, asking("hi", request_id=request_id), streamed=streamed)
    assert found == f"chatcmpl-{UUID(request_id).hex}"


@both_ways
async def test_a_request_that_is_no_uuid_leaves_the_backends_id(
    router: RouterServiceStub, streamed: bool
) -> None:
    found = await id_of_answer(router, asking("hi", request_id="r1"), streamed=streamed)
    assert found == "chatcmpl-1"


@both_ways
async def test_a_turn_says_where_it_came_in_and_what_is_to_be_found_with_it(
    world: World, router: RouterServiceStub, streamed: bool
) -> None:
    call = asking("hi", conversation="c", endpoint="/v1/chat/completions")
    call.memory.record_json = b'{"metadata":{"topic":"x"}}'
    await say(router, call, streamed=streamed)
    turn = await world.memory.turn()
    assert turn.endpoint == "/v1/chat/completions"
    assert turn.record_json == b'{"metadata":{"topic":"x"}}'
    assert list(turn.other_replies) == []


def two_answers(*, streamed: bool):
    if streamed:
        pieces = [chunk("a"), chunk("b", index=1), chunk("A"), chunk("B", index=1)]
        ends = [chunk(finish="stop"), chunk(finish="stop", index=1)]
        return stream(*pieces, *ends, DONE)
    choices = [
        {"index": place, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for place, text in ((1, "bB"), (0, "aA"))
    ]
    return reply({"id": "x", "created": 1, "choices": choices, "usage": usage_of(5, 2)})


@both_ways
async def test_further_answers_are_kept_beside_the_first(
    world: World, router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    server.script(two_answers(streamed=streamed))
    await say(router, asking("hi", conversation="c", n=2), streamed=streamed)
    turn = await world.memory.turn()
    assert turn.reply == assistant("aA")
    assert list(turn.other_replies) == [Message(role="assistant", text="bB")]
