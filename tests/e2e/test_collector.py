"""A collector is told of the requests of a real `lair up`, by our setting or the SDK's own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from router_svc.otlp import names
from tests.e2e.crowd import aside
from tests.e2e.stack import Lair, eventually, lair_up, request
from tests.fakes.collector import attributes, collecting
from tests.fakes.openai_server import OpenAIServer

HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "Tell no one"}]}


@pytest.mark.parametrize("variable", ["LAIR_METRICS__OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])
async def test_a_collector_sees_spans_and_measurements(tmp_path: Path, variable: str) -> None:
    async with collecting() as collector, OpenAIServer("tiny") as server:
        settings = {variable: collector.url}
        async with aside(lair_up(tmp_path, backends={"a": server.url}, **settings)) as lair:
            url = f"{lair.url}/v1/chat/completions"
            status, _ = await asyncio.to_thread(request, "POST", url, HELLO)
            recent = await asyncio.to_thread(_counted, lair)
        assert status == 200
        whole, inner = collector.spans()
        tokens = {
            attributes(point.attributes)[names.TOKEN_TYPE]: point.sum
            for name, _, point in collector.points()
            if name == names.TOKEN_USAGE
        }
    assert (whole.name, inner.name) == ("POST /v1/chat/completions", "chat tiny")
    assert whole.trace_id == UUID(recent["request_id"]).bytes
    assert tokens == {"input": 5, "output": 2}
    assert b"Tell no one" not in b"".join(it.SerializeToString() for it in collector.sent)


def _counted(lair: Lair) -> dict[str, str]:
    counted: dict[str, str] = eventually(lambda: lair.get("/metrics/recent")["requests"])[0]
    return counted
