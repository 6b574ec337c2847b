"""A whole answer as a message of Anthropic's API, and the words that a stream ends with."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import uuid4

import msgspec

from gateway.dialects.anthropic_input import tool_input
from gateway.dialects.json_extra import optional_json
from lair.common.v1.chat_pb2 import Message, ToolCall, Usage
from lair.router.v1.chat_pb2 import ChatCompletion, Choice
from svckit.chat_json import with_extra

_STOP_REASONS = {
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_COMPLETION_PREFIX = "chatcmpl-"
# What no vendor's field may stand in for.
RESERVED = frozenset(
    {"type", "error", "object", "created", "choices", "delta", "index", "usage"}
    | {"id", "role", "model", "content", "message", "stop_reason", "stop_sequence"}
)
_encode = msgspec.json.Encoder().encode


def message_json(completion: ChatCompletion, stops: Collection[str] = ()) -> bytes:
    """Write a whole answer; `stops` are the texts that were to end it."""
    choice = completion.choices[0] if completion.choices else Choice()
    message = choice.message
    out = message_head(completion.id, completion.model)
    out["content"] = _content(message)
    out |= ending(
        choice.finish_reason,
        choice.extra_json,
        called=bool(message.tool_calls),
        refused=bool(message.refusal),
        stops=stops,
    )
    out["usage"] = usage_json(completion.usage)
    return _encode(with_extra(out, completion.extra_json, RESERVED))


def message_head(answer_id: str, model: str) -> dict[str, Any]:
    """Write a message that says nothing yet."""
    return {
        "id": f"msg_{answer_id.removeprefix(_COMPLETION_PREFIX)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_json(Usage()),
    }


def ending(
    reason: str, extra_json: bytes, *, called: bool, refused: bool, stops: Collection[str]
) -> dict[str, Any]:
    """Say why an answer ended; some servers tell beside the reason which text ended it."""
    if refused:
        return {"stop_reason": "refusal", "stop_sequence": None}
    if reason == "stop" and called:  # as servers say that do not tell the two apart
        return {"stop_reason": "tool_use", "stop_sequence": None}
    extra = optional_json(extra_json) or {}
    for name in ("stop_reason", "matched_stop"):  # vLLM's name, and SGLang's
        if reason == "stop" and isinstance(extra.get(name), str) and extra[name] in stops:
            return {"stop_reason": "stop_sequence", "stop_sequence": extra[name]}
    return {"stop_reason": _STOP_REASONS.get(reason, "end_turn"), "stop_sequence": None}


def usage_json(usage: Usage) -> dict[str, Any]:
    """Write token counts: here a prompt's cached tokens stand beside its others."""
    read, written = usage.cached_tokens, usage.cache_write_tokens
    out: dict[str, Any] = {
        "input_tokens": max(0, usage.prompt_tokens - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.completion_tokens,
    }
    if usage.HasField("reasoning_tokens"):
        out["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return out


def call_id(given: str) -> str:
    """Return the id of a call, or a new one."""
    return given or f"toolu_{uuid4().hex}"


def _content(message: Message) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if message.reasoning:
        blocks.append({"type": "thinking", "thinking": message.reasoning, "signature": ""})
    if text := _text(message):
        blocks.append({"type": "text", "text": text})
    return blocks + [_tool_use(call) for call in message.tool_calls]


def _text(message: Message) -> str:
    parts = "".join(part.text for part in message.parts.parts)
    return message.text + parts + message.refusal


def _tool_use(call: ToolCall) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": call_id(call.id),
        "name": call.function.name,
        "input": tool_input(call.function.arguments),
    }
