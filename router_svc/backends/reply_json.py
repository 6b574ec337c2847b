"""What an OpenAI-compatible server answers, in the contract's terms. Pure.

Whole answers become a `ChatCompletion`. What the typed fields do not know goes to
`extra_json` at its level. The pieces of streams are in `normalise.py`.
"""

from __future__ import annotations

import re
import time
from codecs import BOM_UTF8
from collections.abc import Mapping
from math import isfinite
from typing import Any
from uuid import uuid4

import msgspec

from lair.common.v1.chat_pb2 import FunctionCall, Message, ToolCall, Usage
from lair.router.v1.chat_pb2 import ChatCompletion, Choice
from router_svc.model import UpstreamError
from svckit.json_depth import decode_shallow

encode = msgspec.json.Encoder().encode
# What reading JSON of an unexpected shape raises: `.get` of a list, text for a number.
SHAPE_ERRORS = (AttributeError, TypeError, ValueError)

_COMPLETION_KEYS = frozenset(("id", "object", "created", "model", "choices", "usage", "error"))
_CHOICE_KEYS = frozenset(("index", "message", "finish_reason", "logprobs"))
_MESSAGE_KEYS = frozenset(
    ("role", "content", "tool_calls", "refusal", "reasoning", "reasoning_content")
)
_PLAIN_KEYS = frozenset(("role", "content"))
_CALL_KEYS = frozenset(("id", "type", "function", "index"))
_FUNCTION_KEYS = frozenset(("name", "arguments"))
_USAGE_KEYS = frozenset(("prompt_tokens", "completion_tokens", "total_tokens"))
_INT64_LIMIT = 2**63
_CLIENT_ERRORS = range(400, 500)
_NOT_IMPLEMENTED = 501
_BUSY = 503
_MOST_TOKENS = 10**13
_NUMBER = (int, float)  # a union of types is made anew each time
_NOTHING: Mapping[str, Any] = {}
_DETAILS = ("prompt_tokens_details", "completion_tokens_details")
# A refusal of this server or model, whatever the status: llama.cpp answers 500 to a picture
# that no projector reads. Another backend may be able.
_UNABLE = re.compile(
    r"image input is not supported|does not support (tools|images?|vision|thinking|embeddings)|"
    r"is not supported with|must be a base64 encoded image",
    re.IGNORECASE,
)
_CONTEXT = re.compile(
    r"exceed_context_size|context_length_exceeded|maximum context length|context window|"
    r"exceeds? the available context|input length exceeds",
    re.IGNORECASE,
)


def extra_json(body: Mapping[str, Any], known: frozenset[str]) -> bytes:
    """Return the fields that are not `known` as JSON; empty if there is none."""
    if body.keys() <= known:  # the hot path of streams
        return b""
    return encode({name: value for name, value in body.items() if name not in known})


def parse_completion(payload: bytes, model: str) -> ChatCompletion:
    """Read a whole answer. Raises `UpstreamError` where it is none."""
    body = parse_object(payload)
    if body.get("error"):
        raise inband_error(body, payload)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise UpstreamError("UPSTREAM_FAILED", "the backend's answer has no choices")
    try:
        ordered = choices if len(choices) == 1 else sorted(choices, key=_place)
        return ChatCompletion(
            id=answer_id(body.get("id")),
            created=whole(body.get("created")) or int(time.time()),
            model=str(body.get("model") or model),
            choices=[_choice(choice, index) for index, choice in enumerate(ordered)],
            usage=parse_usage(body.get("usage")),
            extra_json=extra_json(body, _COMPLETION_KEYS),
        )
    except SHAPE_ERRORS as error:
        raise misshapen(error) from error


def _place(choice: Mapping[str, Any]) -> int:
    return int(choice.get("index") or 0)


def answer_id(given: object) -> str:
    """Return the backend's id for an answer, or a new one."""
    return given if isinstance(given, str) and given else f"chatcmpl-{uuid4().hex}"


def parse_object(payload: bytes) -> dict[str, Any]:
    """Read a JSON object, behind signs of life. Raises `UpstreamError` where it is none."""
    try:
        body = decode_shallow(_without_signs_of_life(payload))
    except msgspec.DecodeError as error:
        raise UpstreamError("UPSTREAM_FAILED", f"the backend sent invalid JSON: {error}") from error
    if not isinstance(body, dict):
        raise UpstreamError("UPSTREAM_FAILED", "the backend sent JSON that is no object")
    return body


def words_of(content: object) -> tuple[str, str]:
    """Return the text and the reasoning of a content in parts, as Mistral's models write it."""
    text = reasoning = ""
    for part in content if isinstance(content, list) else ():
        match part:
            case {"type": "text", "text": str(words)}:
                text += words
            case {"type": "thinking", "thinking": thoughts}:
                reasoning += words_of(thoughts)[0]
    return text, reasoning


def parse_lenient(payload: bytes | None) -> dict[str, Any]:
    """Read a JSON object; an empty one where there is none."""
    try:
        return parse_object(payload or b"{}")
    except UpstreamError:
        return {}


def parse_usage(body: object) -> Usage | None:
    """Read a `usage` object; None where there is none."""
    if not isinstance(body, dict):
        return None
    usage = Usage(
        prompt_tokens=_count(body.get("prompt_tokens")),
        completion_tokens=_count(body.get("completion_tokens")),
        total_tokens=_count(body.get("total_tokens")),
    )
    if body.keys() - _USAGE_KEYS:
        usage.MergeFrom(_usage_details(body))
    return usage


def _usage_details(body: Mapping[str, Any]) -> Usage:
    prompt, answer = (
        detail if isinstance(detail := body.get(name), dict) else _NOTHING for name in _DETAILS
    )
    known = _USAGE_KEYS | {name for name in _DETAILS if not isinstance(body.get(name), dict)}
    return Usage(
        cached_tokens=_count(prompt.get("cached_tokens")),
        cache_write_tokens=_count(prompt.get("cache_write_tokens")),
        reasoning_tokens=_count(answer.get("reasoning_tokens")),
        extra_json=extra_json(body, known),
    )


def _count(value: object) -> int | None:
    """Read a number of tokens; None for what cannot be one, which metrics_svc would refuse."""
    number = whole(value, _MOST_TOKENS)
    return number if number is not None and number >= 0 else None


def whole(value: object, limit: int = _INT64_LIMIT) -> int | None:
    """Read a number that may be written as a float; None where it is none, or too large."""
    if not isinstance(value, _NUMBER) or not abs(value) < limit:  # NaN is less than nothing
        return None
    return int(value)


def misshapen(error: Exception) -> UpstreamError:
    """Blame the backend for one of `SHAPE_ERRORS`."""
    return UpstreamError("UPSTREAM_FAILED", f"the backend sent JSON of an unknown shape: {error}")


def error_text(payload: bytes) -> str:
    """Find the message in any of the shapes backends give errors."""
    try:
        body = decode_shallow(payload)
    except msgspec.DecodeError:
        return payload[:300].decode("utf-8", "replace").strip() or "no message"
    error = body.get("error", body.get("detail", body)) if isinstance(body, dict) else body
    if isinstance(error, dict):
        error = error.get("message", error)
    return error if isinstance(error, str) else encode(error)[:300].decode()


def upstream_error(status: int, payload: bytes, retry_after: str | None = None) -> UpstreamError:
    """Tell what a refusal with HTTP `status` means to the client and to other backends."""
    text, seconds = error_text(payload), _seconds(retry_after)
    if status in (400, 413, 422, 500) and _CONTEXT.search(payload.decode("utf-8", "replace")):
        return UpstreamError("CONTEXT_LENGTH_EXCEEDED", text, status=status)
    if status == _NOT_IMPLEMENTED or (status in (400, 422, 500) and _UNABLE.search(text)):
        return UpstreamError("UPSTREAM_REJECTED", text, status=status)
    if status in (400, 413, 415, 422):
        return UpstreamError("UPSTREAM_REJECTED", text, status=status, try_next=False)
    if status in (408, 429):
        return UpstreamError("RATE_LIMITED", text, status=status, retry_after_seconds=seconds)
    return UpstreamError(
        "UPSTREAM_FAILED",
        f"HTTP {status}: {text}",
        status=status,
        retry_after_seconds=seconds if status == _BUSY else None,
    )


def inband_error(body: Mapping[str, Any], payload: bytes) -> UpstreamError:
    """Tell what an error under HTTP 200 means; its code is often the status it stands for."""
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and code in _CLIENT_ERRORS:
        return upstream_error(code, payload)
    return UpstreamError("UPSTREAM_FAILED", error_text(payload))


def _without_signs_of_life(payload: bytes) -> bytes:
    """Cut the blank lines and comments with which some servers keep a connection open."""
    payload = payload.removeprefix(BOM_UTF8).lstrip()
    while payload.startswith(b":"):
        payload = payload.partition(b"\n")[2].lstrip()
    return payload


def _seconds(retry_after: str | None) -> float | None:
    """Read a number of seconds; None for a date."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if isfinite(seconds) and seconds >= 0 else None


def _choice(body: Mapping[str, Any], index: int) -> Choice:
    message = body.get("message")
    logprobs = body.get("logprobs")
    reason = str(body.get("finish_reason") or "stop")
    return Choice(
        index=index,
        message=_message(message if isinstance(message, dict) else _NOTHING, reason),
        finish_reason=reason,
        logprobs_json=b"" if logprobs is None else encode(logprobs),
        extra_json=extra_json(body, _CHOICE_KEYS),
    )


def _message(body: Mapping[str, Any], reason: str) -> Message:
    content = body.get("content")
    reasoning = body.get("reasoning_content") or body.get("reasoning")
    if isinstance(content, list):
        content, thoughts = words_of(content)
        reasoning = reasoning or thoughts
    if reason == "stop" and not (content or body.get("tool_calls") or body.get("refusal")):
        # Who stops of its own will has answered: a parser took the answer for reasoning.
        content, reasoning = reasoning or content, None
    message = Message(role="assistant")
    if isinstance(content, str):
        message.text = content
    if reasoning or body.keys() - _PLAIN_KEYS:
        message.MergeFrom(
            Message(
                reasoning=reasoning if isinstance(reasoning, str) else None,
                refusal=body.get("refusal"),
                tool_calls=[_tool_call(call) for call in body.get("tool_calls") or ()],
                extra_json=extra_json(body, _MESSAGE_KEYS),
            )
        )
    return message


def _tool_call(body: Mapping[str, Any]) -> ToolCall:
    function, kind = body.get("function"), body.get("type") or "function"
    call = ToolCall(
        id=body.get("id") or f"call_{uuid4().hex}",
        type=kind,
        extra_json=extra_json(body, _CALL_KEYS),
    )
    if function or kind == "function":
        call.function.CopyFrom(_function_call(function or _NOTHING))
    return call


def _function_call(body: Mapping[str, Any]) -> FunctionCall:
    arguments = body.get("arguments", "")
    return FunctionCall(
        name=body.get("name") or "",
        arguments=arguments if isinstance(arguments, str) else encode(arguments).decode(),
        extra_json=extra_json(body, _FUNCTION_KEYS),
    )
