"""The body of a Messages request: JSON bytes to `ChatCall`.

Fields that mean something to every model are checked and translated. What only Anthropic's
own servers can act on (caching, containers, tiers of service) is left out; any other field
goes along, as sampling parameters of local servers do (`min_p`, `seed`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.dialects.anthropic_content import parse_messages, parse_system
from gateway.dialects.anthropic_tools import take_tools
from gateway.dialects.json_body import decode_object
from gateway.dialects.json_extra import INT64_MAX, Fields, wrong
from gateway.dialects.request_fields import take_model
from lair.router.v1.chat_pb2 import ChatCall
from svckit.json_depth import decode_shallow

_MAX_TEMPERATURE = 1
_THEIRS = (
    *("anthropic_beta", "anthropic_version", "betas", "cache_control", "container"),
    *("context_management", "diagnostics", "inference_geo", "mcp_servers"),
    *("service_tier", "speed", "user_profile_id", "workspace_id"),
)
# From how many tokens of a budget on thinking counts as how much effort.
_EFFORTS = ((16_384, "high"), (4_096, "medium"), (0, "low"))
# What Claude Code sends as its user's id names the run of the program as well.
_CLAUDE_CODE = re.compile(r"_session_([0-9a-f-]{36})$")


@dataclass(frozen=True, slots=True)
class MessagesBody:
    """A parsed body: the call, and whether its answer is wanted as a stream."""

    call: ChatCall
    stream: bool


def parse_messages_request(body: bytes) -> MessagesBody:
    """Read a request's body; raise a `ServiceError` that names the field at fault."""
    fields = Fields(decode_object(body), "")
    limit = fields.integer("max_tokens", 1, INT64_MAX)
    if limit is None:
        raise fields.absent("max_tokens", "an integer of at least 1, as the API requires it")
    stream = fields.flag("stream") or False
    call = _parse_call(fields)
    call.max_tokens = limit
    return MessagesBody(call, stream)


def parse_count_request(body: bytes) -> ChatCall:
    """Read the body of a request to count tokens, which need not limit an answer."""
    fields = Fields(decode_object(body), "")
    for name in ("max_tokens", "stream"):
        fields.take(name)
    return _parse_call(fields)


def _parse_call(fields: Fields) -> ChatCall:
    call = ChatCall(
        model=take_model(fields),
        messages=[*parse_system(fields.take("system")), *parse_messages(fields)],
        temperature=fields.number("temperature", 0, _MAX_TEMPERATURE),
        top_p=fields.number("top_p", 0, 1),
        stop=_take_stop(fields),
        reasoning_effort=_take_effort(fields),
        response_format_json=_take_format(fields),
    )
    call.MergeFrom(take_tools(fields))
    further = _take_identity(fields)
    if (top_k := fields.integer("top_k", 0, INT64_MAX)) is not None:
        further["top_k"] = top_k
    for name in (*_THEIRS, "max_tokens", "stream", "temperature", "top_p", "top_k"):
        fields.take(name)  # of ours those that are null
    rest = msgspec.json.decode(fields.extra() or b"{}")
    if further or rest:
        call.extra_json = msgspec.json.encode(rest | further)
    return call


def _take_stop(fields: Fields) -> list[str]:
    stops = fields.items("stop_sequences")
    fields.take("stop_sequences")
    for index, text in enumerate(stops):
        if not isinstance(text, str) or not text:
            raise wrong(f"stop_sequences[{index}]", text, "a text that is not empty")
    return stops


def _take_effort(fields: Fields) -> str | None:
    """Take how much to think: as an effort, or as a budget of tokens."""
    thinking = Fields(fields.object("thinking") or {}, "thinking")
    fields.take("thinking")
    kind = thinking.text("type")
    wanted = Fields(_config(fields), "output_config").text("effort")
    if kind == "disabled":
        return "none"
    if wanted:
        return wanted
    budget = thinking.integer("budget_tokens", 1, INT64_MAX)
    if kind != "enabled":
        return None
    if budget is None:
        raise thinking.absent("budget_tokens", "how many tokens may be spent on thinking")
    return next(effort for tokens, effort in _EFFORTS if budget >= tokens)


def _take_format(fields: Fields) -> bytes:
    """Take the schema that the answer is to follow, from where it stands now or stood once."""
    config = _config(fields)
    fields.take("output_config")
    once = fields.object("output_format")
    fields.take("output_format")
    shape = Fields(config, "output_config").object("format") or once
    if shape is None:
        return b""
    schema = Fields(shape, "output_config.format").object("schema")
    if schema is None:
        raise wrong("output_config.format.schema", None, "a JSON schema")
    wanted = {"name": "answer", "schema": schema, "strict": True}
    return msgspec.json.encode({"type": "json_schema", "json_schema": wanted})


def _config(fields: Fields) -> Mapping[str, Any]:
    config = fields.peek("output_config")
    if config is not None and not isinstance(config, dict):
        raise wrong("output_config", config, "an object")
    return config or {}


def _take_identity(fields: Fields) -> dict[str, Any]:
    """Take whose request it is, in the words of OpenAI's API."""
    metadata = Fields(fields.object("metadata") or {}, "metadata")
    fields.take("metadata")
    user = metadata.text("user_id")
    if not user:
        return {}
    session = _CLAUDE_CODE.search(user) or _session_in_json(user)
    return {"prompt_cache_key": session[1]} if session else {"user": user}


def _session_in_json(user: str) -> tuple[str, str] | None:
    """Return the session of an id that newer versions of Claude Code write as JSON."""
    try:
        value = decode_shallow(user.encode()) if user.startswith("{") else None
    except msgspec.DecodeError:
        return None
    session = value.get("session_id") if isinstance(value, dict) else None
    return (user, session) if isinstance(session, str) and session else None
