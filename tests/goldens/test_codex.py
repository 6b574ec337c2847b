"""Codex's traffic: the Responses API, tools of every kind, nothing kept, reasoning sealed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from lair.common.v1 import caller_pb2
from tests.fakes.answers import DONE, Answer, chunk, stream, streamed
from tests.goldens.replaying import PROJECT, Replay, golden
from tests.router.streams import choice

FIRST, SECOND = golden("codex")
SESSION = FIRST["headers"]["session-id"]
EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def calling() -> Answer:
    """Think, then call the tool that runs commands."""
    function = {"name": "exec_command", "arguments": '{"cmd":"ls"}'}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    thought = choice({"reasoning": "Let me see."})
    return stream(thought, choice({"tool_calls": [call]}), chunk(finish="tool_calls"), DONE)


def events_of(body: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream, each checked by the official client's types."""
    found = []
    for frame in body.decode().strip().split("\n\n"):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        EVENT.validate_python(event)
        found.append(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


async def answered(replay: Replay, recorded: dict[str, Any]) -> dict[str, Any]:
    """Send a recorded request; return the response that ended its stream."""
    reply, body = await replay.send(recorded)
    assert (reply.status, reply.content_type) == (200, "text/event-stream")
    last = events_of(body)[-1]
    assert last["type"] == "response.completed"
    response: dict[str, Any] = last["response"]
    return response


def test_the_golden_is_what_it_is_meant_to_be():
    assert {tool["type"] for tool in FIRST["body"]["tools"]} == {
        *("function", "namespace", "web_search")
    }
    assert FIRST["body"]["store"] is False
    assert FIRST["body"]["include"] == ["reasoning.encrypted_content"]
    assert [item["type"] for item in SECOND["body"]["input"][-3:]] == [
        *("reasoning", "function_call", "function_call_output")
    ]


async def test_the_backend_gets_a_chat_with_the_tools_it_can_call(replay: Replay):
    replay.backend.script(streamed("Hello"))
    await replay.send(SECOND)
    body = (await replay.backend.request(0)).body
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["developer", "developer", "user", "user", "assistant", "tool"]
    assert body["messages"][3]["content"] == "Which files are here?"
    assert body["messages"][4]["tool_calls"][0]["id"] == "call_1"
    assert body["messages"][5]["tool_call_id"] == "call_1"
    assert "hello.txt" in body["messages"][5]["content"]
    functions = {tool["name"]: tool for tool in SECOND["body"]["tools"] if "parameters" in tool}
    offered = {tool["function"]["name"]: tool["function"] for tool in body["tools"]}
    assert offered.keys() == functions.keys()
    for name, function in offered.items():
        assert function["parameters"] == functions[name]["parameters"]
    assert (body["model"], body["stream"], body["parallel_tool_calls"]) == ("tiny", True, True)


async def test_a_tool_is_called_and_its_result_answered(replay: Replay):
    replay.backend.script(calling(), streamed("There is ", "one file."))
    thought, call = (await answered(replay, FIRST))["output"]
    assert (thought["type"], call["type"]) == ("reasoning", "function_call")
    assert (call["name"], call["arguments"]) == ("exec_command", '{"cmd":"ls"}')
    [message] = (await answered(replay, SECOND))["output"]
    assert message["content"][0]["text"] == "There is one file."


async def test_reasoning_comes_back_to_the_backend_sealed_in_between(replay: Replay):
    replay.backend.script(calling(), streamed("Done"))
    thought, call = (await answered(replay, FIRST))["output"]
    assert thought["encrypted_content"]
    *said, _, _, result = SECOND["body"]["input"]
    output = result | {"call_id": call["call_id"]}
    again = SECOND | {"body": SECOND["body"] | {"input": [*said, thought, call, output]}}
    await answered(replay, again)
    assistant = (await replay.backend.request(1)).body["messages"][-2]
    assert assistant["reasoning_content"] == "Let me see."
    assert assistant["tool_calls"][0]["function"]["name"] == "exec_command"


async def test_it_says_who_asks_without_being_told_to(replay: Replay):
    for recorded in (FIRST, SECOND):
        await replay.send(recorded)
    for number in range(2):
        record = await replay.metrics.record(number)
        assert record.endpoint == "/v1/responses"
        assert record.caller.client == "codex/0.169.0"
        assert (record.caller.session_id, record.caller.project) == (SESSION, PROJECT)
        assert record.caller.session_source == caller_pb2.IDENTITY_SOURCE_CLIENT_HEADER
        assert record.caller.project_source == caller_pb2.IDENTITY_SOURCE_PROMPT


async def test_nothing_of_it_is_kept(replay: Replay):
    responses = [await answered(replay, recorded) for recorded in (FIRST, SECOND)]
    await replay.metrics.record(1)
    assert replay.memory.turns == {}
    assert [response["store"] for response in responses] == [False, False]


@pytest.mark.parametrize("status", [400, 500])
async def test_a_refusal_is_one_before_the_stream(replay: Replay, status: int):
    replay.backend.script(Answer((b'{"error": {"message": "no"}}',), status=status))
    reply, body = await replay.send(FIRST)
    assert reply.status == (400 if status == 400 else 502)
    assert json.loads(body)["error"]["message"]
