"""The body of a text completion request: JSON bytes to `CompletionCall`.

As of a chat, typed fields are checked, `stream` and `stream_options` belong to the
dialect, and all that lair does not know goes on to the backend.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.dialects.json_body import decode_object
from gateway.dialects.json_extra import INT32_MAX, INT64_MAX, INT64_MIN, Fields
from gateway.dialects.request_fields import (
    MAX_CHOICES,
    MAX_TEMPERATURE,
    take_include_usage,
    take_model,
    take_stop,
    take_texts,
)
from lair.router.v1.completion_pb2 import CompletionCall
from svckit.errors import invalid_field


@dataclass(frozen=True, slots=True)
class CompletionBody:
    """A parsed body: the call, and how its answer is wanted."""

    call: CompletionCall
    stream: bool
    include_usage: bool


def parse_completion_request(body: bytes) -> CompletionBody:
    """Read a request's body; raise a `ServiceError` that names the field at fault."""
    fields = Fields(decode_object(body), "")
    stream = fields.flag("stream") or False
    include_usage = take_include_usage(fields)
    fields.take("stream")  # a null is as good as none
    call = CompletionCall(
        model=take_model(fields),
        prompts=take_texts(fields, "prompt"),
        suffix=fields.text("suffix"),
        # -1 is how clients of llama.cpp and LM Studio write "no limit".
        max_tokens=fields.integer("max_tokens", -1, INT64_MAX),
        temperature=fields.number("temperature", 0, MAX_TEMPERATURE),
        top_p=fields.number("top_p", 0, 1),
        n=fields.integer("n", 1, MAX_CHOICES),
        best_of=fields.integer("best_of", 1, MAX_CHOICES),
        echo=fields.flag("echo"),
        logprobs=fields.integer("logprobs", 0, INT32_MAX),
        stop=take_stop(fields),
        seed=fields.integer("seed", INT64_MIN, INT64_MAX),
    )
    call.extra_json = fields.extra()
    _check_best_of(call)
    return CompletionBody(call, stream, include_usage)


def _check_best_of(call: CompletionCall) -> None:
    if call.HasField("best_of") and call.best_of < call.n:
        raise invalid_field(
            "best_of", f"best_of is {call.best_of}, and n is {call.n}; send at least as many"
        )
