"""The body of a request for a response: JSON bytes to a `ChatCall` and what the reply repeats.

Every field of the API is taken, and those with a type are checked. What only this API
knows stays here; what a chat knows too goes to the backend, unknown fields included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from gateway.dialects.json_body import decode_object
from gateway.dialects.json_extra import INT64_MAX, INT64_MIN, Fields, wrong
from gateway.dialects.request_fields import MAX_TEMPERATURE, take_model, take_stop
from gateway.dialects.responses_fields import (
    Shown,
    take_conversation,
    take_include,
    take_metadata,
    take_reasoning,
    take_text,
    take_word,
)
from gateway.dialects.responses_input import Piece, parse_input
from gateway.dialects.responses_tools import take_tools
from lair.router.v1.chat_pb2 import ChatCall
from svckit.errors import invalid_field

_MAX_TOP_LOGPROBS = 20
_MAX_SAFETY_ID = 64
# What a chat must not be given: it means something else there, or nothing at all.
_ONLY_HERE = (
    "client_metadata",
    "context_management",
    "generate",
    "max_tool_calls",
    "messages",
    "moderation",
    "n",
    "personality",
    "prompt_cache_options",
    "prompt_cache_retention",
    "stream_options",
)
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")
_CONTINUES = "previous_response_id", "conversation"


@dataclass(frozen=True, slots=True)
class ResponsesBody:
    """A parsed body: the call without its messages, what they are made of, and the rest."""

    call: ChatCall
    pieces: list[Piece]
    instructions: str
    stream: bool
    store: bool
    conversation_id: str
    previous_response_id: str
    # As the reply repeats the request.
    shown: Shown
    custom_tools: frozenset[str]
    # Whether reasoning is wanted as an opaque text too, to be sent back.
    sealed: bool


def parse_responses_request(body: bytes) -> ResponsesBody:
    """Read a body; raise a `ServiceError` that names the field at fault."""
    fields = Fields(decode_object(body), "")
    if fields.flag("background"):
        raise invalid_field(
            "background",
            "background is true, but lair answers while the client waits; leave it out",
        )
    if fields.peek("input") is None and not any(fields.peek(name) for name in _CONTINUES):
        raise fields.absent("input", "a string or a list of items, or continue a response")
    return _parse(fields)


def parse_token_count(body: bytes) -> ResponsesBody:
    """Read the body of a request for a count, which needs no input and is not kept."""
    fields = Fields(decode_object(body) if body.strip() else {}, "")
    return replace(_parse(fields), store=False)


def _parse(fields: Fields) -> ResponsesBody:
    call = ChatCall(model=take_model(fields))
    shown: Shown = {}
    conversation_id = take_conversation(fields)
    previous = fields.text("previous_response_id") or ""
    if previous and conversation_id:
        raise invalid_field(
            "previous_response_id",
            "previous_response_id and conversation are both sent; send one of them",
        )
    shown["previous_response_id"] = previous or None
    shown["instructions"] = instructions = fields.text("instructions")
    stream, store = fields.flag("stream"), fields.flag("store")
    tools = take_tools(fields)
    shown |= {"tools": tools.shown, "tool_choice": tools.shown_choice}
    call.tools.extend(tools.offered)
    call.tool_choice_json = tools.choice_json
    include = take_include(fields)
    pieces = parse_input(fields.take("input"))
    _take_sampling(fields, call, shown)
    extra = _take_rest(fields, shown, with_logprobs="message.output_text.logprobs" in include)
    for name in ("background", "instructions", "previous_response_id", "store", "stream"):
        fields.take(name)  # a null is as good as none
    left = msgspec.json.decode(fields.extra() or b"{}")
    further = {name: value for name, value in left.items() if value is not None} | extra
    call.extra_json = msgspec.json.encode(further) if further else b""
    return ResponsesBody(
        call=call,
        pieces=pieces,
        instructions=instructions or "",
        stream=stream or False,
        store=store is not False,
        conversation_id=conversation_id,
        previous_response_id=previous,
        shown=shown,
        custom_tools=tools.custom,
        sealed="reasoning.encrypted_content" in include,
    )


def _take_sampling(fields: Fields, call: ChatCall, shown: Shown) -> None:
    """Take what a chat has too, under the same name or another."""
    shown["temperature"] = fields.number("temperature", 0, MAX_TEMPERATURE)
    shown["top_p"] = fields.number("top_p", 0, 1)
    shown["max_output_tokens"] = fields.integer("max_output_tokens", 0, INT64_MAX)
    parallel = fields.flag("parallel_tool_calls")
    shown["parallel_tool_calls"] = parallel is not False
    shown["reasoning"] = take_reasoning(fields)
    shown["text"], response_format = take_text(fields)
    call.MergeFrom(
        ChatCall(
            temperature=shown["temperature"],
            top_p=shown["top_p"],
            max_completion_tokens=shown["max_output_tokens"],
            parallel_tool_calls=parallel if call.tools else None,
            reasoning_effort=shown["reasoning"]["effort"],
            response_format_json=response_format,
            seed=fields.integer("seed", INT64_MIN, INT64_MAX),
            stop=take_stop(fields),
        )
    )
    for name in ("temperature", "top_p", "max_output_tokens", "parallel_tool_calls", "seed"):
        fields.take(name)


def _take_rest(fields: Fields, shown: Shown, *, with_logprobs: bool) -> dict[str, Any]:
    """Take what only the reply shows; return what goes to the backend as a chat's field."""
    shown["metadata"] = take_metadata(fields)
    shown["max_tool_calls"] = fields.integer("max_tool_calls", 0, INT64_MAX)
    shown["truncation"] = take_word(fields, "truncation", ("auto", "disabled")) or "disabled"
    tier = take_word(fields, "service_tier", _TIERS)
    shown["service_tier"] = "default" if tier in (None, "auto") else tier
    count = fields.integer("top_logprobs", 0, _MAX_TOP_LOGPROBS)
    shown["top_logprobs"] = count or 0
    prompt = fields.object("prompt")
    if prompt is not None:
        shown["prompt"] = _checked_prompt(prompt)
    extra: dict[str, Any] = {}
    for name in ("user", "safety_identifier", "prompt_cache_key"):
        value = fields.text(name)
        if value is not None:
            extra[name] = shown[name] = value
    if len(shown.get("safety_identifier", "")) > _MAX_SAFETY_ID:
        del shown["safety_identifier"]  # a reply may not show a longer one
    if count or with_logprobs:
        extra |= {"logprobs": True, "top_logprobs": count or 0}
    if tier not in (None, "auto"):
        extra["service_tier"] = tier
    if "verbosity" in shown["text"]:
        extra["verbosity"] = shown["text"]["verbosity"]
    for name in (*_ONLY_HERE, "prompt", "service_tier", "top_logprobs", "truncation"):
        fields.take(name)
    return extra


def _checked_prompt(prompt: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(prompt.get("id"), str):
        raise wrong("prompt.id", prompt.get("id"), "the id of a prompt")
    return prompt
