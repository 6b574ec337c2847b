"""/v1/conversations over HTTP, by the official client and judged by the official document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from lair.common.v1.chat_pb2 import FunctionCall, Message, ToolCall
from tests.compat import document
from tests.gateway.conftest import Stack
from tests.gateway.scripted import whole
from tests.gateway.stateful import client_of, prompt, remembering

ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    {"role": "assistant", "content": "It is sunny."},
]


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with remembering() as running:
        yield running


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(stack) as opened:
        yield opened


async def send(stack: Stack, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    url = f"{stack.url}/v1/conversations{path}"
    async with stack.http.request(method, url, json=body) as reply:
        return reply.status, await reply.json()


async def begun(stack: Stack, **body: Any) -> dict[str, Any]:
    status, conversation = await send(stack, "POST", "", body)
    assert status == 200, conversation
    assert document.judge()("ConversationResource", conversation) == []
    return conversation


async def test_a_conversation_from_its_beginning_to_its_end(stack: Stack, client):
    conversation = await client.conversations.create(metadata={"topic": "demo"})
    assert conversation.metadata == {"topic": "demo"}
    found = await client.conversations.retrieve(conversation.id)
    assert found == conversation
    changed = await client.conversations.update(conversation.id, metadata={"topic": "other"})
    assert changed.metadata == {"topic": "other"}
    deleted = await client.conversations.delete(conversation.id)
    assert (deleted.id, deleted.deleted) == (conversation.id, True)
    with pytest.raises(openai.NotFoundError):
        await client.conversations.retrieve(conversation.id)


async def test_items_are_kept_and_listed_as_the_api_shows_them(stack: Stack):
    conversation = await begun(stack)
    path = f"/{conversation['id']}/items"
    status, added = await send(stack, "POST", path, {"items": ITEMS})
    assert (status, document.judge()("ConversationItemList", added)) == (200, [])
    _, listed = await send(stack, "GET", f"{path}?order=asc")
    assert listed["data"] == added["data"]
    assert [item["type"] for item in listed["data"]] == [
        *("message", "function_call", "function_call_output", "message"),
    ]
    for item in listed["data"]:
        status, one = await send(stack, "GET", f"{path}/{item['id']}")
        assert (status, one) == (200, item)
        assert document.judge()("ConversationItem", one) == []


async def test_a_list_comes_in_pages_the_latest_first(stack: Stack, client):
    conversation = await client.conversations.create(items=ITEMS)
    first = await client.conversations.items.list(conversation.id, limit=3)
    assert first.has_more
    assert first.data[0].role == "assistant"
    every = [item.id async for item in client.conversations.items.list(conversation.id, limit=1)]
    assert len(every) == 4
    assert every[:3] == [item.id for item in first.data]


async def test_an_empty_list_is_valid(stack: Stack):
    conversation = await begun(stack)
    _, listed = await send(stack, "GET", f"/{conversation['id']}/items")
    assert document.judge()("ConversationItemList", listed) == []
    assert (listed["data"], listed["has_more"]) == ([], False)


async def test_a_response_goes_on_from_items_and_adds_its_own(stack: Stack, client):
    conversation = await client.conversations.create(
        items=[{"role": "user", "content": "I like teal."}]
    )
    response = await client.responses.create(
        model="auto", input="What?", conversation=conversation.id
    )
    assert prompt(stack) == [("user", "I like teal."), ("user", "What?")]
    items = await client.conversations.items.list(conversation.id, order="asc")
    assert [item.content[0].text for item in items.data] == ["I like teal.", "What?", "Hello!"]
    assert items.data[-1].id == response.output[0].id


async def test_an_answer_has_the_ids_of_its_response(stack: Stack, client):
    call = ToolCall(id="c1", type="function", function=FunctionCall(name="f", arguments="{}"))
    stack.router.answer = whole()
    stack.router.answer.completion.choices[0].message.CopyFrom(
        Message(role="assistant", reasoning="hm", text="so", tool_calls=[call])
    )
    response = await client.responses.create(model="auto", input="Hi")
    _, listed = await send(stack, "GET", f"/{response.conversation.id}/items?order=asc")
    assert document.judge()("ConversationItemList", listed) == []
    assert [item["id"] for item in listed["data"][1:]] == [item.id for item in response.output]
    one = await client.conversations.items.retrieve(
        response.output[2].id, conversation_id=response.conversation.id
    )
    assert one.call_id == "c1"


async def test_an_item_is_deleted_and_what_followed_stays(stack: Stack, client):
    conversation = await client.conversations.create(
        items=[{"role": "user", "content": text} for text in "abc"]
    )
    items = await client.conversations.items.list(conversation.id, order="asc")
    left = await client.conversations.items.delete(
        items.data[1].id, conversation_id=conversation.id
    )
    assert left.id == conversation.id
    items = await client.conversations.items.list(conversation.id, order="asc")
    assert [item.content[0].text for item in items.data] == ["a", "c"]


@pytest.mark.parametrize("name", ["msg_1234", "fc_1_7", "nonsense", "msg_" + "a" * 32])
async def test_an_unknown_item_is_not_found(stack: Stack, name):
    conversation = await begun(stack, items=ITEMS)
    for method in ("GET", "DELETE"):
        status, reply = await send(stack, method, f"/{conversation['id']}/items/{name}")
        assert (status, reply["error"]["code"]) == (404, "not_found")


async def test_another_users_conversation_is_not_found(stack: Stack):
    conversation = await begun(stack)
    for path in ("", "/items"):
        url = f"/v1/conversations/{conversation['id']}{path}"
        assert (await stack.get(url, **{"X-User-ID": "bob"}))[0] == 404


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("", {"items": [ITEMS[0]] * 21}, "items"),
        ("", {"items": 5}, "items"),
        ("", {"metadata": {"a": 1}}, "metadata.a"),
        ("", {"metadata": []}, "metadata"),
        ("/{id}", {}, "metadata"),
        ("/{id}/items", {}, "items"),
        ("/{id}/items", {"items": [{"role": "alien", "content": "x"}]}, "items[0].role"),
    ],
)
async def test_a_wrong_field_is_named(stack: Stack, path, body, field):
    conversation = await begun(stack)
    status, reply = await send(stack, "POST", path.format(id=conversation["id"]), body)
    assert (status, reply["error"]["param"]) == (400, field)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up", "after=msg_9"])
async def test_a_wrong_query_is_named(stack: Stack, query):
    conversation = await begun(stack)
    status, reply = await send(stack, "GET", f"/{conversation['id']}/items?{query}")
    assert (status, reply["error"]["param"]) == (400, query.partition("=")[0])
