"""A `ChatCall` as the body of Ollama's `/api/chat`. Pure.

What the native API gives and `/v1` does not: the context window (`num_ctx`), the time a
model stays in memory, defaults of the model's own. Pictures go as plain base64, arguments
of tool calls as objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lair.common.v1.chat_pb2 import Message, ToolCall
from lair.router.v1.chat_pb2 import ChatCall
from router_svc.backends.fields import refusal, with_offered_tools
from router_svc.backends.request_json import tool_json
from router_svc.tokens import MEDIA_TOKENS, measure
from svckit.json_depth import decode_shallow

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode

# Ollama's window where nobody asks for one and the graphics card is small.
DEFAULT_CONTEXT = 4096
# Fewer than most text has: a window too small cuts the prompt without a word.
_BYTES_PER_TOKEN = 3.0
# Kept for the answer where its length is not limited.
_ANSWER_TOKENS = 1024

_OPTIONS = (
    *("temperature", "top_p", "seed"),
    *("top_k", "min_p", "typical_p", "presence_penalty", "frequency_penalty"),
    *("repeat_penalty", "repeat_last_n"),
)
_TOP_LEVEL = ("logprobs", "top_logprobs", "keep_alive")
_EFFORTS: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
}


def encode_chat(
    call: ChatCall, model: str, *, num_ctx: int | None, keep_alive: str, reasons: bool | None
) -> bytes:
    """Return the body of a streamed chat. Raises `UpstreamError` for what Ollama cannot do.

    `num_ctx` is the window to ask for and `keep_alive` the time in memory, where they are
    set; `reasons` tells whether the model can think aloud.
    """
    if call.n > 1:
        raise refusal("n", f"Ollama gives one answer to a request, not {call.n}")
    extra = _decode(call.extra_json) if call.extra_json else {}
    body: dict[str, Any] = {
        "model": model,
        "messages": _messages(call),
        "stream": True,
        "options": _options(call, extra, num_ctx),
    }
    if keep_alive:
        body["keep_alive"] = _duration(keep_alive)
    body |= {name: extra[name] for name in _TOP_LEVEL if extra.get(name) is not None}
    if tools := _tools(call):
        body["tools"] = tools
    if (shape := _format(call)) is not None:
        body["format"] = shape
    if (think := _think(call, reasons=reasons)) is not None:
        body["think"] = think
    return _encode(body)


def needed_tokens(call: ChatCall) -> int:
    """Return the window that a chat may need, rather too large than too small."""
    size = measure(call)
    prompt = size.text_bytes / _BYTES_PER_TOKEN + size.template_tokens
    answer = call.max_completion_tokens or call.max_tokens or _ANSWER_TOKENS
    return int(prompt) + size.media_count * MEDIA_TOKENS + max(answer, 0)


def window(
    *, needed: int, configured: int | None, in_force: int | None, longest: int | None
) -> int | None:
    """Return the `num_ctx` to ask for; None to leave it to Ollama.

    Another window than the one in force makes Ollama load the model anew, so it grows in
    powers of two and never shrinks.
    """
    if configured:
        return min(configured, longest or configured)
    if needed <= (in_force or DEFAULT_CONTEXT):
        return in_force
    grown = 1 << (needed - 1).bit_length()
    return min(grown, longest) if longest else grown


def _messages(call: ChatCall) -> list[dict[str, Any]]:
    named = {tool.id: tool.function.name for m in call.messages for tool in m.tool_calls}
    return [_message(message, place, named) for place, message in enumerate(call.messages)]


def _message(message: Message, place: int, named: Mapping[str, str]) -> dict[str, Any]:
    role = "system" if message.role == "developer" else message.role
    body: dict[str, Any] = {"role": role, "content": message.text}
    if message.WhichOneof("content") == "parts":
        texts, images = _parts(message, place)
        body["content"] = "\n".join(texts)
        if images:
            body["images"] = images
    if message.HasField("reasoning"):
        body["thinking"] = message.reasoning
    if message.tool_calls:
        body["tool_calls"] = [_tool_call(tool) for tool in message.tool_calls]
    if message.tool_call_id:
        body["tool_call_id"] = message.tool_call_id
    if name := message.name or named.get(message.tool_call_id, ""):
        body["tool_name" if role == "tool" else "name"] = name
    return body


def _parts(message: Message, place: int) -> tuple[list[str], list[str]]:
    texts: list[str] = []
    images: list[str] = []
    for number, part in enumerate(message.parts.parts):
        if part.HasField("text"):
            texts.append(part.text)
            continue
        field = f"messages[{place}].content[{number}]"
        if not part.HasField("image_url"):
            raise refusal(field, f"Ollama takes no {part.type!r} parts; send text and pictures")
        head, comma, data = part.image_url.url.partition(",")
        if not (head.startswith("data:") and head.endswith(";base64") and comma):
            raise refusal(
                f"{field}.image_url", "Ollama fetches no pictures; send a base64 data URI"
            )
        images.append(data)
    return texts, images


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": _arguments(call.function.arguments)}
    return {"id": call.id, "function": function}


def _arguments(text: str) -> dict[str, Any]:
    """Read a call's arguments; what a model wrote wrong is shown to it as it was."""
    try:
        value = decode_shallow(text.encode() or b"{}")
    except msgspec.DecodeError:
        value = None
    return value if isinstance(value, dict) else {"arguments": text}


def _options(call: ChatCall, extra: Mapping[str, Any], num_ctx: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {name: extra[name] for name in _OPTIONS if name in extra}
    for name in ("temperature", "top_p", "seed"):
        if call.HasField(name):
            options[name] = getattr(call, name)
    limit = call.max_completion_tokens or call.max_tokens
    if limit > 0:
        options["num_predict"] = limit
    if call.stop:
        options["stop"] = list(call.stop)
    if num_ctx:
        options["num_ctx"] = num_ctx
    given = extra.get("options")  # a client that knows Ollama speaks last
    return options | given if isinstance(given, dict) else options


def _tools(call: ChatCall) -> list[dict[str, Any]]:
    """Return what is offered: Ollama ignores `tool_choice`, so it is kept by the offer."""
    tools = [tool_json(tool) for tool in call.tools if tool.HasField("function")]
    choice = _decode(call.tool_choice_json) if call.tool_choice_json else None
    return with_offered_tools(tools, choice)


def _format(call: ChatCall) -> Any:
    """Return `json`, a schema, or None for text."""
    wanted = _decode(call.response_format_json) if call.response_format_json else None
    if not isinstance(wanted, dict):
        return None
    if wanted.get("type") == "json_object":
        return "json"
    schema = wanted.get("json_schema")
    return schema.get("schema") if isinstance(schema, dict) else None


def _think(call: ChatCall, *, reasons: bool | None) -> bool | str | None:
    """Return how much to think aloud; a model that cannot must not be asked to."""
    if not call.HasField("reasoning_effort"):
        return None
    effort = _EFFORTS.get(call.reasoning_effort, "high")
    return effort if reasons or effort is False else None


def _duration(text: str) -> int | str:
    """Return a time without a unit as a number: Ollama reads text as hours, minutes, seconds."""
    return int(text) if text.lstrip("-").isdecimal() else text
