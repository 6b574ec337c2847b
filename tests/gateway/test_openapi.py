"""The OpenAPI document: it covers every route, and every reply is as it says."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from gateway.handlers.index import LINKS
from gateway.headers import REQUEST_HEADERS, RESPONSE_HEADERS
from gateway.openapi.components import struct_schemas
from gateway.openapi.document import document, document_json, plain_path
from gateway.openapi.operations import OPERATIONS, TAGS
from gateway.openapi.schemas import SCHEMAS
from gateway.routes import ROUTES
from lair.memory.v1.conversation_pb2 import Conversation
from lair.memory.v1.memory_service_pb2 import Note
from lair.metrics.v1 import report_service_pb2 as reports_pb2
from lair.metrics.v1.usage_pb2 import Attempt, RequestRecord
from lair.router.v1.router_service_pb2 import Backend, RouteCandidate
from tests.gateway.conftest import CHAT, Stack

DOCUMENT = json.loads(document_json())
# Of paths that are no whole address.
ADDRESSES = {
    "/metrics/query": "/metrics/query?measures=requests&dimensions=model",
    "/metrics/wrapped/{year}": "/metrics/wrapped/2026",
}


def entries() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, entry in methods.items():
            yield f"{method.upper()} {path}", entry


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def test_every_route_is_described_and_nothing_else():
    assert {(route.method, route.path) for route in ROUTES} == set(OPERATIONS)
    assert {name for name, _ in entries()} == {
        f"{route.method} {plain_path(route.path)}" for route in ROUTES
    }


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does():
    described = dict(entries())
    assert len({entry["operationId"] for entry in described.values()}) == len(described)
    for name, entry in described.items():
        assert entry["summary"], name
        assert set(entry["tags"]) <= set(TAGS), name
        assert {"4XX", "5XX"} < set(entry["responses"]), name


def test_every_reference_leads_somewhere():
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        node = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            assert step in node, reference
            node = node[step]


def test_every_schema_is_one():
    for name, schema in DOCUMENT["components"]["schemas"].items():
        jsonschema_rs.meta.validate(schema)
        assert isinstance(schema, dict), name


def test_no_struct_bears_the_name_of_a_schema_written_by_hand():
    kinds = {op.reply for op in OPERATIONS.values() if isinstance(op.reply, type)}
    assert not set(struct_schemas(kinds)) & set(SCHEMAS)


def test_every_parameter_of_a_path_is_described():
    for name, entry in entries():
        described = {p["name"] for p in entry["parameters"] if p["in"] == "path"}
        assert described == {part.split("}")[0] for part in name.split("{")[1:]}, name


def test_lairs_own_headers_are_described():
    chat = DOCUMENT["paths"]["/v1/chat/completions"]["post"]
    assert {p["name"] for p in chat["parameters"]} == set(REQUEST_HEADERS)
    sent = set(chat["responses"]["200"]["headers"])
    failed = set(DOCUMENT["components"]["responses"]["ClientError"]["headers"])
    assert sent | failed == set(RESPONSE_HEADERS)


def test_a_key_needs_the_scope_of_the_route():
    for route in ROUTES:
        entry = DOCUMENT["paths"][plain_path(route.path)][route.method.lower()]
        if route.scope == "open":
            assert entry["security"] == []
        else:
            wanted = [] if route.scope == "any" else [route.scope]
            assert {"bearer": wanted} in entry["security"]


def test_the_root_links_to_every_address_that_needs_no_id():
    assert sorted(LINKS.values()) == sorted(
        {route.path for route in ROUTES if "{" not in route.path} - {"/"}
    )


def test_a_route_that_nothing_is_said_of_is_left_out():
    assert document(ROUTES, {})["paths"] == {}


async def test_the_document_is_sent_once_and_then_known(stack: Stack):
    url = f"{stack.url}/openapi.json"
    async with stack.http.get(url) as reply:
        assert (reply.status, reply.content_type) == (200, "application/json")
        assert await reply.json() == DOCUMENT
        assert reply.headers["cache-control"] == "no-cache"
        tag = reply.headers["etag"]
    for known in (tag, f'"other", {tag}', "*"):
        async with stack.http.get(url, headers={"if-none-match": known}) as reply:
            assert (reply.status, await reply.read()) == (304, b"")
            assert reply.headers["etag"] == tag
    async with stack.http.get(url, headers={"if-none-match": '"other"'}) as reply:
        assert reply.status == 200


async def test_the_page_lets_nothing_in_from_elsewhere(stack: Stack):
    async with stack.http.get(f"{stack.url}/docs") as reply:
        assert (reply.status, reply.content_type) == (200, "text/html")
        policy = reply.headers["content-security-policy"]
        assert "http" not in await reply.text()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    async with stack.http.get(f"{stack.url}/docs/start.js") as reply:
        assert (reply.status, reply.content_type) == (200, "text/javascript")
    for name in ("docs.html", "..%2Fdocs.html", "swagger-ui%2FLICENSE", "x"):
        async with stack.http.get(f"{stack.url}/docs/{name}") as reply:
            assert reply.status == 404


def validator(path: str, method: str, status: str) -> jsonschema_rs.Validator:
    content = DOCUMENT["paths"][path][method]["responses"][status]["content"]
    schema = content["application/json"]["schema"] | {"components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(schema)


@pytest.mark.parametrize(
    "path",
    sorted(
        {"/", "/health", "/openapi.json", "/v1/models", "/v1/routing/config", "/providers"}
        | {"/gaming-mode", "/memory/conversations", "/memory/notes", "/memory/stats"}
        | {route.path for route in ROUTES if route.path.startswith("/metrics/")}
        - {"/metrics/live", "/metrics/export"}  # the one has no end, the other is no JSON
    ),
)
async def test_a_reply_is_as_the_document_says(stack: Stack, path: str):
    stack.router.backends = [Backend(name="b", url="http://b", local=True, tokens_per_second=2.5)]
    stack.memory.conversations = [Conversation(id="c", user_id="ana", tags=["t"])]
    stack.memory.notes = [Note(message_id=2**53 + 1, text="Tea", pinned=True)]
    day = reports_pb2.DayActivity(date="2026-11-20", request_count=1)
    stack.metrics.dashboard = reports_pb2.GetDashboardResponse(days=[day], most_active_day=day)
    stack.metrics.page.records.append(RequestRecord(request_id="r", attempts=[Attempt()]))
    stack.metrics.savings.models.append(reports_pb2.Savings(model="m", kwh=0.5))
    stack.metrics.table.rows.append(reports_pb2.QueryRow(keys=["m"], values=[1, math.nan]))
    stack.metrics.routing.fallbacks.append(reports_pb2.Fallback(backend="b"))
    status, body = await stack.get(ADDRESSES.get(path, path))
    assert status == 200
    validator(path, "get", "200").validate(body)


async def test_what_is_made_and_explained_is_as_the_document_says(stack: Stack):
    stack.router.candidates = [RouteCandidate(backend="b", model="m", eligible=True)]
    async with stack.http.post(f"{stack.url}/v1/routing/explain", json=CHAT) as reply:
        validator("/v1/routing/explain", "post", "200").validate(await reply.json())
    async with stack.http.post(f"{stack.url}/memory/conversations", json={}) as reply:
        validator("/memory/conversations", "post", "201").validate(await reply.json())
    async with stack.http.post(f"{stack.url}/memory/notes", json={"text": "Tea"}) as reply:
        validator("/memory/notes", "post", "201").validate(await reply.json())
    async with stack.http.post(f"{stack.url}/memory/forget", json={"topic": "tea"}) as reply:
        validator("/memory/forget", "post", "200").validate(await reply.json())
    async with stack.chat() as reply:
        validator("/v1/chat/completions", "post", "200").validate(await reply.json())
