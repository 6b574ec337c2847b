"""The Response object: what a request asked, and what became of it. Pure.

`Asked` is all that a response shows of its request. It is kept beside the turn as a
record, so that the same object can be made again when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from gateway.dialects.responses_ids import RESPONSE, asked_seconds, digits_of
from gateway.dialects.responses_items import Item, output_items
from lair.common.v1.chat_pb2 import Usage
from lair.memory.v1.conversation_pb2 import StoredTurn
from svckit.chat_json import with_extra
from svckit.errors import ServiceError

ENDPOINT = "/v1/responses"
# What memory keeps beside a turn.
_MAX_RECORD_BYTES = 256 * 1024
# Left out of a larger record, the bulkiest first.
_BULKY = ("tools", "instructions", "text", "prompt", "tool_choice", "user", "prompt_cache_key")
_NEUTRAL: Item = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
}
# What no vendor's field may stand in for.
_RESERVED = frozenset(
    {"choices", "completed_at", "created", "moderation", "obfuscation", "output_text", "usage"}
    | {"prompt", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"}
    | {"safety_identifier", "user"}
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as its response shows it; `conversation_id` is empty where none is kept."""

    request_id: str
    shown: Item
    conversation_id: str = ""
    custom_tools: frozenset[str] = frozenset()
    sealed: bool = False
    # How many of the turn's messages, counted from its end, are the request's own input.
    input_count: int = 0

    @property
    def digits(self) -> str:
        """What the ids of the response and its items are made of."""
        return digits_of(self.request_id)


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended, in the words of this API."""

    status: str
    incomplete: Item | None = None
    error: Item | None = None

    @property
    def item_status(self) -> str:
        """How its last item stands."""
        return "completed" if self.status == "completed" else "incomplete"


_ENDINGS = {
    "length": Ending("incomplete", {"reason": "max_output_tokens"}),
    "content_filter": Ending("incomplete", {"reason": "content_filter"}),
    "cancelled": Ending("cancelled"),
    "error": Ending(
        "failed", error={"code": "server_error", "message": "the answer broke off before its end"}
    ),
}
_COMPLETED = Ending("completed")


def ending_of(finish_reason: str) -> Ending:
    """Return what a chat's finish reason means here."""
    return _ENDINGS.get(finish_reason, _COMPLETED)


def failure_of(error: ServiceError) -> Ending:
    """Return how an answer ends that fails."""
    code = "server_error"
    if error.reason == "RATE_LIMITED":
        code = "rate_limit_exceeded"
    elif error.meaning.type == "invalid_request_error":
        code = "invalid_prompt"
    return Ending("failed", error={"code": code, "message": error.message})


def response_json(
    asked: Asked,
    ending: Ending,
    *,
    model: str,
    output: Sequence[Item] = (),
    usage: Usage | None = None,
    extra: bytes = b"",
) -> Item:
    """Write a response; `extra` is JSON of the backend's further fields."""
    out: Item = {
        "id": f"{RESPONSE}{asked.digits}",
        "object": "response",
        "created_at": asked_seconds(asked.request_id),
        "status": ending.status,
        "error": ending.error,
        "incomplete_details": ending.incomplete,
        "model": model,
        "output": list(output),
        "store": bool(asked.conversation_id),
        "conversation": {"id": asked.conversation_id} if asked.conversation_id else None,
        **_NEUTRAL,
        **asked.shown,
    }
    if usage is not None:
        out["usage"] = usage_json(usage)
    return with_extra(out, extra, _RESERVED)


def usage_json(usage: Usage) -> Item:
    """Write token counts; the API requires every detail, so an unknown one is 0."""
    total = usage.prompt_tokens + usage.completion_tokens
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens if usage.HasField("total_tokens") else total,
    }


def record_of(asked: Asked) -> bytes:
    """Write what memory is to keep beside the turn; what is too large is left out and named."""
    shown = dict(asked.shown)
    metadata = shown.pop("metadata", {})
    record: Item = {
        "metadata": metadata,
        "response": shown,
        "custom_tools": sorted(asked.custom_tools),
        "sealed": asked.sealed,
        "input_count": asked.input_count,
    }
    data = msgspec.json.encode(record)
    for name in _BULKY:
        if len(data) <= _MAX_RECORD_BYTES:
            break
        if shown.pop(name, None) is not None:
            record.setdefault("left_out", []).append(name)
            data = msgspec.json.encode(record)
    return data


def asked_of(turn: StoredTurn) -> Asked:
    """Read what `record_of` wrote, out of a turn that was kept."""
    record: Item = msgspec.json.decode(turn.record_json or b"{}")
    shown = dict(record.get("response") or {})
    shown["metadata"] = record.get("metadata") or {}
    if record.get("left_out"):
        shown["left_out"] = record["left_out"]
    return Asked(
        request_id=turn.request_id,
        shown=shown,
        conversation_id=turn.conversation_id,
        custom_tools=frozenset(record.get("custom_tools") or ()),
        sealed=bool(record.get("sealed")),
        input_count=int(record.get("input_count") or 0),
    )


def stored_response_json(turn: StoredTurn) -> Item:
    """Write the response of a turn that was kept."""
    asked, reply = asked_of(turn), turn.reply
    ending = ending_of(reply.finish_reason)
    output = output_items(
        reply.message,
        asked.digits,
        status=ending.item_status,
        custom=asked.custom_tools,
        sealed=asked.sealed,
    )
    usage = reply.usage if reply.HasField("usage") else None
    return response_json(asked, ending, model=reply.model, output=output, usage=usage)
