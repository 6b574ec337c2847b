"""What HTTP shows and switches of routing: explain, config, providers, gaming mode."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from lair.router.v1.router_service_pb2 import (
    Backend,
    BackendMode,
    BackendState,
    Model,
    RouteCandidate,
    Unloading,
    UnloadState,
)
from svckit.errors import ServiceError
from tests.gateway.conftest import CHAT, Stack
from tests.gateway.scripted import NOW

ASKED = Timestamp(seconds=NOW)
TWO_HOURS_LATER = "2023-11-15T00:13:20Z"


def house() -> Backend:
    return Backend(
        name="3090",
        kind="openai",
        url="http://10.0.0.2:8000/v1",
        local=True,
        state=BackendState.BACKEND_STATE_UP,
        mode=BackendMode.BACKEND_MODE_AUTO,
        models=["a", "b"],
        device="gpu0",
        slot_count=2,
        in_flight_count=1,
        queued_count=3,
        tokens_per_second=41.5,
        check_time=ASKED,
    )


def remote() -> Backend:
    return Backend(
        name="openrouter",
        kind="openai",
        url="https://openrouter.ai/api/v1",
        state=BackendState.BACKEND_STATE_DOWN,
        last_error="refused",
        resting="failed repeatedly",
    )


BUILT_IN = Backend(name="lair", kind="recall", local=True, state=BackendState.BACKEND_STATE_UP)


async def switch(stack: Stack, query: str = "", body: Any = None) -> tuple[int, Any]:
    """Post to /gaming-mode; return the status and the JSON."""
    async with stack.http.post(f"{stack.url}/gaming-mode{query}", json=body) as reply:
        return reply.status, await reply.json()


@pytest.mark.parametrize("path", ["/v1/routing/explain", "/routing/explain"])
async def test_a_decision_is_explained_and_the_first_who_may_is_chosen(stack: Stack, path):
    stack.router.candidates = [
        RouteCandidate(backend="3090", model="a", eligible=True, reasons=["up", "loaded"]),
        RouteCandidate(backend="openrouter", model="b", eligible=True, reasons=["up"]),
        RouteCandidate(backend="3070", model="c", reasons=["gaming mode"]),
    ]
    async with stack.http.post(stack.url + path, json=CHAT) as reply:
        assert reply.status == 200
        body = await reply.json()
    first = {"backend": "3090", "model": "a", "eligible": True, "reasons": ["up", "loaded"]}
    assert body["chosen"] == body["candidates"][0] == first
    assert [c["eligible"] for c in body["candidates"]] == [True, True, False]
    assert body["candidates"][2]["reasons"] == ["gaming mode"]


async def test_nobody_is_chosen_where_nobody_may(stack: Stack):
    stack.router.candidates = [RouteCandidate(backend="3070", model="c", reasons=["gaming mode"])]
    async with stack.http.post(f"{stack.url}/v1/routing/explain", json=CHAT) as reply:
        assert (await reply.json())["chosen"] is None


async def test_headers_and_body_count_as_for_a_chat_and_nothing_runs(stack: Stack):
    sent = {"X-Provider": "3090", "X-Priority": "agent", "X-Conversation-ID": "c", "X-User-ID": "a"}
    body = CHAT | {"model": "small", "stream": True}
    url = f"{stack.url}/v1/routing/explain"
    async with stack.http.post(url, json=body, headers=sent) as reply:
        assert reply.content_type == "application/json"
    [call] = stack.router.explained
    assert (call.model, call.messages[0].text) == ("small", "Hi")
    assert (call.route.backend, call.route.priority) == ("3090", "agent")
    assert (call.memory.conversation_id, call.caller.user_id) == ("c", "a")
    assert stack.router.calls == []


@pytest.mark.parametrize(
    ("body", "headers", "param"),
    [({"model": "auto"}, {}, "messages"), (CHAT, {"X-Priority": "now"}, "X-Priority")],
)
async def test_what_a_chat_may_not_say_an_explanation_may_not(stack: Stack, body, headers, param):
    url = f"{stack.url}/v1/routing/explain"
    async with stack.http.post(url, json=body, headers=headers) as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]["param"] == param
    assert stack.router.explained == []


async def test_a_model_nobody_has_is_a_404(stack: Stack):
    stack.router.candidates = ServiceError("MODEL_NOT_FOUND", "did you mean 'b'?", model="a")
    async with stack.http.post(f"{stack.url}/v1/routing/explain", json=CHAT) as reply:
        assert reply.status == 404
        assert (await reply.json())["error"]["message"] == "did you mean 'b'?"


@pytest.mark.parametrize("path", ["/v1/routing/config", "/routing/config"])
async def test_the_catalogue_tells_what_a_request_can_name(stack: Stack, path):
    stack.router.backends = [house(), remote()]
    stack.router.models = [
        Model(id="auto"),
        Model(id="a", backend="3090"),
        Model(id="small", alias_targets=["3090/a", "b"]),
    ]
    status, body = await stack.get(path)
    assert status == 200
    assert body["providers"] == [
        {"name": "3090", "kind": "openai", "local": True, "state": "up"},
        {"name": "openrouter", "kind": "openai", "local": False, "state": "down"},
    ]
    assert body["models"] == [{"id": "auto", "backend": None}, {"id": "a", "backend": "3090"}]
    assert body["aliases"] == {"small": ["3090/a", "b"]}
    assert body["request_headers"]["X-Local-Only"] == "true: never leave the house"
    assert "x-lair-queue-ms" in body["response_headers"]


async def test_providers_are_listed_with_all_that_is_known(stack: Stack):
    stack.router.backends = [house(), remote()]
    status, body = await stack.get("/providers")
    assert status == 200
    up, down = body["providers"]
    assert up == {
        "name": "3090",
        "state": "up",
        "kind": "openai",
        "url": "http://10.0.0.2:8000/v1",
        "local": True,
        "models": ["a", "b"],
        "mode": "auto",
        "mode_until": None,
        "gaming": False,
        "resting": None,
        "device": "gpu0",
        "slots": 2,
        "in_flight": 1,
        "queued": 3,
        "tokens_per_second": 41.5,
        "last_error": None,
        "last_check": "2023-11-14T22:13:20Z",
    }
    assert (down["state"], down["resting"]) == ("down", "failed repeatedly")
    assert (down["last_error"], down["last_check"]) == ("refused", None)
    assert (down["slots"], down["tokens_per_second"]) == (None, None)


async def test_health_tells_the_same_of_backends(stack: Stack):
    stack.router.backends = [house()]
    _, listed = await stack.get("/providers")
    _, health = await stack.get("/health")
    assert health["backends"] == {"3090": listed["providers"][0]}


async def test_gaming_mode_is_off_until_it_is_switched_on(stack: Stack):
    stack.router.backends = [house(), remote(), BUILT_IN]
    assert await stack.get("/gaming-mode") == (
        200,
        {
            "enabled": False,
            "backends": [
                {"name": "3090", "enabled": False, "until": None},
                {"name": "openrouter", "enabled": False, "until": None},
            ],
        },
    )


@pytest.mark.parametrize(
    ("query", "body"),
    [("?enable=true&for=2h", None), ("", {"enable": True, "for": "2h"})],
)
async def test_local_backends_are_left_alone_for_a_while(stack: Stack, query, body):
    stack.router.backends = [house(), remote()]
    status, told = await switch(stack, query, body)
    assert status == 200
    assert told == {
        "enabled": True,
        "backends": [
            {"name": "3090", "enabled": True, "until": TWO_HOURS_LATER},
            {"name": "openrouter", "enabled": False, "until": None},
        ],
    }
    assert await stack.get("/gaming-mode") == (200, told)
    _, listed = await stack.get("/providers")
    assert listed["providers"][0]["mode"] == "explicit_only"
    assert listed["providers"][0]["gaming"] is True
    assert listed["providers"][0]["mode_until"] == TWO_HOURS_LATER


async def test_one_backend_is_left_alone_for_good_and_chosen_again(stack: Stack):
    stack.router.backends = [house(), remote()]
    _, told = await switch(stack, "?enable=true&backend=openrouter")
    assert [(b["enabled"], b["until"]) for b in told["backends"]] == [(False, None), (True, None)]
    _, told = await switch(stack, "?enable=false&backend=openrouter")
    assert told["enabled"] is False
    assert [s.backend for s in stack.router.switches] == ["openrouter", "openrouter"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "enable"),
        ("?enable=maybe", "enable"),
        ("?enable=true&for=2", "for"),
        ("?enable=true&until=2h", "until"),
    ],
)
async def test_a_switch_that_is_not_understood_switches_nothing(stack: Stack, query, param):
    status, body = await switch(stack, query)
    assert (status, body["error"]["param"]) == (400, param)
    assert stack.router.switches == []


async def test_a_backend_that_is_not_there_is_a_400(stack: Stack):
    stack.router.backends = [house()]
    status, body = await switch(stack, "?enable=true&backend=3080")
    assert (status, body["error"]["param"]) == (400, "backend")
    assert "'3080'" in body["error"]["message"]


async def test_pages_of_other_sites_switch_nothing(stack: Stack):
    url = f"{stack.url}/gaming-mode?enable=true"
    async with stack.http.post(url, headers={"Origin": "https://evil.example"}) as reply:
        assert reply.status == 403
    assert stack.router.switches == []


async def test_a_backend_that_is_never_chosen_anyway_is_not_in_gaming_mode(stack: Stack):
    quiet = house()
    quiet.mode = BackendMode.BACKEND_MODE_EXPLICIT_ONLY
    stack.router.backends = [quiet, remote()]
    _, body = await stack.get("/gaming-mode")
    assert body["enabled"] is False
    assert [b["name"] for b in body["backends"]] == ["openrouter"]


@pytest.mark.parametrize(
    ("query", "body"), [("?enable=true&unload=true", None), ("", {"enable": True, "unload": True})]
)
async def test_what_becomes_of_models_in_memory_is_told(stack: Stack, query, body):
    stack.router.backends = [house(), remote()]
    stack.router.unloadings = [
        Unloading(backend="3090", state=UnloadState.UNLOAD_STATE_DONE, models=["a"]),
        Unloading(
            backend="3070", state=UnloadState.UNLOAD_STATE_UNSUPPORTED, error="vllm has no way"
        ),
    ]
    status, told = await switch(stack, query, body)
    assert status == 200
    assert told["unloadings"] == [
        {"backend": "3090", "state": "done", "models": ["a"], "error": None},
        {"backend": "3070", "state": "unsupported", "models": [], "error": "vllm has no way"},
    ]


async def test_models_stay_where_nobody_says_otherwise(stack: Stack):
    stack.router.backends = [house()]
    _, told = await switch(stack, "?enable=true")
    assert "unloadings" not in told
    [asked] = stack.router.switches
    assert not asked.HasField("unload")
