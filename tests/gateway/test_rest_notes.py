"""Notes, pins, corrections and forgetting, by REST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from lair.memory.v1 import memory_service_pb2 as memory_pb2
from lair.memory.v1.recall_service_pb2 import Passage
from tests.gateway.conftest import Stack
from tests.gateway.keyed import add_key, bearer

TIME = Timestamp(seconds=1_700_000_000)
NOTE = memory_pb2.Note(message_id=7, conversation_id="n", text="Tea", create_time=TIME, role="user")
SHOWN = {
    "message_id": 7,
    "conversation_id": "n",
    "text": "Tea",
    "project": "",
    "pinned": False,
    "role": "user",
    "created_at": "2023-11-14T22:13:20Z",
}
ANA = {"X-User-ID": "ana"}


async def send(
    stack: Stack, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    async with stack.http.request(method, stack.url + path, json=body, headers=headers) as reply:
        return reply.status, await reply.json()


def copied(note: memory_pb2.Note) -> memory_pb2.Note:
    copy = memory_pb2.Note()
    copy.CopyFrom(note)
    return copy


async def test_notes_are_listed_filtered_and_paged(stack: Stack):
    stack.memory.notes = [NOTE]
    status, body = await stack.get(
        "/memory/notes?project=p&pinned=true&limit=3&page_token=t", **ANA
    )
    assert (status, body) == (200, {"notes": [SHOWN], "next_page_token": "next"})
    [asked] = stack.memory.requests
    assert (asked.user_id, asked.project, asked.pinned_only) == ("ana", "p", True)
    assert (asked.page_size, asked.page_token) == (3, "t")


async def test_a_text_is_remembered(stack: Stack):
    body = {"text": "Answer in German.", "project": "p", "pinned": True}
    status, note = await send(stack, "POST", "/memory/notes", body, **ANA)
    assert status == 201
    assert {name: note[name] for name in body} == body
    [asked] = stack.memory.requests
    assert (asked.user_id, asked.text, asked.project, asked.pinned) == (
        *("ana", "Answer in German."),
        *("p", True),
    )


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        ({"pinned": True}, [(False, "")]),
        ({"pinned": True, "project": "p"}, [(False, "p")]),
        ({"pinned": False}, [(True, "")]),
        ({"text": "Mate"}, ["Mate"]),
        ({"text": ""}, [""]),
        ({"text": "Mate", "pinned": True}, ["Mate", (False, "")]),
    ],
)
async def test_a_message_is_pinned_unpinned_and_corrected(stack: Stack, body, calls):
    stack.memory.notes = [copied(NOTE)]
    status, note = await send(stack, "PATCH", "/memory/messages/7", body, **ANA)
    assert status == 200
    assert {name: note[name] for name in body} == body
    made = [
        (asked.unpin, asked.project)
        if isinstance(asked, memory_pb2.PinMessageRequest)
        else asked.text
        for asked in stack.memory.requests
    ]
    assert made == calls
    assert {(asked.user_id, asked.message_id) for asked in stack.memory.requests} == {("ana", 7)}


async def test_a_message_is_forgotten(stack: Stack):
    stack.memory.forgotten.message_count = 1
    status, body = await send(stack, "DELETE", "/memory/messages/7", **ANA)
    assert (status, body) == (200, {"id": 7, "object": "message.deleted", "deleted": True})
    [asked] = stack.memory.requests
    assert (asked.user_id, list(asked.messages.ids), asked.preview) == ("ana", [7], False)


@pytest.mark.parametrize(("headers", "hinted"), [({}, True), (ANA, False)])
@pytest.mark.parametrize(("method", "body"), [("DELETE", None), ("PATCH", {"pinned": True})])
async def test_a_message_that_is_not_the_users_is_not_found(
    stack: Stack, method, body, headers, hinted
):
    status, reply = await send(stack, method, "/memory/messages/9", body, **headers)
    assert (status, reply["error"]["code"]) == (404, "not_found")
    assert "message 9" in reply["error"]["message"]
    assert ("X-User-ID" in reply["error"]["message"]) == hinted


@pytest.mark.parametrize("number", ["0", "-1", "x", "9" * 19, "9" * 400, "%FF", "1.0", "²"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_what_is_no_number_of_a_message_is_refused(stack: Stack, method, number):
    body = {"pinned": True} if method == "PATCH" else None
    status, reply = await send(stack, method, f"/memory/messages/{number}", body)
    assert (status, reply["error"]["param"]) == (400, "message_id")
    assert stack.memory.requests == []


@pytest.mark.parametrize(
    ("wish", "field", "value"),
    [
        ({"messages": [7, 2**60]}, "messages", [7, 2**60]),
        ({"conversation_id": "c"}, "conversation_id", "c"),
        ({"project": "p"}, "project", "p"),
        ({"topic": "tea"}, "topic", "tea"),
        ({"everything": True}, "everything", True),
    ],
)
@pytest.mark.parametrize("preview", [True, False])
async def test_one_thing_is_forgotten_of_one_user(stack: Stack, wish, field, value, preview):
    stack.memory.forgotten = memory_pb2.ForgetResponse(
        message_count=4,
        conversation_count=1,
        note_count=2,
        recall_count=3,
        passages=[Passage(message_id=7, text="Tea", corrected=True)],
    )
    body = wish | {"preview": preview}
    status, done = await send(stack, "POST", "/memory/forget", body, **ANA)
    assert status == 200
    passages = done.pop("passages")
    assert [(each["message_id"], each["corrected"]) for each in passages] == [(7, True)]
    assert done == {
        "preview": preview,
        "messages": 4,
        "conversations": 1,
        "notes": 2,
        "recalls": 3,
    }
    [asked] = stack.memory.requests
    assert (asked.user_id, asked.preview, asked.WhichOneof("target")) == ("ana", preview, field)
    sent = list(asked.messages.ids) if field == "messages" else getattr(asked, field)
    assert sent == value


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "/memory/notes", {}, "text"),
        ("POST", "/memory/notes", {"text": " \n"}, "text"),
        ("POST", "/memory/notes", {"text": "x" * 4001}, "text"),
        ("POST", "/memory/notes", {"text": "x", "pin": True}, "pin"),
        ("POST", "/memory/notes", {"text": "x", "pinned": "yes"}, "pinned"),
        ("POST", "/memory/notes", {"text": "x", "user_id": "ben"}, "user_id"),
        ("PATCH", "/memory/messages/7", {}, "pinned"),
        ("PATCH", "/memory/messages/7", {"text": None}, "text"),
        ("PATCH", "/memory/messages/7", {"text": "x" * 4001}, "text"),
        ("PATCH", "/memory/messages/7", {"text": "x", "project": "p"}, "project"),
        ("PATCH", "/memory/messages/7", {"pinned": False, "project": "p"}, "project"),
        ("PATCH", "/memory/messages/7", {"unpin": True}, "unpin"),
        ("POST", "/memory/forget", {}, "messages"),
        ("POST", "/memory/forget", {"messages": []}, "messages"),
        ("POST", "/memory/forget", {"everything": False}, "messages"),
        ("POST", "/memory/forget", {"messages": [0]}, "messages[0]"),
        ("POST", "/memory/forget", {"messages": ["7"]}, "messages[0]"),
        ("POST", "/memory/forget", {"messages": [1] * 1001}, "messages"),
        ("POST", "/memory/forget", {"topic": "  "}, "topic"),
        ("POST", "/memory/forget", {"topic": "a", "project": "b"}, "topic"),
        ("POST", "/memory/forget", {"all": True}, "all"),
        ("GET", "/memory/notes?limit=1001", None, "limit"),
        ("GET", "/memory/notes?pinned=maybe", None, "pinned"),
    ],
)
async def test_what_is_wrong_is_named_and_changes_nothing(stack: Stack, method, path, body, param):
    status, reply = await send(stack, method, path, body, **ANA)
    assert (status, reply["error"]["param"]) == (400, param)
    assert reply["error"]["message"]
    assert stack.memory.requests == []


CALLS = [
    ("GET", "/memory/notes", None),
    ("POST", "/memory/notes", {"text": "x"}),
    ("PATCH", "/memory/messages/7", {"pinned": True}),
    ("DELETE", "/memory/messages/7", None),
    ("POST", "/memory/forget", {"everything": True}),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("key", "named", "user"),
    [({"user_id": "ana"}, {}, "ana"), ({}, {}, "local"), ({}, {"X-User-ID": "cleo"}, "cleo")],
)
async def test_a_key_speaks_for_its_user_or_the_one_it_may_name(
    data_dir: Path, call, key, named, user
):
    secret = add_key(data_dir, **key)
    async with Stack().running() as keyed:
        keyed.memory.notes = [copied(NOTE)]
        keyed.memory.forgotten.message_count = 1
        status, _ = await send(keyed, *call, **bearer(secret), **named)
        assert status in (200, 201)
        assert {asked.user_id for asked in keyed.memory.requests} == {user}


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_a_key_of_one_user_reaches_no_other(data_dir: Path, method, path, body):
    secret = add_key(data_dir, user_id="ana")
    async with Stack().running() as keyed:
        for address, named in ((path, {"X-User-ID": "ben"}), (f"{path}?user_id=ben", {})):
            status, _ = await send(keyed, method, address, body, **bearer(secret), **named)
            assert status == 403
        assert keyed.memory.requests == []


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_a_key_without_the_scope_is_refused(data_dir: Path, method, path, body):
    secret = add_key(data_dir, scopes=frozenset({"chat"}))
    async with Stack().running() as keyed:
        status, _ = await send(keyed, method, path, body, **bearer(secret))
        assert status == 403
        assert keyed.memory.requests == []


async def test_the_owner_who_names_nobody_forgets_nobody_elses(stack: Stack):
    await send(stack, "POST", "/memory/forget", {"everything": True})
    [asked] = stack.memory.requests
    assert asked.user_id == "", "the memory service's default user"
