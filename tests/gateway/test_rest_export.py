"""Counted requests as a file by REST."""

from __future__ import annotations

import aiohttp
import pytest

from lair.metrics.v1 import report_service_pb2 as pb
from svckit.errors import ServiceError
from tests.gateway.conftest import Stack

BROKEN = ServiceError("SERVICE_UNAVAILABLE", "the disk is gone")


@pytest.mark.parametrize(
    ("query", "form", "media"),
    [
        ("", pb.EXPORT_FORMAT_CSV, "text/csv"),
        ("format=jsonl", pb.EXPORT_FORMAT_JSONL, "application/x-ndjson"),
        ("format=zip", pb.EXPORT_FORMAT_ZIP, "application/zip"),
    ],
)
async def test_pieces_come_as_one_file(stack: Stack, query: str, form: int, media: str):
    stack.metrics.export = [b"a,b\r\n", b"1,2\r\n"]
    async with stack.http.get(f"{stack.url}/metrics/export?{query}") as reply:
        assert (reply.status, reply.content_type) == (200, media)
        assert reply.headers["cache-control"] == "no-store"
        assert f"lair-usage.{query[7:] or 'csv'}" in reply.headers["content-disposition"]
        assert await reply.read() == b"a,b\r\n1,2\r\n"
    [asked] = stack.metrics.requests
    assert asked.format == form


async def test_an_export_is_of_what_a_report_would_be_of(stack: Stack):
    path = "/metrics/export?from=2026-01-01&to=2026-01-31&tz=UTC&project=p&key=k&user_id=ana"
    async with stack.http.get(stack.url + path) as reply:
        assert (reply.status, await reply.read()) == (200, b"")
    [asked] = stack.metrics.requests
    scope = asked.scope
    assert (scope.user_id, scope.project, scope.key_id, scope.time_zone) == ("ana", "p", "k", "UTC")
    assert scope.start_time.ToJsonString() == "2026-01-01T00:00:00Z"
    assert scope.end_time.ToJsonString() == "2026-02-01T00:00:00Z"


async def test_head_asks_nothing(stack: Stack):
    async with stack.http.head(f"{stack.url}/metrics/export") as reply:
        assert (reply.status, reply.content_type) == (200, "text/csv")
    assert stack.metrics.requests == []


async def test_a_failure_before_the_first_piece_is_an_error(stack: Stack):
    stack.metrics.export = [BROKEN]
    status, body = await stack.get("/metrics/export")
    assert (status, body["error"]["message"]) == (503, "the disk is gone")


async def test_half_a_file_does_not_pass_for_a_whole_one(stack: Stack):
    stack.metrics.export = [b"a,b\r\n", BROKEN]
    async with stack.http.get(f"{stack.url}/metrics/export") as reply:
        assert await reply.content.readany() == b"a,b\r\n"
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.read()
    stack.metrics.export = [b"whole"]
    async with stack.http.get(f"{stack.url}/metrics/export") as reply:
        assert await reply.read() == b"whole"


async def test_a_format_that_there_is_not_is_refused(stack: Stack):
    status, body = await stack.get("/metrics/export?format=xlsx")
    assert (status, body["error"]["param"]) == (400, "format")
