"""What is remembered, by REST: conversations, search, stats."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from lair.common.v1.chat_pb2 import Message, Usage
from lair.memory.v1 import conversation_service_pb2 as conversations_pb2
from lair.memory.v1 import recall_service_pb2 as recall_pb2
from lair.memory.v1.conversation_pb2 import Conversation, StoredMessage
from tests.gateway.conftest import Stack

TIME = Timestamp(seconds=1_700_000_000)


def conversation(user_id: str = "ana") -> Conversation:
    found = Conversation(
        id="conv-1", user_id=user_id, title="Tea", create_time=TIME, token_count=2**40
    )
    found.metadata.update({"n": 1, "nested": {"a": [True, None]}})
    return found


@pytest.mark.parametrize(
    ("path", "headers", "user_id", "all_users"),
    [
        ("/memory/conversations", {}, "", True),
        ("/memory/conversations?user_id=ben", {}, "ben", False),
        ("/memory/conversations", {"X-User-ID": "ana"}, "ana", False),
    ],
)
async def test_conversations_are_narrowed_to_a_user(
    stack: Stack, path, headers, user_id, all_users
):
    stack.memory.conversations = [conversation()]
    status, body = await stack.get(path, **headers)
    assert status == 200
    assert body["conversations"] == [
        {
            "id": "conv-1",
            "user_id": "ana",
            "project": "",
            "session_id": "",
            "title": "Tea",
            "tags": [],
            "metadata": {"n": 1, "nested": {"a": [True, None]}},
            "created_at": "2023-11-14T22:13:20Z",
            "updated_at": None,
            "message_count": 0,
            "token_count": 2**40,
        }
    ]
    assert (body["next_page_token"], body["total_count"]) == ("next", 7)
    [asked] = stack.memory.requests
    assert (asked.user_id, asked.all_users) == (user_id, all_users)


async def test_a_list_of_conversations_is_filtered_and_paged(stack: Stack):
    await stack.get(
        "/memory/conversations?project=p&session_id=s&limit=3&page_token=t"
        "&q=tea&tag=a&tag=b&tz=Europe/Berlin&from=2026-11-01&to=2026-11-02"
    )
    [asked] = stack.memory.requests
    assert (asked.project, asked.session_id, asked.page_size, asked.page_token) == (
        "p",
        "s",
        3,
        "t",
    )


async def test_a_conversation_comes_with_all_its_messages(stack: Stack):
    stack.memory.conversations = [conversation()]
    stack.memory.messages = [
        StoredMessage(id=1, message=Message(role="user", text="Hi"), create_time=TIME),
        StoredMessage(
            id=2,
            message=Message(role="assistant", text="Hello", extra_json=b'{"x": 1}'),
            model="m",
            backend="ollama",
            request_id="r",
            usage=Usage(prompt_tokens=3, completion_tokens=1),
            create_time=TIME,
        ),
    ]
    status, body = await stack.get("/memory/conversations/conv-1")
    assert (status, body["title"]) == (200, "Tea")
    assert body["messages"] == [
        {"role": "user", "content": "Hi", "id": 1, "created_at": "2023-11-14T22:13:20Z"},
        {
            "role": "assistant",
            "content": "Hello",
            "x": 1,
            "id": 2,
            "created_at": "2023-11-14T22:13:20Z",
            "model": "m",
            "backend": "ollama",
            "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
            "request_id": "r",
        },
    ]
    assert stack.memory.requests[-1].user_id == "ana"


async def test_a_conversation_is_deleted_as_its_owners(stack: Stack):
    stack.memory.conversations = [conversation()]
    address = f"{stack.url}/memory/conversations/conv-1"
    async with stack.http.delete(address, headers={"X-User-ID": "ana"}) as reply:
        assert reply.status == 200
        assert (await reply.json())["deleted_messages"] == 5
    assert stack.memory.requests[-1].user_id == "ana"


async def test_nobody_deletes_another_users_conversation_without_naming_the_user(stack: Stack):
    stack.memory.conversations = [conversation()]
    async with stack.http.delete(f"{stack.url}/memory/conversations/conv-1") as reply:
        assert reply.status == 404
        assert "X-User-ID" in (await reply.json())["error"]["message"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_another_users_conversation_is_not_found(stack: Stack, method):
    stack.memory.conversations = [conversation()]
    async with stack.http.request(
        method, f"{stack.url}/memory/conversations/conv-1", headers={"X-User-ID": "ben"}
    ) as reply:
        assert reply.status == 404
        assert (await reply.json())["error"]["code"] == "conversation_not_found"


async def send(
    stack: Stack, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    async with stack.http.request(method, stack.url + path, json=body, headers=headers) as reply:
        return reply.status, await reply.json()


async def test_a_conversation_is_begun_with_all_that_is_said_of_it(stack: Stack):
    body = {
        "id": "trip",
        "title": "The trip",
        "project": "home",
        "session_id": "s",
        "tags": ["a", "b"],
        "metadata": {"n": 1.5, "nested": {"a": [True, None]}},
    }
    status, made = await send(stack, "POST", "/memory/conversations", body, **{"X-User-ID": "ana"})
    assert status == 201
    assert {name: made[name] for name in body} == body
    assert made["user_id"] == "ana"
    assert stack.memory.requests[0].user_id == "ana"


async def test_a_conversation_can_be_begun_with_nothing_said_of_it(stack: Stack):
    status, made = await send(stack, "POST", "/memory/conversations", {})
    assert (status, made["id"], made["metadata"]) == (201, "made-up", {})


@pytest.mark.parametrize(
    ("change", "set_fields"),
    [
        ({}, set()),
        ({"title": ""}, {"title"}),
        ({"tags": []}, {"tags"}),
        ({"tags": ["x"], "metadata": {}}, {"tags", "metadata"}),
    ],
)
async def test_only_what_a_change_names_is_changed(stack: Stack, change, set_fields):
    stack.memory.conversations = [conversation()]
    status, _ = await send(
        stack, "PATCH", "/memory/conversations/conv-1", change, **{"X-User-ID": "ana"}
    )
    assert status == 200
    asked = stack.memory.requests[-1]
    assert (asked.user_id, asked.conversation_id) == ("ana", "conv-1")
    names = ("title", "tags", "metadata")
    assert {name for name in names if asked.HasField(name)} == set_fields


async def test_another_users_conversation_is_not_changed_without_naming_the_user(stack: Stack):
    stack.memory.conversations = [conversation()]
    status, body = await send(stack, "PATCH", "/memory/conversations/conv-1", {"title": "x"})
    assert status == 404
    assert "X-User-ID" in body["error"]["message"]


def deep(levels: int) -> dict[str, Any]:
    return {"a": deep(levels - 1)} if levels > 1 else {}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"titel": "x"}, "titel"),
        ({"title": 5}, "title"),
        ({"title": "x" * 1001}, "title"),
        ({"id": ""}, "id"),
        ({"id": " x"}, "id"),
        ({"id": "x\n"}, "id"),
        ({"id": None}, "id"),
        ({"tags": "a"}, "tags"),
        ({"tags": ["a", ""]}, "tags[1]"),
        ({"tags": ["a"] * 101}, "tags"),
        ({"metadata": []}, "metadata"),
        ({"metadata": deep(9)}, "metadata"),
        ({"metadata": {"n": 10**400}}, "metadata"),
        ([], None),
    ],
)
async def test_what_is_wrong_with_a_new_conversation_is_named(stack: Stack, body, param):
    status, reply = await send(stack, "POST", "/memory/conversations", body)
    assert (status, reply["error"]["param"]) == (400, param)
    assert reply["error"]["message"]
    assert stack.memory.requests == []


async def test_metadata_of_eight_levels_is_kept(stack: Stack):
    status, made = await send(stack, "POST", "/memory/conversations", {"metadata": deep(8)})
    assert (status, made["metadata"]) == (201, deep(8))


QUESTION = {
    "q": "green tea",
    "limit": 3,
    "project": "p",
    "session_id": "s",
    "conversation_id": "c",
    "role": ["user", "assistant"],
    "tag": ["a", "b"],
    "tz": "Europe/Berlin",
    "from": "2026-11-01",
    "to": "2026-11-02",
}
QUERY = (
    "q=green+tea&limit=3&project=p&session_id=s&conversation_id=c&role=user&role=assistant"
    "&tag=a&tag=b&tz=Europe/Berlin&from=2026-11-01&to=2026-11-02"
)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_search_asks_the_same_by_query_and_by_body(stack: Stack, method):
    stack.memory.found = recall_pb2.SearchResponse(
        passages=[
            recall_pb2.Passage(
                message_id=7,
                conversation_id="c",
                role="user",
                text="Green tea, please",
                create_time=TIME,
                score=0.5,
                lexical_score=0.25,
                pinned=True,
            )
        ],
        degraded="meaning: off",
    )
    path = f"/memory/search?{QUERY}" if method == "GET" else "/memory/search"
    body = QUESTION if method == "POST" else None
    status, found = await send(stack, method, path, body, **{"X-User-ID": "ana"})
    assert status == 200
    assert found == {
        "passages": [
            {
                "message_id": 7,
                "conversation_id": "c",
                "conversation_title": "",
                "role": "user",
                "text": "Green tea, please",
                "created_at": "2023-11-14T22:13:20Z",
                "score": 0.5,
                "lexical_score": 0.25,
                "dense_score": None,
                "pinned": True,
                "corrected": False,
            }
        ],
        "degraded": "meaning: off",
    }
    [asked] = stack.memory.requests
    assert (asked.user_id, asked.query, asked.limit) == ("ana", "green tea", 3)
    where = asked.filter
    assert (where.project, where.session_id, where.conversation_id) == ("p", "s", "c")
    assert (list(where.roles), list(where.tags)) == (["user", "assistant"], ["a", "b"])
    assert where.start_time.ToJsonString() == "2026-10-31T23:00:00Z"
    assert where.end_time.ToJsonString() == "2026-11-02T23:00:00Z"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "q"),
        ("q=", "q"),
        ("q=+++", "q"),
        ("q=x&limit=101", "limit"),
        ("q=x&limit=many", "limit"),
        ("q=x&role=robot", "role[0]"),
        ("q=x&from=2026-11-02&to=2026-11-01", "to"),
        ("q=x&from=1999-12-31", "from"),
        ("q=x&tz=Mars/Base", "tz"),
    ],
)
async def test_what_is_wrong_with_a_search_is_named(stack: Stack, query, param):
    status, body = await stack.get(f"/memory/search?{query}")
    assert (status, body["error"]["param"]) == (400, param)


async def test_a_search_by_body_takes_no_name_that_it_does_not_know(stack: Stack):
    status, body = await send(stack, "POST", "/memory/search", {"q": "x", "user": "ben"})
    assert (status, body["error"]["param"]) == (400, "user")


async def test_a_recall_tells_what_it_chose_and_out_of_what(stack: Stack):
    passage = recall_pb2.Passage(message_id=7, conversation_id="c", role="user", text="Teal")
    stack.memory.found = recall_pb2.SearchResponse(passages=[passage])
    status, body = await stack.get("/memory/recalls/r1?user_id=ana")
    assert (status, body["query"], body["context"]) == (200, "colour", "- teal")
    assert [each["text"] for each in body["candidates"]] == ["Teal"]
    [asked] = stack.memory.requests
    assert (asked.user_id, asked.request_id) == ("ana", "r1")


@pytest.mark.parametrize(
    ("query", "user", "everyone"), [("", "", True), ("?user_id=ana", "ana", False)]
)
async def test_stats_count_everybodys_or_one_users(stack: Stack, query, user, everyone):
    stack.memory.stats = conversations_pb2.GetStatsResponse(
        conversation_count=2, message_count=5, user_count=1, token_count=2**40, first_time=TIME
    )
    status, body = await stack.get(f"/memory/stats{query}")
    assert status == 200
    assert (body["conversations"], body["messages"], body["tokens"]) == (2, 5, 2**40)
    assert (body["first_at"], body["last_at"]) == ("2023-11-14T22:13:20Z", None)
    assert body["index"]["state"] == "ready"
    [asked] = stack.memory.requests
    assert (asked.user_id, asked.all_users) == (user, everyone)


@pytest.mark.parametrize("name", ["%FF", "%ED%A0%80", "a%00b", "x" * 300])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_no_id_is_a_fault_of_ours(stack: Stack, method, name):
    body = {} if method == "PATCH" else None
    status, _ = await send(stack, method, f"/memory/conversations/{name}", body)
    assert status in (400, 404)
