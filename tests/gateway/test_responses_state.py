"""What a response continues and what is kept of it, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest

from lair.common.v1.chat_pb2 import FunctionCall, ToolCall
from lair.router.v1.chat_pb2 import (
    MEMORY_POLICY_FULL,
    MEMORY_POLICY_OFF,
    MEMORY_POLICY_RECALL,
    MEMORY_POLICY_STORE,
)
from tests.compat import document
from tests.gateway.conftest import Stack
from tests.gateway.keyed import add_key
from tests.gateway.scripted import whole
from tests.gateway.stateful import client_of, created, post, prompt, remembering


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with remembering() as running:
        yield running


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(stack) as opened:
        yield opened


async def test_a_response_is_kept_in_a_new_conversation_unless_told_otherwise(stack: Stack):
    reply = await created(stack, input="Hi")
    call = stack.router.calls[0]
    assert call.memory.policy == MEMORY_POLICY_STORE
    assert reply["store"] is True
    assert reply["conversation"] == {"id": call.memory.conversation_id}
    assert call.memory.conversation_id == f"conv_{call.request_id.replace('-', '')}"


@pytest.mark.parametrize(
    ("fields", "headers", "policy", "store"),
    [
        ({"store": False}, {}, MEMORY_POLICY_OFF, False),
        ({}, {"X-Enable-Memory": "false"}, MEMORY_POLICY_OFF, False),
        ({"store": True}, {"X-Enable-Memory": "false"}, MEMORY_POLICY_OFF, False),
        ({}, {"X-Enable-Memory": "true"}, MEMORY_POLICY_FULL, True),
        ({"store": False}, {"X-Enable-Memory": "true"}, MEMORY_POLICY_RECALL, False),
        ({}, {"X-Enable-Tracing": "false"}, None, False),
    ],
)
async def test_what_is_kept_is_said(stack: Stack, fields, headers, policy, store):
    reply = await created(stack, input="Hi", headers=headers, **fields)
    memory = stack.router.calls[0].memory
    assert policy in (None, memory.policy)
    assert reply["store"] is store
    assert bool(memory.conversation_id) is bool(memory.record_json) is store


async def test_a_response_continues_another(stack: Stack, client):
    stack.router.answer = whole("Teal it is.")
    first = await client.responses.create(
        model="auto", input="I like teal.", instructions="Be brief."
    )
    second = await client.responses.create(
        model="auto", input="What do I like?", previous_response_id=first.id
    )
    assert prompt(stack) == [
        ("user", "I like teal."),
        ("assistant", "Teal it is."),
        ("user", "What do I like?"),
    ]
    assert second.previous_response_id == first.id
    assert second.conversation.id == first.conversation.id
    third = await client.responses.create(
        model="auto", input="Sure?", previous_response_id=second.id, instructions="Shout."
    )
    assert prompt(stack)[0] == ("system", "Shout.")
    assert len(prompt(stack)) == 6
    items = await client.conversations.items.list(third.conversation.id, order="asc")
    assert len(items.data) == 6


async def test_a_response_can_be_continued_twice(stack: Stack):
    first = await created(stack, input="1")
    second = await created(stack, input="2", previous_response_id=first["id"])
    await created(stack, input="3", previous_response_id=second["id"])
    await created(stack, input="other", previous_response_id=first["id"])
    assert [text for _, text in prompt(stack)] == ["1", "Hello!", "other"]


async def test_what_developers_say_lasts_and_instructions_do_not(stack: Stack):
    first = await created(
        stack,
        instructions="Once.",
        input=[{"role": "developer", "content": "Always."}, {"role": "user", "content": "1"}],
    )
    assert prompt(stack)[:2] == [("system", "Once."), ("developer", "Always.")]
    second = await created(stack, input="2", previous_response_id=first["id"])
    assert prompt(stack)[:2] == [("developer", "Always."), ("user", "1")]
    await created(stack, input="3", previous_response_id=second["id"], instructions="Now.")
    assert prompt(stack)[:2] == [("system", "Now."), ("developer", "Always.")]
    assert len(prompt(stack)) == 7


async def test_instructions_do_not_come_back_in_a_conversation(stack: Stack):
    await created(stack, input="1", conversation="c", instructions="Once.")
    await created(stack, input="2", conversation="c")
    assert prompt(stack) == [("user", "1"), ("assistant", "Hello!"), ("user", "2")]
    assert len(stack.memory.tree) == 4


async def test_a_conversation_is_read_with_its_latest_response(stack: Stack):
    stack.router.undelivered = []
    first = await created(stack, input="Hi")
    reading = asyncio.create_task(
        stack.get(f"/v1/conversations/{first['conversation']['id']}/items")
    )
    await stack.memory.missed.wait()
    stack.router.deliver()
    status, listed = await reading
    assert (status, len(listed["data"])) == (200, 2)


async def test_a_response_on_its_way_to_memory_is_waited_for(stack: Stack):
    stack.router.undelivered = []
    first = await created(stack, input="I like teal.")
    next_one = asyncio.create_task(created(stack, input="What?", previous_response_id=first["id"]))
    await stack.memory.missed.wait()
    stack.router.deliver()
    await next_one
    assert ("user", "I like teal.") in prompt(stack)


async def test_a_response_that_was_not_kept_cannot_be_continued(stack: Stack):
    first = await created(stack, input="Hi", store=False)
    for name in (first["id"], "resp_123", "nonsense"):
        status, reply = await post(stack, input="Hi", previous_response_id=name)
        assert status == 400
        assert reply["error"]["code"] == "previous_response_not_found"
        assert reply["error"]["param"] == "previous_response_id"
        assert document.judge()("ErrorResponse", reply) == []


async def test_another_users_response_cannot_be_continued_or_read(stack: Stack):
    mine = {"X-User-ID": "ada"}
    first = await created(stack, input="Hi", headers=mine)
    status, _ = await post(
        stack, input="Hi", previous_response_id=first["id"], headers={"X-User-ID": "bob"}
    )
    assert status == 400
    assert (await stack.get(f"/v1/responses/{first['id']}", **{"X-User-ID": "bob"}))[0] == 404
    assert (await stack.get(f"/v1/responses/{first['id']}", **mine))[0] == 200


async def test_what_is_not_kept_may_read_what_is(stack: Stack):
    first = await created(stack, input="I like teal.")
    reply = await created(stack, input="What?", previous_response_id=first["id"], store=False)
    assert prompt(stack) == [("user", "I like teal."), ("assistant", "Hello!"), ("user", "What?")]
    assert (reply["store"], reply["conversation"]) == (False, None)
    assert len(stack.memory.stored) == 1


@pytest.mark.parametrize("how", ["id", "object", "header"])
async def test_a_conversation_goes_on(stack: Stack, how):
    name = "conv_mine"
    given = {
        "id": {"conversation": name},
        "object": {"conversation": {"id": name}},
        "header": {"headers": {"X-Conversation-ID": name}},
    }[how]
    await created(stack, input="I like teal.", **given)
    reply = await created(stack, input="What?", **given)
    assert prompt(stack) == [("user", "I like teal."), ("assistant", "Hello!"), ("user", "What?")]
    assert reply["conversation"] == {"id": name}


async def test_a_conversation_goes_on_without_its_past_where_memory_is_down(stack: Stack):
    stack.memory.down = True
    await created(stack, input="Hi", conversation="c")
    assert prompt(stack) == [("user", "Hi")]
    status, reply = await post(stack, input="Hi", conversation="c", store=False)
    assert (status, reply["error"]["code"]) == (503, "service_unavailable")


async def test_items_can_be_referred_to(stack: Stack, client):
    call = ToolCall(id="c1", type="function", function=FunctionCall(name="f", arguments="{}"))
    stack.router.answer = whole("Wait.")
    stack.router.answer.completion.choices[0].message.tool_calls.append(call)
    first = await client.responses.create(model="auto", input="Hi")
    references = [{"type": "item_reference", "id": item.id} for item in first.output]
    await client.responses.create(
        model="auto",
        input=[
            {"role": "user", "content": "Hi"},
            *references,
            {"type": "item_reference", "id": "msg_of_another_server"},
            {"type": "function_call_output", "call_id": "c1", "output": "42"},
        ],
        store=False,
    )
    said = stack.router.prompts[-1][1]
    assert (said.text, list(said.tool_calls)) == ("Wait.", [call])


async def test_a_key_that_forbids_memory_keeps_and_continues_nothing(data_dir: Path):
    ada = {"Authorization": f"Bearer {add_key(data_dir, user_id='ada')}"}
    forgetful = add_key(data_dir, user_id="ada", memory_policy="off")
    mute = {"Authorization": f"Bearer {forgetful}"}
    async with remembering() as stack:
        kept = await created(stack, input="I like teal.", headers=ada)
        reply = await created(stack, input="What?", conversation=kept["id"], headers=mute)
        assert (reply["store"], reply["conversation"]) == (False, None)
        reference = {"type": "item_reference", "id": kept["output"][0]["id"]}
        asked = {"role": "user", "content": "What?"}
        await created(stack, input=[reference, asked], headers=mute)
        assert prompt(stack) == [("user", "What?")]
        status, _ = await post(stack, previous_response_id=kept["id"], headers=mute)
        assert status == 400
        assert len(stack.memory.stored) == 1
