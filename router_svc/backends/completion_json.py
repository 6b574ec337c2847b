"""Text completions in the JSON of an OpenAI-compatible server: requests, whole replies. Pure.

What is answered comes out in the form of a chat's answer; streams are `text_stream.py`'s.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import msgspec

from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import ChatCompletion, Choice
from lair.router.v1.completion_pb2 import CompletionCall
from router_svc.backends.flavours import Flavour
from router_svc.backends.input_json import input_json
from router_svc.backends.reply_json import (
    SHAPE_ERRORS,
    encode,
    extra_json,
    inband_error,
    misshapen,
    parse_object,
    parse_usage,
    whole,
)
from router_svc.model import UpstreamError

_SCALARS = (
    "suffix",
    "max_tokens",
    "temperature",
    "top_p",
    "n",
    "best_of",
    "echo",
    "logprobs",
    "seed",
)
# Asked for by the client, but answered by lair itself.
_OURS = ("stream", "stream_options")
_REPLY_KEYS = frozenset(("id", "object", "created", "model", "choices", "usage", "error"))
CHOICE_KEYS = frozenset(("index", "text", "finish_reason", "logprobs"))


def encode_completion_request(
    call: CompletionCall, model: str, *, stream: bool, flavour: Flavour = Flavour.OPENAI
) -> bytes:
    """Return the request body for servers of `flavour`; usage is asked for where it can be."""
    body: dict[str, Any] = {"model": model, "prompt": input_json(call.prompts)}
    for name in _SCALARS:
        if call.HasField(name):  # type: ignore[arg-type]  # the names are of optional fields
            body[name] = getattr(call, name)
    if call.stop:
        body["stop"] = list(call.stop)
    if call.extra_json:
        extra = msgspec.json.decode(call.extra_json)
        body.update({name: value for name, value in extra.items() if name not in _OURS})
    body["stream"] = stream
    if stream and flavour is not Flavour.TRANSFORMERS:  # which answers 422 to the question
        body["stream_options"] = {"include_usage": True}
    return encode(body)


def parse_text_completion(payload: bytes, model: str) -> ChatCompletion:
    """Read a whole reply. Raises `UpstreamError` where it is none."""
    body = parse_object(payload)
    if body.get("error"):
        raise inband_error(body, payload)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise UpstreamError("UPSTREAM_FAILED", "the backend's answer has no choices")
    try:
        ordered = sorted(choices, key=lambda choice: int(choice.get("index") or 0))
        return ChatCompletion(
            id=completion_id(body.get("id")),
            created=whole(body.get("created")) or int(time.time()),
            model=str(body.get("model") or model),
            choices=[_choice(choice, index) for index, choice in enumerate(ordered)],
            usage=parse_usage(body.get("usage")),
            extra_json=extra_json(body, _REPLY_KEYS),
        )
    except SHAPE_ERRORS as error:
        raise misshapen(error) from error


def completion_id(given: object) -> str:
    """Return the backend's id for an answer, or a new one."""
    return given if isinstance(given, str) and given else f"cmpl-{uuid4().hex}"


def answer_count(call: CompletionCall) -> int:
    """Return how many choices the answer will have."""
    return len(call.prompts) * (call.n or 1)


def _choice(body: Mapping[str, Any], index: int) -> Choice:
    logprobs = body.get("logprobs")
    return Choice(
        index=index,
        message=Message(role="assistant", text=body.get("text") or ""),
        finish_reason=str(body.get("finish_reason") or "stop"),
        logprobs_json=b"" if logprobs is None else encode(logprobs),
        extra_json=extra_json(body, CHOICE_KEYS),
    )
