"""A failure is told in the words of the API that was asked, whatever failed."""

from __future__ import annotations

import asyncio
import json
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest

from gateway.dialects.errors import anthropic_type, error_body, is_anthropic
from svckit.errors import TABLE, ServiceError
from tests.gateway.conftest import Stack
from tests.gateway.test_malformed import answer_to

MESSAGE = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
# What facts of the wire, section 1.11, says of each failure: status, type, code, retry.
CONTRACT = {
    "INVALID_FIELD": (400, "invalid_request_error", None, False),
    "INVALID_BODY": (400, "invalid_request_error", None, False),
    "UPSTREAM_REJECTED": (400, "invalid_request_error", None, False),
    "CONTEXT_LENGTH_EXCEEDED": (400, "invalid_request_error", "context_length_exceeded", False),
    "UNAUTHENTICATED": (401, "invalid_request_error", "invalid_api_key", False),
    "PERMISSION_DENIED": (403, "permission_error", None, False),
    "MODEL_NOT_FOUND": (404, "invalid_request_error", "model_not_found", False),
    "UNKNOWN_PATH": (404, "invalid_request_error", None, False),
    "BODY_TOO_LARGE": (413, "invalid_request_error", "request_too_large", False),
    "RATE_LIMITED": (429, "rate_limit_error", "rate_limit_exceeded", True),
    "UPSTREAM_FAILED": (502, "server_error", "upstream_error", True),
    "NO_BACKEND": (503, "server_error", "no_backend", False),
    "UPSTREAM_TIMEOUT": (504, "server_error", "upstream_timeout", False),
}


@pytest.mark.parametrize("reason", CONTRACT)
def test_the_table_is_the_contract(reason: str) -> None:
    meaning = TABLE[reason]
    assert (meaning.http, meaning.type, meaning.code, meaning.retry) == CONTRACT[reason]


def test_nothing_of_a_clients_making_is_a_5xx_and_no_status_invites_vain_repetition() -> None:
    for reason, meaning in TABLE.items():
        assert meaning.http not in (408, 422), reason
        assert meaning.http != 409 or not meaning.retry
        assert (meaning.type == "server_error") == (meaning.http >= 500)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
    ],
)
def test_anthropics_types(status: int, kind: str) -> None:
    assert anthropic_type(status) == kind


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1/messages", True),
        ("/messages", True),
        ("/v1/messages/count_tokens", True),
        ("/p/lair/v1/messages", True),
        ("/p/lair/messages/count_tokens", True),
        ("/v1/messages/", True),
        ("/v1/messagesx", False),
        ("/v1/chat/completions", False),
        ("/v1/chat/completions/chatcmpl-1/messages", False),
        ("/p/messages/v1/chat/completions", False),
        ("/", False),
    ],
)
def test_paths_of_anthropics_api(path: str, answer: bool) -> None:
    assert is_anthropic(path) is answer


@pytest.mark.parametrize("reason", TABLE)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_every_failure_has_a_body_in_either(reason: str, path: str) -> None:
    body = json.loads(error_body(ServiceError(reason, "it is so"), path, "r1"))
    if path == "/v1/messages":
        assert (body["type"], body["request_id"]) == ("error", "r1")
        assert set(body["error"]) == {"type", "message"}
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}
    assert "it is so" in body["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "kind"),
    [
        ("POST", "/v1/messages", {"data": b"{"}, 400, "invalid_request_error"),
        ("POST", "/messages", {"json": {}}, 400, "invalid_request_error"),
        ("POST", "/p/x/v1/messages", {"json": {}}, 400, "invalid_request_error"),
        ("GET", "/v1/messages", {}, 405, "invalid_request_error"),
        ("POST", "/v1/messages/batches", {"json": {}}, 404, "not_found_error"),
        (
            "POST",
            "/v1/messages",
            {"json": MESSAGE, "headers": {"Origin": "https://evil.example"}},
            403,
            "permission_error",
        ),
        (
            "POST",
            "/v1/messages",
            {"data": b"no gzip", "headers": {"Content-Encoding": "gzip"}},
            400,
            "invalid_request_error",
        ),
        ("POST", "/v1/messages", {"data": BytesIO(b"x" * 2_200_000)}, 413, "request_too_large"),
    ],
)
async def test_refusals_of_the_edge(
    method: str, path: str, options: dict[str, Any], status: int, kind: str
) -> None:
    async with (
        Stack().running(max_body_mb=2) as stack,
        stack.http.request(method, stack.url + path, **options) as reply,
    ):
        body = await reply.json()
        assert (reply.status, body["error"]["type"]) == (status, kind)
        assert body["request_id"] == reply.headers["x-request-id"] == reply.headers["request-id"]
        assert body["type"] == "error"


async def test_a_failure_behind_whitespace_is_in_the_same_words() -> None:
    async with Stack().running(keepalive_whole=True, keepalive_seconds=0.01) as slow:
        slow.router.hold = asyncio.Event()
        slow.router.answer = ServiceError("UPSTREAM_FAILED", "it died")
        async with slow.http.post(f"{slow.url}/v1/messages", json=MESSAGE) as reply:
            assert await reply.content.readexactly(1) == b"\n"
            slow.router.hold.set()
            body = json.loads(await reply.read())
    assert (reply.status, body["error"]["message"]) == (200, "it died")
    assert (body["type"], body["error"]["type"]) == ("error", "api_error")
    assert UUID(body["request_id"]).version == 7


POST = "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
both_paths = pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/nowhere"])


@both_paths
async def test_an_expectation_that_nobody_meets_is_refused_in_json(stack: Stack, path: str) -> None:
    head = POST.format(path=path) + "Connection: close\r\nExpect: a-miracle\r\n"
    status, headers, body = await answer_to(
        stack.url, head.encode() + b"Content-Length: 2\r\n\r\n{}"
    )
    assert (status, headers["content-type"]) == (400, "application/json")
    fault = json.loads(body)
    assert "a-miracle" in fault["error"]["message"]
    assert fault.get("request_id", headers["x-request-id"]) == headers["x-request-id"]
    assert ("request_id" in fault) == (path == "/v1/messages")


@both_paths
async def test_an_expectation_that_is_not_utf_8_is_the_clients_mistake(
    stack: Stack, path: str
) -> None:
    head = POST.format(path=path).encode() + b"Connection: close\r\nExpect: \xff\r\n"
    status, headers, body = await answer_to(stack.url, head + b"Content-Length: 2\r\n\r\n{}")
    assert (status, headers["content-type"]) == (400, "application/json")
    assert "100-continue" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("rest", [b"zz\r\nabc\r\n", b"2\r\n{}XX\r\n0\r\n\r\n"])
async def test_a_body_that_breaks_the_rules_behind_a_good_chunk_is_refused(
    stack: Stack, path: str, rest: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(stack.url.rsplit(":", 1)[1]))
    head = POST.format(path=path) + "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    writer.write(head.encode() + b"2\r\n{}\r\n")
    async with asyncio.timeout(10):
        assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
        writer.write(rest)
        answer = await reader.read()  # to the end of the connection
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    fault = json.loads(body)["error"]
    assert fault["type"] == "invalid_request_error"
    assert fault["message"].startswith("the body cannot be read: ")
    assert stack.router.calls == []
