"""Completions that are kept: found, listed, changed and deleted by OpenAI's own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import openai
import pytest

from lair.common.v1.chat_pb2 import Message, Usage
from lair.memory.v1 import conversation_service_pb2 as pb
from lair.memory.v1.conversation_pb2 import StoredTurn, Turn
from lair.router.v1.chat_pb2 import MEMORY_POLICY_FULL, MEMORY_POLICY_OFF, MEMORY_POLICY_STORE
from tests.gateway.conftest import Stack
from tests.gateway.scripted import NOW, completed, delta, finish, started, whole
from tests.gateway.turn_memory import RememberingRouter, TurnMemory

MESSAGES: Any = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Hi"}]
PICTURE: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}


@dataclass
class Store(TurnMemory):
    """Memory that lists and changes turns as well, and shows the time they came in."""

    async def ListTurns(self, request: pb.ListTurnsRequest, _: Any) -> Any:
        self.requests.append(request)
        turns = [turn for (user, _), turn in self.stored.items() if user == request.user_id]
        turns = [turn for turn in turns if turn.endpoint == request.endpoint and turn.record_json]
        if request.newest_first:
            turns.reverse()
        names = [turn.request_id for turn in turns]
        if request.after_request_id:
            turns = turns[names.index(request.after_request_id) + 1 :]
        more = "more" if len(turns) > request.page_size else ""
        return pb.ListTurnsResponse(turns=turns[: request.page_size], next_page_token=more)

    async def UpdateTurn(self, request: pb.UpdateTurnRequest, _: Any) -> Any:
        turn = self._turn(request.user_id, request.request_id)
        turn.record_json = request.record_json
        return pb.UpdateTurnResponse(turn=turn)

    def _append(self, turn: Turn) -> None:
        super()._append(turn)
        kept: StoredTurn = self.stored[turn.caller.user_id, turn.request_id]
        kept.create_time.seconds = NOW
        kept.other_replies.extend(turn.other_replies)


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    memory = Store()
    async with Stack(router=RememberingRouter(memory=memory), memory=memory).running() as running:
        yield running


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{stack.url}/v1",
        api_key="any",
        max_retries=0,
        _strict_response_validation=True,
    ) as opened:
        yield opened


async def store(client: Any, **options: Any) -> str:
    """Have an answer stored; return the id it is found by."""
    fields: Any = {"model": "auto", "messages": MESSAGES, "store": True}
    raw = await client.chat.completions.with_raw_response.create(**fields | options)
    return f"chatcmpl-{UUID(raw.headers['x-request-id']).hex}"


async def test_a_stored_completion_is_what_was_answered(stack: Stack, client):
    stack.router.answer = whole("Hello!")
    stack.router.answer.completion.usage.CopyFrom(Usage(prompt_tokens=3, completion_tokens=2))
    tools: Any = [{"type": "function", "function": {"name": "f"}}]
    name = await store(client, temperature=0.5, tools=tools, metadata={"topic": "x"}, user="u")
    found = await client.chat.completions.retrieve(name, extra_headers={"X-User-ID": "u"})
    assert (found.id, found.created, found.model) == (name, NOW, "qwen3:8b")
    [choice] = found.choices
    assert (choice.message.content, choice.finish_reason) == ("Hello!", "stop")
    assert found.usage.total_tokens == 5
    shown = found.model_dump()
    assert (shown["metadata"], shown["temperature"], shown["tools"]) == ({"topic": "x"}, 0.5, tools)
    assert (shown["top_p"], shown["input_user"]) == (None, "u")


async def test_a_streamed_answer_is_stored_as_well(stack: Stack, client):
    stack.router.steps = [[started(), delta("Hel")], [delta("lo"), finish("length"), completed()]]
    raw = await client.chat.completions.with_raw_response.create(
        model="auto", messages=MESSAGES, store=True, stream=True
    )
    async for _ in raw.parse():
        pass
    name = f"chatcmpl-{UUID(raw.headers['x-request-id']).hex}"
    [choice] = (await client.chat.completions.retrieve(name)).choices
    assert (choice.message.content, choice.finish_reason) == ("Hello", "length")


async def test_it_is_part_of_the_conversation_that_its_history_makes(stack: Stack, client):
    await store(client)
    memory = stack.router.calls[0].memory
    assert memory.policy == MEMORY_POLICY_STORE
    assert not memory.conversation_id, "the router makes one of how the chat begins"


async def test_or_stays_in_the_one_it_is_asked_in(stack: Stack, client):
    headers = {"X-Conversation-ID": "c1", "X-Enable-Memory": "true"}
    await store(client, extra_headers=headers)
    memory = stack.router.calls[0].memory
    assert (memory.policy, memory.conversation_id) == (MEMORY_POLICY_FULL, "c1")
    assert memory.record_json


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({"store": False}, 0),
        ({"store": None, "metadata": {"a": "b"}}, 0),
        ({"extra_headers": {"X-Enable-Memory": "false"}}, MEMORY_POLICY_OFF),
    ],
)
async def test_nothing_is_stored_where_that_is_not_wanted(stack: Stack, client, options, policy):
    name = await store(client, **options)
    memory = stack.router.calls[0].memory
    assert (memory.policy, memory.conversation_id, memory.record_json) == (policy, "", b"")
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.retrieve(name)


async def test_what_is_on_its_way_to_memory_is_waited_for(stack: Stack, client):
    stack.router.undelivered = []
    name = await store(client)
    finding = asyncio.ensure_future(client.chat.completions.retrieve(name))
    asyncio.get_running_loop().call_later(0.1, stack.router.deliver)
    assert (await finding).id == name


async def test_all_answers_are_shown(stack: Stack, client):
    name = await store(client, n=2)
    [turn] = stack.memory.stored.values()
    turn.other_replies.append(Message(role="assistant", text="Hey!"))
    choices = (await client.chat.completions.retrieve(name)).choices
    assert [(c.index, c.message.content) for c in choices] == [(0, "Hello!"), (1, "Hey!")]


async def test_they_are_listed_page_by_page(stack: Stack, client):
    names = [
        await store(client, messages=[{"role": "user", "content": str(number)}])
        for number in range(3)
    ]
    assert [item.id async for item in client.chat.completions.list(limit=2)] == names
    newest = await client.chat.completions.list(order="desc", limit=1)
    assert ([item.id for item in newest.data], newest.has_more) == (names[2:], True)
    await client.chat.completions.list(model="m", metadata={"topic": "x"})
    request = stack.memory.requests[-1]
    assert (request.model, dict(request.metadata)) == ("m", {"topic": "x"})
    assert (request.recorded_only, request.endpoint) == (True, "/v1/chat/completions")


async def test_an_empty_list_is_one(client):
    page = await client.chat.completions.list()
    assert (page.data, page.has_more) == ([], False)


async def test_metadata_is_changed(client):
    name = await store(client, metadata={"a": "1"}, seed=7)
    changed = await client.chat.completions.update(name, metadata={"b": "2"})
    assert changed.metadata == {"b": "2"}
    found = (await client.chat.completions.retrieve(name)).model_dump()
    assert (found["metadata"], found["seed"]) == ({"b": "2"}, 7)


async def test_a_deleted_one_is_gone(client):
    name = await store(client)
    deleted = await client.chat.completions.delete(name)
    assert (deleted.id, deleted.deleted) == (name, True)
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.delete(name)


async def test_what_it_answers_is_listed(stack: Stack, client):
    said = [
        {"role": "user", "content": [{"type": "text", "text": "See"}, PICTURE]},
        {"role": "assistant", "content": "Nice"},
        {"role": "user", "content": "Hi"},
    ]
    name = await store(client, messages=said)
    url = f"{stack.url}/v1/chat/completions/{name}/messages"
    async with stack.http.get(url, params={"limit": "2"}) as reply:
        page = await reply.json()
    assert [item["id"] for item in page["data"]] == [f"{name}-0", f"{name}-1"]
    assert (page["data"][0]["content"], page["data"][0]["content_parts"][1]) == (None, PICTURE)
    assert (page["data"][1]["content"], page["has_more"]) == ("Nice", True)
    async with stack.http.get(url, params={"after": page["last_id"]}) as reply:
        rest = await reply.json()
    assert ([item["content"] for item in rest["data"]], rest["has_more"]) == (["Hi"], False)
    async with stack.http.get(url, params={"order": "desc", "limit": "1"}) as reply:
        assert (await reply.json())["first_id"] == f"{name}-2"


async def test_a_turn_that_was_not_to_be_found_is_not(stack: Stack, client):
    await store(client, store=False, extra_headers={"X-Conversation-ID": "c1"})
    call = stack.router.calls[0]
    stack.memory._append(Turn(request_id=call.request_id, conversation_id="c1"))
    with pytest.raises(openai.NotFoundError, match="no stored completion"):
        await client.chat.completions.retrieve(f"chatcmpl-{UUID(call.request_id).hex}")


@pytest.mark.parametrize("name", ["chatcmpl-1", "resp_1", "chatcmpl-" + "0" * 32])
async def test_an_id_that_none_can_have_is_not_found(client, name):
    with pytest.raises(openai.NotFoundError) as raised:
        await client.chat.completions.retrieve(name)
    assert raised.value.code == "not_found"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"store": "yes"}, "store"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a"),
        ({"metadata": {"x" * 65: "a"}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
    ],
)
async def test_mistakes_are_named(client, options, field):
    with pytest.raises(openai.BadRequestError) as raised:
        await store(client, **options)
    assert raised.value.param == field


@pytest.mark.parametrize(
    ("query", "field"), [("limit=0", "limit"), ("order=up", "order"), ("limit=101", "limit")]
)
async def test_mistakes_in_a_query_are_named(stack: Stack, query, field):
    status, body = await stack.get(f"/v1/chat/completions?{query}")
    assert (status, body["error"]["param"]) == (400, field)


async def test_metadata_must_be_sent_to_be_changed(stack: Stack, client):
    name = await store(client)
    async with stack.http.post(f"{stack.url}/v1/chat/completions/{name}", json={}) as reply:
        assert (reply.status, (await reply.json())["error"]["param"]) == (400, "metadata")


async def test_a_record_too_large_for_memory_goes_without_its_tools(stack: Stack, client):
    tools: Any = [{"type": "function", "function": {"name": "f", "description": "d" * 300_000}}]
    name = await store(client, tools=tools, seed=7)
    found = (await client.chat.completions.retrieve(name)).model_dump()
    assert (found["tools"], found["seed"]) == (None, 7)
