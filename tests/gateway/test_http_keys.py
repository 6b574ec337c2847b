"""Who is let in, with keys and without."""

from __future__ import annotations

import asyncio
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.main import serving
from gateway.routes import ROUTES, Route, forms, scopes
from lair.memory.v1.recall_service_pb2 import GetIndexStatusResponse
from lair.router.v1.router_service_pb2 import Backend, BackendState, Model
from svckit.channels import connect
from svckit.grpc_server import ServeError
from svckit.keys import changing_keys, keys_file, owner_file, write_private
from svckit.settings import Gateway, Settings
from svckit.times import now_us
from tests.gateway.conftest import Stack
from tests.gateway.keyed import add_key, bearer, change_keys, owner_token

GUARDED = [route for route in ROUTES if route.scope != "open"]
UP = Backend(name="ollama", kind="openai", local=True, state=BackendState.BACKEND_STATE_UP)


@pytest.fixture
def secret(data_dir: Path) -> str:
    """A key for everything but administration, there before the gateway."""
    return add_key(data_dir, name="laptop")


@pytest.fixture
async def keyed(secret: str) -> AsyncIterator[Stack]:
    """A gateway that wants keys."""
    async with Stack().running() as running:
        yield running


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


async def ask(stack: Stack, route: Route, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
    """Ask for a route by one of its paths; return the status and the error."""
    path = re.sub(r"\{[^}]+\}", "x", path)
    async with stack.http.request(route.method, stack.url + path, headers=headers) as reply:
        body = await reply.json(content_type=None) if reply.status in (401, 403) else {}
        return reply.status, body.get("error", {})


@pytest.mark.parametrize("shown", [{}, bearer("whatever"), {"x-api-key": "none"}])
async def test_without_keys_any_or_none_is_taken(stack: Stack, shown):
    async with stack.chat(headers=shown) as reply:
        assert reply.status == 200
        assert not [name for name in reply.headers if "ratelimit" in name.lower()]
    assert (await stack.get("/providers", **shown))[0] == 200


@pytest.mark.parametrize("route", GUARDED, ids=name_of)
async def test_every_guarded_route_wants_a_key_by_every_path(keyed: Stack, route):
    for path in forms(route.path):
        status, error = await ask(keyed, route, path)
        assert (status, error["message"].startswith("send an API key")) == (401, True), path


@pytest.mark.parametrize("route", [route for route in GUARDED if route.scope != "any"], ids=name_of)
async def test_every_scope_is_needed(keyed: Stack, data_dir, route):
    others = {"chat", "embeddings", "memory", "metrics", "admin"} - {route.scope}
    secret = add_key(data_dir, name="partial", scopes=frozenset(others))
    async with Stack().running() as fresh:
        for path in forms(route.path):
            status, error = await ask(fresh, route, path, **bearer(secret))
            assert status == 403, path
            assert f"the scope '{route.scope}'" in error["message"]
            assert "'partial'" in error["message"]


def test_a_handler_has_one_scope():
    found = scopes()
    assert [route for route in ROUTES if found[route.handler] != route.scope] == []


@pytest.mark.parametrize("path", ["/", "/health"])
async def test_open_routes_need_none_and_mind_no_wrong_one(keyed: Stack, path):
    for shown in ({}, bearer("wrong")):
        assert (await keyed.get(path, **shown))[0] == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/no", 404), ("PUT", "/", 405)])
async def test_what_is_not_served_needs_none_to_be_told_so(keyed: Stack, method, path, status):
    async with keyed.http.request(method, keyed.url + path) as reply:
        assert reply.status == status


@pytest.mark.parametrize(
    "form",
    [
        "Authorization: Bearer {}",
        "Authorization: bearer  {}",
        "authorization: BEARER {}",
        "x-api-key: {}",
        "X-API-Key: {}",
    ],
)
async def test_a_key_is_taken_from_either_header(keyed: Stack, secret, form):
    name, _, value = form.format(secret).partition(": ")
    async with keyed.chat(headers={name: value}) as reply:
        assert reply.status == 200


async def test_of_two_headers_one_that_is_good_is_enough(keyed: Stack, secret):
    async with keyed.chat(headers=bearer("sk-placeholder") | {"x-api-key": secret}) as reply:
        assert reply.status == 200


@pytest.mark.parametrize(
    "shown",
    [
        bearer("lair_wrong-secret"),
        {"Authorization": "Basic bGFpcg=="},
        {"Authorization": "Bearer"},
        {"x-api-key": "ключ-wrong-secret"},
    ],
)
async def test_a_wrong_key_is_a_401_that_does_not_repeat_it(keyed: Stack, shown):
    async with keyed.chat(headers=shown) as reply:
        text = await reply.text()
        assert reply.status == 401
        assert reply.headers["www-authenticate"] == 'Bearer realm="lair"'
        assert reply.headers["x-should-retry"] == "false"
    error = (await reply.json())["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
    assert "lair keys create" in error["message"]
    assert "wrong-secret" not in text
    assert keyed.router.calls == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"disabled": True}, "'laptop' is disabled; lair keys enable laptop"),
        ({"expires_us": 1_700_000_000_000_000}, "'laptop' expired at 2023-11-14 22:13 UTC"),
    ],
)
async def test_a_key_that_is_no_longer_good_says_why_and_what_to_do(
    data_dir, secret, change, words
):
    change_keys(data_dir, **change)
    async with Stack().running() as stack, stack.chat(headers=bearer(secret)) as reply:
        assert reply.status == 401
        assert words in (await reply.json())["error"]["message"]


async def test_a_key_is_good_until_it_expires(data_dir, secret):
    change_keys(data_dir, expires_us=now_us() + 60_000_000)
    async with Stack().running() as stack, stack.chat(headers=bearer(secret)) as reply:
        assert reply.status == 200


async def test_keys_change_while_the_gateway_runs(stack: Stack, data_dir):
    async def becomes(status: int, shown: dict[str, str]) -> None:
        async with asyncio.timeout(10):
            while True:
                async with stack.chat(headers=shown) as reply:
                    if reply.status == status:
                        return

    old = add_key(data_dir, name="old")
    await becomes(401, {})
    async with stack.chat(headers=bearer(old)) as reply:
        assert reply.status == 200
    with changing_keys(keys_file(data_dir)) as keys:
        keys.clear()
    new = add_key(data_dir, name="new")
    await becomes(401, bearer(old))
    async with stack.chat(headers=bearer(new)) as reply:
        assert reply.status == 200
    with changing_keys(keys_file(data_dir)) as keys:
        keys.clear()
    await becomes(200, {})


async def test_a_spoilt_file_is_shown_and_lets_nobody_in(keyed: Stack, data_dir, secret):
    write_private(keys_file(data_dir), b"{")
    async with asyncio.timeout(10):
        while True:
            _, body = await keyed.get("/health", **bearer(owner_token(data_dir)))
            if any("keys" in fault for fault in body["degraded"]):
                break
    assert body["status"] == "degraded"
    assert str(keys_file(data_dir)) in body["degraded"][-1]
    for shown, status in ((bearer(secret), 200), ({}, 401)):
        async with keyed.chat(headers=shown) as reply:
            assert reply.status == status


async def test_the_owners_token_opens_everything_and_is_new_each_time(keyed: Stack, data_dir):
    token = owner_token(data_dir)
    assert stat.S_IMODE(owner_file(data_dir).stat().st_mode) == 0o600
    for route in GUARDED:
        status, _ = await ask(keyed, route, route.path, **bearer(token))
        assert status not in (401, 403), route
    await keyed.get("/memory/conversations", **bearer(token))
    assert keyed.memory.requests[-1].all_users
    async with Stack().running() as again:
        assert owner_token(data_dir) != token
        assert (await again.get("/providers", **bearer(token)))[0] == 401


async def test_a_data_directory_that_takes_no_token_stops_nobody(data_dir):
    owner_file(data_dir).mkdir(parents=True)
    async with Stack().running() as stack, stack.chat() as reply:
        assert reply.status == 200


async def test_health_tells_all_to_administrators_only(keyed: Stack, data_dir, secret):
    keyed.router.backends = [UP]
    for shown in ({}, bearer(secret), bearer("wrong")):
        async with keyed.http.get(f"{keyed.url}/health", headers=shown) as reply:
            assert (reply.status, await reply.json()) == (200, {"status": "ok"})
            assert 'realm="lair"' in reply.headers["www-authenticate"]
    admin = add_key(data_dir, scopes=frozenset({"admin"}))
    async with Stack().running() as fresh:
        for shown in (bearer(admin), bearer(owner_token(data_dir))):
            _, body = await fresh.get("/health", **shown)
            assert set(body["services"]) == {"router", "memory", "metrics"}


async def test_how_much_everybody_has_is_for_administrators_only(keyed: Stack, data_dir, secret):
    keyed.memory.index = GetIndexStatusResponse(model_state="ready", indexed_count=41)
    _, body = await keyed.get("/memory/stats", **bearer(secret))
    assert body["index"]["state"] == "ready"
    assert (body["index"]["indexed"], body["index"]["pending"]) == (None, None)
    _, body = await keyed.get("/memory/stats", **bearer(owner_token(data_dir)))
    assert (body["index"]["indexed"], body["index"]["pending"]) == (41, 0)


async def test_a_browser_may_ask_what_it_may_send_without_a_key(keyed: Stack):
    origin = {"Origin": "http://localhost:3000", "Access-Control-Request-Headers": "authorization"}
    url = f"{keyed.url}/v1/chat/completions"
    async with keyed.http.options(url, headers=origin) as reply:
        assert reply.status == 204
        assert reply.headers["access-control-allow-headers"] == "authorization"
    async with keyed.chat(headers={"Origin": "http://localhost:3000"}) as reply:
        assert reply.status == 401
        assert reply.headers["access-control-allow-origin"] == "http://localhost:3000"


async def test_a_key_sees_the_models_it_may_use(data_dir):
    secret = add_key(data_dir, models=("small", "m", "vllm/a/b"))
    async with Stack().running() as stack:
        stack.router.models = [
            Model(id="auto"),
            Model(id="a/b", backend="ollama"),
            Model(id="m", backend="ollama"),
            Model(id="n", backend="vllm"),
            Model(id="small", alias_targets=["n"]),
            Model(id="vllm/a/b", backend="other"),
        ]
        stack.router.backends = [
            Backend(name="ollama", models=["a/b", "m"]),
            Backend(name="vllm", models=["a/b", "n"]),
        ]
        _, body = await stack.get("/v1/models", **bearer(secret))
        # The last is none it means, but has the name it names.
        assert [model["id"] for model in body["data"]] == ["a/b", "m", "small", "vllm/a/b"]
        assert (await stack.get("/v1/models/a/b", **bearer(secret)))[0] == 200
        assert (await stack.get("/v1/models/n", **bearer(secret)))[0] == 404
        _, body = await stack.get("/v1/models", **bearer(owner_token(data_dir)))
        assert len(body["data"]) == 6


async def refusal(**gateway: Any) -> str:
    async with connect("127.0.0.1:1") as channel:
        with pytest.raises(ServeError) as raised:
            async with serving(
                Settings(gateway=Gateway(port=0, **gateway)),
                router=channel,
                memory=channel,
                metrics=channel,
            ):
                pass
    return str(raised.value)


async def test_a_spoilt_file_at_the_start_is_a_line_that_names_it(data_dir):
    write_private(keys_file(data_dir), b"{")
    message = await refusal()
    assert message.startswith(f"gateway: {keys_file(data_dir)}: is no file of keys")
    assert "\n" not in message


async def test_an_open_address_needs_a_key(data_dir):
    assert "lair keys create" in await refusal(host="0.0.0.0")
    secret = add_key(data_dir)
    async with Stack().running(host="0.0.0.0") as stack:
        assert (await stack.get("/v1/models"))[0] == 401
        assert (await stack.get("/v1/models", **bearer(secret)))[0] == 200


async def test_an_open_address_is_closed_when_its_last_key_goes(data_dir):
    secret = add_key(data_dir)
    async with Stack().running(host="0.0.0.0") as stack:
        with changing_keys(keys_file(data_dir)) as keys:
            keys.clear()
        async with asyncio.timeout(10):
            while (await stack.get("/v1/models", **bearer(secret)))[0] != 401:
                pass
        status, body = await stack.get("/v1/models")
        assert status == 401
        assert "has no keys; lair keys create makes one" in body["error"]["message"]
        assert (await stack.get("/health")) == (200, {"status": "degraded"})
        owner = bearer(owner_token(data_dir))
        assert (await stack.get("/providers", **owner))[0] == 200


async def test_an_open_address_may_be_meant_for_everyone(data_dir):
    async with Stack().running(host="0.0.0.0", no_auth=True) as stack:
        assert (await stack.get("/providers"))[0] == 200
