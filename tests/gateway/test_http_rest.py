"""Everything beside chats: models, health, conversations, reports, errors, CORS."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.main import serving
from lair.common.v1.caller_pb2 import Caller
from lair.common.v1.chat_pb2 import Message, Usage
from lair.memory.v1.conversation_pb2 import Conversation, StoredMessage
from lair.memory.v1.recall_service_pb2 import GetIndexStatusResponse
from lair.metrics.v1 import report_service_pb2 as reports_pb2
from lair.metrics.v1.usage_pb2 import Attempt, RequestRecord, Status
from lair.router.v1.router_service_pb2 import Backend, BackendState, Model, ModelCapabilities
from svckit.channels import connect
from svckit.settings import Gateway, Metrics, Settings
from tests.gateway.conftest import Stack

TIME = Timestamp(seconds=1_700_000_000)
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


async def test_an_unknown_model_is_a_404(stack: Stack):
    status, body = await stack.get("/v1/models/nope")
    assert status == 404
    assert body["error"]["code"] == "model_not_found"
    assert body["error"]["param"] == "model"


@pytest.mark.parametrize("path", ["/nope", "/v1/nope", "/v1/chat/completions/x", "/healthz"])
async def test_an_unknown_path_is_a_404_in_json(stack: Stack, path):
    async with stack.http.get(stack.url + path, headers={"accept": "text/html"}) as reply:
        assert reply.status == 404
        assert reply.content_type == "application/json"
        assert reply.headers["x-request-id"]
        assert path in (await reply.json())["error"]["message"]


async def test_a_wrong_method_is_a_405_that_says_which_are_right(stack: Stack):
    async with stack.http.put(f"{stack.url}/memory/conversations/c") as reply:
        assert reply.status == 405
        assert reply.headers["allow"] == "DELETE, GET, HEAD"
        assert "it takes DELETE, GET, HEAD" in (await reply.json())["error"]["message"]


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
    await stack.get("/memory/conversations?project=p&session_id=s&limit=3&page_token=t")
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


async def test_the_dashboard_is_plain_numbers(stack: Stack):
    day = reports_pb2.DayActivity(date="2026-11-21", request_count=2**40, token_count=5)
    stack.metrics.dashboard = reports_pb2.GetDashboardResponse(
        time_zone="Europe/Berlin",
        most_active_day=day,
        days=[day],
        models=[reports_pb2.UsageShare(name="m", request_count=3, request_ratio=0.75)],
        tokens=reports_pb2.TokenTotals(total_count=9),
        statuses=[reports_pb2.StatusCount(status=Status.STATUS_OK, request_count=3)],
    )
    status, body = await stack.get("/metrics/dashboard")
    assert status == 200
    assert body["most_active_day"] == {"date": "2026-11-21", "requests": 2**40, "tokens": 5}
    assert body["started_date"] is None
    assert body["models"] == [{"name": "m", "requests": 3, "tokens": 0, "ratio": 0.75}]
    assert body["tokens"]["total"] == 9
    assert body["statuses"] == {"ok": 3}


async def test_a_reports_scope_is_whole_local_days(stack: Stack):
    await stack.get(
        "/metrics/dashboard?tz=Europe/Berlin&from=2026-11-01&to=2026-11-02&project=p",
        **{"X-User-ID": "ana"},
    )
    scope = stack.metrics.requests[0].scope
    assert (scope.user_id, scope.project, scope.time_zone) == ("ana", "p", "Europe/Berlin")
    assert scope.start_time.ToJsonString() == "2026-10-31T23:00:00Z"
    assert scope.end_time.ToJsonString() == "2026-11-02T23:00:00Z"


async def test_a_report_without_limits_has_none(stack: Stack):
    await stack.get("/metrics/dashboard?user_id=ben")
    scope = stack.metrics.requests[0].scope
    assert scope.user_id == "ben"
    assert not scope.HasField("start_time")
    assert not scope.HasField("end_time")


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/metrics/dashboard?tz=Mars/Base", "tz"),
        ("/metrics/dashboard?tz=../etc/passwd", "tz"),
        ("/metrics/dashboard?from=yesterday", "from"),
        ("/metrics/dashboard?to=0001-01-01", "to"),
        ("/metrics/dashboard?from=2026-01-02&to=2026-01-01", "to"),
        ("/metrics/recent?limit=0", "limit"),
        ("/metrics/recent?limit=many", "limit"),
        ("/memory/conversations?limit=501", "limit"),
        ("/memory/conversations?project=%00", "project"),
    ],
)
async def test_a_bad_parameter_is_named(stack: Stack, path, param):
    status, body = await stack.get(path)
    assert (status, body["error"]["param"]) == (400, param)


async def test_recent_requests_are_listed(stack: Stack):
    record = RequestRecord(
        request_id="r",
        request_time=TIME,
        caller=Caller(user_id="ana"),
        status=Status.STATUS_OK,
        duration_us=1500,
        attempts=[Attempt(backend="ollama", duration_us=1000)],
    )
    stack.metrics.page = reports_pb2.ListRequestsResponse(records=[record])
    status, body = await stack.get("/metrics/recent?limit=2")
    assert (status, body["next_page_token"]) == (200, None)
    [shown] = body["requests"]
    assert (shown["user_id"], shown["status"], shown["duration_ms"]) == ("ana", "ok", 1.5)
    assert shown["first_token_ms"] is None
    assert shown["attempts"][0]["duration_ms"] == 1.0
    assert stack.metrics.requests[0].page_size == 2


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
