"""Identity and hints over HTTP: what reaches the router of keys, paths, bodies and prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lair.common.v1.caller_pb2 import Caller, IdentitySource
from lair.metrics.v1.report_service_pb2 import ListRequestsResponse
from lair.metrics.v1.usage_pb2 import RequestRecord
from lair.router.v1.chat_pb2 import (
    MEMORY_POLICY_FULL,
    MEMORY_POLICY_OFF,
    MEMORY_POLICY_UNSPECIFIED,
    MemoryHints,
)
from lair.router.v1.router_service_pb2 import ChatResponse
from tests.gateway.conftest import CHAT, Stack
from tests.gateway.keyed import add_key, bearer
from tests.gateway.scripted import completed, delta, finish, started, whole

OPENCODE = {"role": "system", "content": "<env>\n  Working directory: /home/ann/lair\n</env>"}


def sources(caller: Caller) -> dict[str, str]:
    names = {
        what: IdentitySource.Name(getattr(caller, f"{what}_source"))
        for what in ("user", "project", "session")
    }
    return {what: name.removeprefix("IDENTITY_SOURCE_") for what, name in names.items()}


async def called(stack: Stack, path: str, body: dict[str, Any], **headers: str) -> Any:
    """Post a body; return the call that the router got of it."""
    async with stack.http.post(stack.url + path, json=body, headers=headers) as reply:
        assert reply.status == 200, await reply.text()
    return stack.router.calls[-1]


async def test_a_client_that_says_nothing_is_told_apart_all_the_same(stack: Stack):
    sent = {"User-Agent": "OpenAI/Python 3.52.0"}
    call = await called(stack, "/v1/chat/completions", CHAT, **sent)
    assert (call.caller.user_id, call.caller.project) == ("", "openai-python")
    assert call.caller.session_id.startswith("auto-")
    assert sources(call.caller) == {"user": "DEFAULT", "project": "CLIENT", "session": "DERIVED"}
    assert call.retry_of == ""


async def test_a_chat_that_goes_on_is_one_session(stack: Stack):
    first = await called(stack, "/v1/chat/completions", CHAT)
    more = [{"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "And?"}]
    later = CHAT | {"messages": [*CHAT["messages"], *more]}
    second = await called(stack, "/v1/chat/completions", later)
    other = await called(stack, "/v1/chat/completions", CHAT, **{"X-User-ID": "bob"})
    assert second.caller.session_id == first.caller.session_id != other.caller.session_id


async def test_a_conversation_is_a_session(stack: Stack):
    call = await called(stack, "/v1/chat/completions", CHAT, **{"X-Conversation-ID": "c1"})
    assert (call.caller.session_id, sources(call.caller)["session"]) == ("c1", "CONVERSATION")


@pytest.mark.parametrize("path", ["/p/my%20app/v1/chat/completions", "/p/my app/chat/completions"])
async def test_a_base_url_names_the_project(stack: Stack, path: str):
    call = await called(stack, path, CHAT)
    assert (call.caller.project, sources(call.caller)["project"]) == ("my app", "PATH")
    assert call.endpoint == "/v1/chat/completions"


async def test_an_agents_folder_is_its_project(stack: Stack):
    body = CHAT | {"messages": [OPENCODE, *CHAT["messages"]]}
    call = await called(stack, "/v1/chat/completions", body, **{"User-Agent": "opencode/1.18"})
    assert (call.caller.project, sources(call.caller)["project"]) == ("lair", "PROMPT")


async def test_an_agents_folder_is_its_own_business_where_that_is_set():
    async with Stack().running(project_from_prompt=False) as stack:
        body = CHAT | {"messages": [OPENCODE, *CHAT["messages"]]}
        call = await called(stack, "/v1/chat/completions", body, **{"User-Agent": "opencode/1.18"})
        assert (call.caller.project, sources(call.caller)["project"]) == ("opencode", "CLIENT")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"model": "auto", "prompt": "Hi"}),
        ("/v1/embeddings", {"model": "auto", "input": "Hi"}),
    ],
)
async def test_what_a_body_says_of_its_sender_reaches_the_backend_too(
    stack: Stack, path: str, body: dict[str, Any]
):
    call = await called(stack, path, body | {"user": "u7", "prompt_cache_key": "k1"})
    assert (call.caller.user_id, call.caller.session_id) == ("u7", "k1")
    assert sources(call.caller) | {"project": ""} == {
        "user": "BODY",
        "project": "",
        "session": "BODY",
    }
    assert call.extra_json == b'{"user":"u7","prompt_cache_key":"k1"}'


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings"])
async def test_what_is_no_chat_has_no_session_of_its_own(stack: Stack, path: str):
    body = {"model": "auto", "prompt": "Hi", "input": "Hi"}
    call = await called(stack, path, body)
    assert (call.caller.session_id, sources(call.caller)["session"]) == ("", "UNSPECIFIED")


async def test_recent_requests_tell_what_they_repeat_and_where_their_caller_is_from(stack: Stack):
    caller = Caller(project="p", project_source=IdentitySource.IDENTITY_SOURCE_PROMPT)
    caller.user_source = IdentitySource.ValueType(99)  # of a newer metrics service
    record = RequestRecord(request_id="r2", retry_of="r1", caller=caller)
    stack.metrics.page = ListRequestsResponse(records=[record, RequestRecord(request_id="r1")])
    status, body = await stack.get("/metrics/recent")
    second, first = body["requests"]
    assert (status, second["retry_of"], first["retry_of"]) == (200, "r1", None)
    assert (second["project_source"], first["project_source"]) == ("prompt", "unspecified")
    assert (second["user_source"], second["session_source"]) == ("unspecified", "unspecified")


# -- memory by the model's name ------------------------------------------------


async def test_a_models_name_asks_for_memory_where_no_header_can(stack: Stack):
    call = await called(stack, "/v1/chat/completions", CHAT | {"model": "auto:memory"})
    assert (call.model, call.memory.policy) == ("auto", MEMORY_POLICY_FULL)
    call = await called(
        stack,
        "/v1/chat/completions",
        CHAT | {"model": "a/b:7b:memory"},
        **{"X-Enable-Memory": "false"},
    )
    assert (call.model, call.memory.policy) == ("a/b:7b", MEMORY_POLICY_OFF)
    call = await called(stack, "/v1/embeddings", {"model": "e:memory", "input": "Hi"})
    assert call.model == "e"


# -- keys ----------------------------------------------------------------------


async def test_a_key_speaks_for_its_user_and_project(data_dir: Path):
    own = {"user_id": "ana", "project": "lair", "priority": "agent", "models": ("auto",)}
    secret = add_key(data_dir, **own)
    async with Stack().running() as stack:
        sent = bearer(secret) | {"X-Priority": "interactive"}
        call = await called(stack, "/v1/chat/completions", CHAT | {"user": "bob"}, **sent)
        assert (call.caller.user_id, call.caller.project) == ("ana", "lair")
        assert call.caller.key_id
        assert sources(call.caller)["user"] == sources(call.caller)["project"] == "KEY"
        assert (call.route.priority, list(call.route.permitted_models)) == ("agent", ["auto"])


@pytest.mark.parametrize(
    ("path", "sent", "param"),
    [
        ("/v1/chat/completions", {"X-User-ID": "bob"}, "X-User-ID"),
        ("/v1/chat/completions", {"X-Project": "other"}, "X-Project"),
        ("/p/other/v1/chat/completions", {}, "path"),
    ],
)
async def test_a_key_does_not_speak_for_another(
    data_dir: Path, path: str, sent: dict[str, str], param: str
):
    secret = add_key(data_dir, user_id="ana", project="lair")
    async with Stack().running() as stack:
        headers = bearer(secret) | sent
        async with stack.http.post(stack.url + path, json=CHAT, headers=headers) as reply:
            assert reply.status == 403
            assert (await reply.json())["error"]["param"] == param
        assert stack.router.calls == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({}, {"X-Enable-Memory": "true"}),
        ({}, {"X-Conversation-ID": "c1"}),
        ({"model": "auto:memory"}, {}),
    ],
    ids=["header", "conversation", "model"],
)
async def test_no_wish_widens_a_key_without_memory(
    data_dir: Path, fields: dict[str, str], sent: dict[str, str], stream: bool
):
    secret = add_key(data_dir, memory_policy="off")
    async with Stack().running() as stack:
        answer = whole()
        answer.ClearField("memory")
        stack.router.answer = answer
        begin = started()
        begin.started.ClearField("memory")
        stack.router.steps = [[begin, delta("Hi"), finish(), completed()]]
        async with stack.chat(headers=bearer(secret) | sent, stream=stream, **fields) as reply:
            assert reply.status == 200
            assert reply.headers["x-lair-memory"] == "off: the key's memory policy"
            assert "x-conversation-id" not in reply.headers
        [call] = stack.router.calls
        assert call.memory == MemoryHints(policy=MEMORY_POLICY_OFF)
        assert call.model == "auto"


async def test_a_key_without_memory_says_nothing_where_none_is_asked_for(data_dir: Path):
    secret = add_key(data_dir, memory_policy="off")
    async with Stack().running() as stack:
        stack.router.answer = ChatResponse(completion=whole().completion)
        async with stack.chat(headers=bearer(secret)) as reply:
            assert reply.headers["x-lair-memory"] == "off"


async def test_without_keys_nothing_is_asked_of_memory_by_itself(stack: Stack):
    call = await called(stack, "/v1/chat/completions", CHAT)
    assert call.memory.policy == MEMORY_POLICY_UNSPECIFIED
