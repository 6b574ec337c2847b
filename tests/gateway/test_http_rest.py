"""Everything beside chats, memory and reports: models, health, errors, CORS."""

from __future__ import annotations

import asyncio

import pytest

from gateway.main import serving
from lair.memory.v1.recall_service_pb2 import GetIndexStatusResponse
from lair.router.v1.router_service_pb2 import Backend, BackendState, Model, ModelCapabilities
from svckit.channels import connect
from svckit.settings import Gateway, Metrics, Settings
from tests.gateway.conftest import Stack

UP = Backend(name="ollama", kind="openai", local=True, state=BackendState.BACKEND_STATE_UP)
ABLE = ModelCapabilities(chat=True, vision=False)
DOWN = Backend(name="vllm", state=BackendState.BACKEND_STATE_DOWN, last_error="refused")


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
async def test_models_are_listed_through_all_pages(stack: Stack, path):
    stack.router.models = [
        Model(id="auto"),
        Model(
            id="m", backend="ollama", context_length=8192, loaded=True, created=7, capabilities=ABLE
        ),
        Model(id="n", backend="vllm", extra_json=b'{"max_model_len": 4096}'),
        Model(id="small", alias_targets=["m", "vllm/n"]),
    ]
    status, body = await stack.get(path)
    assert status == 200
    assert body == {
        "object": "list",
        "data": [
            {"id": "auto", "object": "model", "created": 0, "owned_by": "lair"},
            {
                "id": "m",
                "object": "model",
                "created": 7,
                "owned_by": "ollama",
                "backend": "ollama",
                "context_length": 8192,
                "loaded": True,
                "capabilities": ["chat"],
            },
            {
                "id": "n",
                "object": "model",
                "created": 0,
                "owned_by": "vllm",
                "backend": "vllm",
                "max_model_len": 4096,
            },
            {
                "id": "small",
                "object": "model",
                "created": 0,
                "owned_by": "lair",
                "alias_targets": ["m", "vllm/n"],
            },
        ],
    }


@pytest.mark.parametrize("written", ["a/b:c", "a%2Fb%3Ac", "a%2Fb:c"])
async def test_a_models_id_may_hold_slashes_and_colons(stack: Stack, written):
    stack.router.models = [Model(id="a/b:c", backend="ollama")]
    status, body = await stack.get(f"/v1/models/{written}")
    assert (status, body["id"]) == (200, "a/b:c")


async def test_a_model_is_known_by_its_backends_name_too(stack: Stack):
    stack.router.backends = [Backend(name="lab", models=["a/b:c"])]
    status, body = await stack.get("/v1/models/lab/a/b:c")
    assert (status, body["id"], body["owned_by"]) == (200, "lab/a/b:c", "lab")


async def test_an_unknown_model_is_a_404(stack: Stack):
    status, body = await stack.get("/v1/models/nope")
    assert status == 404
    assert body["error"]["code"] == "model_not_found"
    assert body["error"]["param"] == "model"


@pytest.mark.parametrize("path", ["/nope", "/v1/nope", "/v1/embeddings/x", "/healthz"])
async def test_an_unknown_path_is_a_404_in_json(stack: Stack, path):
    async with stack.http.get(stack.url + path, headers={"accept": "text/html"}) as reply:
        assert reply.status == 404
        assert reply.content_type == "application/json"
        assert reply.headers["x-request-id"]
        assert path in (await reply.json())["error"]["message"]


async def test_a_wrong_method_is_a_405_that_says_which_are_right(stack: Stack):
    async with stack.http.put(f"{stack.url}/memory/conversations/c") as reply:
        assert reply.status == 405
        assert reply.headers["allow"] == "DELETE, GET, HEAD, PATCH"
        assert "it takes DELETE, GET, HEAD, PATCH" in (await reply.json())["error"]["message"]


async def test_the_root_says_what_this_is(stack: Stack):
    status, body = await stack.get("/")
    assert (status, body["name"]) == (200, "lair")
    assert body["links"]["health"] == "/health"


async def test_health_is_ok_when_all_is_well(stack: Stack):
    stack.router.backends = [UP]
    status, body = await stack.get("/health")
    assert (status, body["status"], body["degraded"]) == (200, "ok", [])
    assert {name: service["status"] for name, service in body["services"].items()} == {
        "router": "up",
        "memory": "up",
        "metrics": "up",
    }
    assert body["backends"]["ollama"]["state"] == "up"
    assert body["memory"] == {
        "model": "all-MiniLM-L6-v2",
        "state": "ready",
        "error": None,
        "indexed": 3,
        "pending": 0,
        "failed": 0,
        "failure": None,
    }


async def test_health_is_degraded_and_says_why(stack: Stack):
    stack.router.backends = [UP, DOWN]
    stack.memory.index = GetIndexStatusResponse(
        model="bge", model_state="failed", model_error="no such file"
    )
    status, body = await stack.get("/health")
    assert (status, body["status"]) == (200, "degraded")
    assert body["degraded"] == [
        "The backend vllm is down: refused.",
        "The embedding model bge failed (no such file): the past is searched by words only.",
    ]


@pytest.mark.parametrize(
    ("backends", "sentence"),
    [([], "No backend is configured or was found"), ([DOWN], "No backend answers")],
)
async def test_health_is_degraded_without_a_backend(stack: Stack, backends, sentence):
    stack.router.backends = backends
    status, body = await stack.get("/health")
    assert (status, body["status"]) == (200, "degraded")
    assert body["degraded"][0].startswith(sentence)


async def test_health_tells_services_that_are_down_from_those_switched_off(stack, unused_tcp_port):
    async with (
        connect(f"127.0.0.1:{unused_tcp_port}") as nowhere,
        serving(
            Settings(gateway=Gateway(port=0), metrics=Metrics(enabled=False)),
            router=nowhere,
            memory=nowhere,
            metrics=nowhere,
        ) as port,
        stack.http.get(f"http://127.0.0.1:{port}/health") as reply,
    ):
        body = await reply.json()
    assert (reply.status, body["status"]) == (503, "down")
    assert {name: service["status"] for name, service in body["services"].items()} == {
        "router": "down",
        "memory": "down",
        "metrics": "off",
    }
    router, memory = body["degraded"]
    assert router == "The router service is down (it is not reachable): no request can be answered."
    assert memory.endswith("chats are answered without their history.")


async def test_services_of_this_process_are_up_without_being_asked():
    async with Stack().running(in_process=True) as stack:
        stack.router.backends = [UP]
        _, body = await stack.get("/health")
    assert body["status"] == "ok"
    assert body["services"]["router"] == {"status": "up", "transport": "in-process"}


async def test_prometheus_reads_the_counters_of_this_process(stack: Stack):
    async with stack.http.get(f"{stack.url}/metrics") as reply:
        assert reply.status == 200
        assert reply.headers["content-type"].startswith("text/plain; version=")
        assert "python_info" in await reply.text()


async def test_a_page_of_this_machine_may_ask_and_read(stack: Stack):
    origin = {"Origin": "http://localhost:3000"}
    asked = origin | {"Access-Control-Request-Headers": "x-user-id"}
    url = f"{stack.url}/v1/chat/completions"
    async with stack.http.options(url, headers=asked) as reply:
        assert reply.status == 204
        assert reply.headers["access-control-allow-headers"] == "x-user-id"
    async with stack.chat(headers=origin) as reply:
        assert reply.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "x-lair-backend" in reply.headers["access-control-expose-headers"]


async def test_a_service_that_is_down_is_a_503_at_once(stack, unused_tcp_port):
    async with (
        connect(f"127.0.0.1:{unused_tcp_port}") as nowhere,
        serving(
            Settings(gateway=Gateway(port=0)), router=nowhere, memory=nowhere, metrics=nowhere
        ) as port,
        asyncio.timeout(5),
        stack.http.get(f"http://127.0.0.1:{port}/v1/models") as reply,
    ):
        assert reply.status == 503
        assert (await reply.json())["error"]["code"] == "service_unavailable"


async def test_replies_say_of_themselves_what_openais_do(stack: Stack):
    named = {"OpenAI-Organization": "org-1"}
    async with stack.http.get(f"{stack.url}/v1/models", headers=named) as reply:
        assert reply.headers["openai-version"] == "2020-10-01"
        assert reply.headers["openai-organization"] == "org-1"
        assert int(reply.headers["openai-processing-ms"]) >= 0
    async with stack.http.post(f"{stack.url}/v1/messages", data=b"{") as reply:
        assert reply.headers["request-id"] == reply.headers["x-request-id"]
        assert "openai-version" not in reply.headers
