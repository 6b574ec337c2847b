"""opencode's traffic: a call for a title first, then a prompt of 30 KB with ten tools."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lair.common.v1 import caller_pb2
from tests.fakes.answers import DONE, chunk, stream, streamed
from tests.goldens.replaying import PROJECT, Replay, golden
from tests.router.streams import choice

TITLE, FIRST, SECOND = golden("opencode")
SESSION = FIRST["headers"]["x-session-id"]
TOOLS = "bash edit glob grep read skill task todowrite webfetch write"


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    *frames, last, rest = body.decode().split("\n\n")
    assert (last, rest) == ("data: [DONE]", "")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames if frame[0] != ":"]


def said(body: bytes) -> str:
    deltas = [c["delta"] for chunk_ in chunks_of(body) for c in chunk_["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


def test_the_golden_is_what_it_is_meant_to_be():
    assert "tools" not in TITLE["body"]
    assert len(json.dumps(FIRST["body"])) > 30_000
    assert [tool["function"]["name"] for tool in FIRST["body"]["tools"]] == TOOLS.split()
    assert [message["role"] for message in SECOND["body"]["messages"][-2:]] == ["assistant", "tool"]


@pytest.mark.parametrize("recorded", [TITLE, FIRST, SECOND], ids=["title", "first", "second"])
async def test_the_backend_gets_every_field_as_it_was_sent(
    replay: Replay, recorded: dict[str, Any]
):
    replay.backend.script(streamed("Hel", "lo"))
    reply, body = await replay.send(recorded)
    assert (reply.status, reply.content_type, said(body)) == (200, "text/event-stream", "Hello")
    assert (await replay.backend.request(0)).body == recorded["body"] | {"model": "tiny"}
    assert chunks_of(body)[-1]["usage"]["total_tokens"] == 7


async def test_a_tool_is_called_and_its_result_answered(replay: Replay):
    arguments = '{"command":"ls","description":"List files"}'
    function = {"name": "bash", "arguments": arguments}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    replay.backend.script(
        streamed("Files of the project"),
        stream(
            choice({"role": "assistant", "tool_calls": [call]}), chunk(finish="tool_calls"), DONE
        ),
        streamed("There is one file."),
    )
    assert said((await replay.send(TITLE))[1]) == "Files of the project"
    _, body = await replay.send(FIRST)
    pieces = [
        piece
        for chunk_ in chunks_of(body)
        for choice_ in chunk_["choices"]
        for piece in choice_["delta"].get("tool_calls", ())
    ]
    assert [piece.get("id") for piece in pieces] == ["call_1", None]
    assert "".join(piece["function"]["arguments"] for piece in pieces) == arguments
    assert said((await replay.send(SECOND))[1]) == "There is one file."


async def test_it_says_who_asks_without_being_told_to(replay: Replay):
    for recorded in (TITLE, FIRST, SECOND):
        await replay.send(recorded)
    callers = [(await replay.metrics.record(number)).caller for number in range(3)]
    assert {caller.client for caller in callers} == {"opencode/1.18.33"}
    assert {caller.session_id for caller in callers} == {SESSION}
    assert [caller.project for caller in callers[1:]] == [PROJECT, PROJECT]
    assert callers[1].project_source == caller_pb2.IDENTITY_SOURCE_PROMPT
    assert callers[1].session_source == caller_pb2.IDENTITY_SOURCE_HEADER


async def test_nothing_of_it_is_remembered_unasked(replay: Replay):
    for recorded in (TITLE, FIRST, SECOND):
        await replay.send(recorded)
    await replay.metrics.record(2)
    assert replay.memory.turns == {}
    assert replay.memory.searches == []
