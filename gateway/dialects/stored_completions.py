"""Chat completions that were kept (`store: true`): what is kept of them, and how they are shown.

A stored completion is a stored turn. What memory does not keep of the request stands in the
turn's record, which is the JSON object that `record_of` returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from gateway.dialects.chat_message import answer_message_json
from gateway.dialects.json_extra import wrong
from gateway.dialects.usage import usage_json
from lair.common.v1.chat_pb2 import Message
from lair.memory.v1.conversation_pb2 import StoredMessage, StoredTurn
from svckit.chat_json import message_json
from svckit.errors import invalid_field

PREFIX = "chatcmpl-"
_MAX_RECORD_BYTES = 256 * 1024
_MAX_PAIRS, _MAX_KEY_CHARS, _MAX_VALUE_CHARS = 16, 64, 512
# Of a request's fields those that its stored completion shows; null where none was sent.
_SHOWN = (
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed"),
    *("service_tier", "tool_choice", "response_format", "tools"),
)
# Left out of a record that is too large for memory otherwise.
_BULKY = ("tools", "response_format")
# What OpenAI calls the ends of answers; memory knows two more, of partial ones.
_REASONS = ("stop", "length", "tool_calls", "content_filter", "function_call")


def record_of(body: Mapping[str, Any]) -> bytes:
    """Return what is kept of a request beside its turn; empty where it is not to be stored."""
    store = body.get("store")
    if store is not None and not isinstance(store, bool):
        raise wrong("store", store, "true or false")
    if not store:
        return b""
    record = {name: body[name] for name in (*_SHOWN, "user") if body.get(name) is not None}
    record["metadata"] = metadata_of(body.get("metadata"))
    encoded = msgspec.json.encode(record)
    if len(encoded) <= _MAX_RECORD_BYTES:
        return encoded
    return msgspec.json.encode({name: record[name] for name in record if name not in _BULKY})


def metadata_of(value: object) -> dict[str, str]:
    """Check the metadata of a completion; null is as good as none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong("metadata", value, "an object of strings")
    if len(value) > _MAX_PAIRS:
        raise invalid_field(
            "metadata", f"metadata has {len(value)} entries; send at most {_MAX_PAIRS}"
        )
    for key, text in value.items():
        if len(key) > _MAX_KEY_CHARS:
            raise invalid_field(
                "metadata",
                f"metadata has a key of {len(key)} characters; send at most {_MAX_KEY_CHARS}",
            )
        expected = f"a string of at most {_MAX_VALUE_CHARS} characters"
        if not isinstance(text, str) or len(text) > _MAX_VALUE_CHARS:
            raise wrong(f"metadata.{key}", text, expected)
    return value


def with_metadata(record: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return a record with other metadata."""
    return msgspec.json.encode(msgspec.json.decode(record) | {"metadata": metadata})


def completion_id(request_id: str) -> str:
    """Return the id that the answer to a request has, which is a UUID."""
    return f"{PREFIX}{UUID(request_id).hex}"


def stored_completion_json(turn: StoredTurn) -> dict[str, Any]:
    """Write a stored completion: the answer as it was given, and what was asked for."""
    record = msgspec.json.decode(turn.record_json)
    out: dict[str, Any] = {
        "id": completion_id(turn.request_id),
        "object": "chat.completion",
        "created": turn.create_time.seconds,
        "model": turn.reply.model,
        "choices": _choices(turn),
        "request_id": turn.request_id,
        "metadata": record.get("metadata") or {},
        "input_user": record.get("user"),
        **{name: record.get(name) for name in _SHOWN},
    }
    if turn.reply.HasField("usage"):
        out["usage"] = usage_json(turn.reply.usage)
    return out


def input_message_json(stored: StoredMessage, message_id: str) -> dict[str, Any]:
    """Write a message of a stored completion's request."""
    out: dict[str, Any] = {"content": None, "refusal": None, "name": None, "content_parts": None}
    out |= message_json(stored.message)
    if isinstance(out["content"], list):
        out["content_parts"], out["content"] = out["content"], None
    return out | {"id": message_id}


def list_json(items: Sequence[Mapping[str, Any]], *, more: bool) -> dict[str, Any]:
    """Write a page of a list."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else "",
        "last_id": items[-1]["id"] if items else "",
        "has_more": more,
    }


def _choices(turn: StoredTurn) -> list[dict[str, Any]]:
    if not turn.HasField("reply"):
        return []
    answers: list[Message] = [turn.reply.message, *turn.other_replies]
    ended = turn.reply.finish_reason
    reasons = [ended if ended in _REASONS else "length"]
    reasons += ["tool_calls" if answer.tool_calls else "stop" for answer in turn.other_replies]
    return [
        {
            "index": place,
            "message": answer_message_json(answer),
            "logprobs": None,
            "finish_reason": reasons[place],
        }
        for place, answer in enumerate(answers)
    ]
