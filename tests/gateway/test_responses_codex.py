"""What Codex sends: tools of many kinds, nothing kept, and its reasoning to be sent back."""

from __future__ import annotations

from typing import Any

from gateway.dialects.responses_items import seal
from lair.router.v1.chat_pb2 import ToolCallDelta
from tests.gateway.scripted import completed, delta, finish, started
from tests.gateway.stateful import prompt, remembering
from tests.gateway.test_responses_stream import events_of

PATCH = {"type": "custom", "name": "apply_patch", "format": {"type": "text"}}
TOOLS = [
    {"type": "function", "name": "shell", "parameters": {"type": "object"}, "strict": False},
    {"type": "namespace", "name": "mcp", "description": "d", "tools": [PATCH]},
    {"type": "web_search", "external_web_access": False},
    PATCH,
]


def said(role: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


BODY = {
    "model": "auto",
    "instructions": "You are Codex.",
    "input": [
        said("developer", "D"),
        said("user", "U"),
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": seal("hm")},
        {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** B"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "Done"},
    ],
    "tools": TOOLS,
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "session-1",
    "client_metadata": {"x": "y"},
}


async def test_its_tools_its_reasoning_and_its_wish_to_leave_nothing_are_understood():
    call = ToolCallDelta(
        index=0, id="c2", type="function", name="apply_patch", arguments='{"input":"*** C"}'
    )
    async with remembering() as stack:
        stack.router.steps = [
            [started(), delta(reasoning="so"), delta(tool_calls=[call]), finish("tool_calls")],
            [completed()],
        ]
        async with stack.http.post(f"{stack.url}/v1/responses", json=BODY) as reply:
            final = events_of(await reply.read())[-1]["response"]
        thought, patched = final["output"]
        assert thought["encrypted_content"] == seal("so")
        assert (patched["type"], patched["input"]) == ("custom_tool_call", "*** C")
        assert final["tools"] == TOOLS
        (asked,) = stack.router.calls
        assert [tool.function.name for tool in asked.tools] == ["shell", "apply_patch"]
        assert asked.caller.session_id == "session-1"
        assert [role for role, _ in prompt(stack)] == [
            *("system", "developer", "user", "assistant", "tool"),
        ]
        earlier = asked.messages[3]
        assert earlier.reasoning == "hm"
        assert earlier.tool_calls[0].function.arguments == '{"input":"*** B"}'
        assert not stack.memory.stored
