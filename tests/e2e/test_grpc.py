"""The same stack by gRPC, with a client that knows nothing of lair: reflection and JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Lair, eventually

BUF = str(Path(sys.executable).with_name("buf"))


def buf_curl(port: int, *arguments: str) -> str:
    command = [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments]
    target = f"http://127.0.0.1:{port}"
    if arguments[-1].startswith("lair."):
        command[-1] = f"{target}/{arguments[-1]}"
    else:
        command.append(target)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def call(port: int, method: str, message: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(buf_curl(port, "-d", json.dumps(message), method))
    return answer


@pytest.mark.parametrize("version", ["grpc-v1", "grpc-v1alpha"])
@pytest.mark.parametrize(
    ("offset", "services"),
    [
        (1, {"lair.router.v1.RouterService"}),
        (2, {"lair.memory.v1.ConversationService", "lair.memory.v1.RecallService"}),
        (3, {"lair.metrics.v1.UsageService", "lair.metrics.v1.ReportService"}),
    ],
)
def test_reflection_lists_the_services(
    lair: Lair, version: str, offset: int, services: set[str]
) -> None:
    listed = buf_curl(lair.port + offset, "--reflect-protocol", version, "--list-services")
    assert services | {"grpc.health.v1.Health"} <= set(listed.split())


def test_a_chat_by_grpc_is_remembered_and_counted_as_one_by_http_is(lair: Lair) -> None:
    chat = {
        "model": "auto",
        "temperature": 0,
        "messages": [{"role": "user", "text": "My favourite colour is brown."}],
        "memory": {"conversationId": "by-grpc"},
    }
    router, memory, metrics = lair.port + 1, lair.port + 2, lair.port + 3
    reply = call(router, "lair.router.v1.RouterService/Chat", {"call": chat})
    assert reply["route"]["backend"] == "tiny"
    assert reply["memory"]["conversationId"] == "by-grpc"

    method = "lair.memory.v1.ConversationService/"
    wanted = {"conversationId": "by-grpc"}
    eventually(lambda: any(c["id"] == "by-grpc" for c in conversations(lair)))
    found = call(memory, f"{method}GetConversation", wanted)["conversation"]
    assert found["messageCount"] == 2
    assert found["title"] == "My favourite colour is brown."
    messages = call(memory, f"{method}ListMessages", wanted)["messages"]
    assert messages[1]["message"]["text"] == reply["completion"]["choices"][0]["message"]["text"]

    report = "lair.metrics.v1.ReportService/"

    def by_grpc() -> list[Any]:
        listed = call(metrics, f"{report}ListRequests", {"pageSize": 1000}).get("records", [])
        return [r for r in listed if r.get("conversationId") == "by-grpc"]

    records = eventually(by_grpc)
    assert [r["endpoint"] for r in records] == ["grpc"]
    assert int(call(metrics, f"{report}GetDashboard", {})["requestCount"]) >= 1


def test_a_stream_by_grpc_begins_with_who_answers_and_ends_with_the_usage(lair: Lair) -> None:
    chat = {"temperature": 0, "messages": [{"role": "user", "text": "Count to 4"}]}
    method = "lair.router.v1.RouterService/ChatStream"
    text = buf_curl(lair.port + 1, "-d", json.dumps({"call": chat}), method)
    decoder, events, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        message, end = decoder.raw_decode(rest)
        events += message["events"]
        rest = rest[end:].strip()
    assert "started" in events[0]
    assert events[0]["started"]["route"]["backend"] == "tiny"
    assert "".join(e["delta"]["text"] for e in events if "delta" in e) == "1 2 3 4"
    assert events[-2]["finish"]["reason"] == "stop"
    assert int(events[-1]["completed"]["usage"]["completionTokens"]) > 0


def conversations(lair: Lair) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = lair.get("/memory/conversations")["conversations"]
    return listed
