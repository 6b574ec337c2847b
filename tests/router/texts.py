"""Calls for texts and vectors, and what scripted backends answer to them."""

from __future__ import annotations

import base64
import struct
from typing import Any

from lair.common.v1.caller_pb2 import Caller
from lair.router.v1.chat_pb2 import ChatEvent, RouteHints
from lair.router.v1.completion_pb2 import CompletionCall
from lair.router.v1.embedding_pb2 import EmbeddingCall
from lair.router.v1.input_pb2 import TextInput, TokenList
from lair.router.v1.router_service_pb2 import (
    CompleteRequest,
    CompleteResponse,
    CompleteStreamRequest,
    EmbedRequest,
    EmbedResponse,
)
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.fakes.answers import Answer, event, reply, usage_of
from tests.router.world import DEADLINE_SECONDS, text_of


def texts(*items: str | list[int]) -> list[TextInput]:
    """Return texts as words or as tokens."""
    return [
        TextInput(text=item) if isinstance(item, str) else TextInput(tokens=TokenList(ids=item))
        for item in items
    ]


def embedding(*items: str | list[int], backend: str = "", **fields: Any) -> EmbeddingCall:
    """Return a request of `ann` for the vectors of `items`."""
    return EmbeddingCall(
        inputs=texts(*items),
        caller=Caller(user_id="ann"),
        route=RouteHints(backend=backend),
        **{"model": "tiny", **fields},
    )


def completing(*items: str | list[int], backend: str = "", **fields: Any) -> CompletionCall:
    """Return a request of `ann` to complete `items`."""
    return CompletionCall(
        prompts=texts(*items),
        caller=Caller(user_id="ann"),
        route=RouteHints(backend=backend),
        **fields,
    )


async def embed(router: RouterServiceStub, call: EmbeddingCall) -> EmbedResponse:
    """Ask for vectors."""
    return await router.Embed(EmbedRequest(call=call), timeout=DEADLINE_SECONDS)


async def complete(router: RouterServiceStub, call: CompletionCall) -> CompleteResponse:
    """Ask for a completion at once."""
    return await router.Complete(CompleteRequest(call=call), timeout=DEADLINE_SECONDS)


async def complete_stream(router: RouterServiceStub, call: CompletionCall) -> list[ChatEvent]:
    """Ask for a completion as a stream; return all its events."""
    request = CompleteStreamRequest(call=call)
    stream = router.CompleteStream(request, timeout=DEADLINE_SECONDS)
    return [item async for response in stream for item in response.events]


async def completed_text(router: RouterServiceStub, call: CompletionCall, *, streamed: bool) -> str:
    """Ask either way; return the text of the first answer."""
    if streamed:
        return text_of(await complete_stream(router, call))
    return (await complete(router, call)).completion.choices[0].message.text


def numbers(response: EmbedResponse) -> list[list[float]]:
    """Unpack the vectors of a response."""
    return [unpacked(item.float32_values) for item in response.result.embeddings]


def unpacked(values: bytes) -> list[float]:
    """Unpack one vector."""
    return list(struct.unpack(f"<{len(values) // 4}f", values))


def in_base64(vector: list[float]) -> str:
    """Pack one vector as a server does that was asked for base64."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def vectors(*items: Any, **more: Any) -> Answer:
    """Answer with vectors, each a list or base64, or an item as it is."""
    data = [
        item if isinstance(item, dict) else {"object": "embedding", "index": n, "embedding": item}
        for n, item in enumerate(items)
    ]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    return reply({"object": "list", "model": "tiny", "data": data, "usage": usage, **more})


def counted(body: dict[str, Any]) -> Answer:
    """Answer each input with a vector of its place, in the form that was asked for."""
    given = body["input"]
    count = len(given) if isinstance(given, list) and isinstance(given[0], str | list) else 1
    items = [[float(n), 0.5] for n in range(count)]
    return vectors(*(in_base64(v) for v in items) if body["encoding_format"] == "base64" else items)


def text_chunk(text: str = "", *, index: int = 0, finish: str | None = None, **more: Any) -> bytes:
    """Frame a chunk of a text; `more` are further fields of the chunk."""
    choice = {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
    return event(
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1700000000,
            "model": "tiny",
            "choices": [choice],
            **more,
        }
    )


def text_completion(*items: str, **more: Any) -> Answer:
    """Answer with a whole text completion, one choice for each of `items`."""
    choices = [
        {"text": text, "index": n, "logprobs": None, "finish_reason": "length"}
        for n, text in enumerate(items)
    ]
    return reply(
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1700000000,
            "model": "tiny",
            "choices": choices,
            "usage": usage_of(5, 2),
            **more,
        }
    )
