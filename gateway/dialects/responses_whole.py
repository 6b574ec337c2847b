"""A whole answer as a Response object. Pure."""

from __future__ import annotations

import msgspec

from gateway.dialects.responses_items import logprobs_of, output_items
from gateway.dialects.responses_object import Asked, ending_of, response_json
from lair.router.v1.chat_pb2 import ChatCompletion

_encode = msgspec.json.Encoder().encode


def whole_response_json(asked: Asked, completion: ChatCompletion) -> bytes:
    """Write the first of the answers, which is the only one that is asked for."""
    choice = completion.choices[0]
    ending = ending_of(choice.finish_reason)
    output = output_items(
        choice.message,
        asked.digits,
        status=ending.item_status,
        custom=asked.custom_tools,
        sealed=asked.sealed,
        logprobs=logprobs_of(choice.logprobs_json),
    )
    return _encode(
        response_json(
            asked,
            ending,
            model=completion.model,
            output=output,
            usage=completion.usage if completion.HasField("usage") else None,
            extra=completion.extra_json,
        )
    )
