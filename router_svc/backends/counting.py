"""Counts a prompt's tokens exactly, at the servers that offer it. Nothing is inferred.

llama.cpp counts chats since late 2025 and lets older clients render and tokenise; vLLM
tokenises chats. A count costs a round trip: it is for prompts whose estimate lies near the
window (`tokens.is_close`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from lair.router.v1.chat_pb2 import ChatCall
from router_svc.backends.connection import Connection
from router_svc.backends.flavours import Flavour
from router_svc.backends.reply_json import parse_object, upstream_error, whole
from router_svc.backends.request_json import encode_request
from router_svc.model import UpstreamError
from svckit.logging import get_logger
from svckit.masking import masked

log = get_logger(__name__)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode

# What of a chat vLLM's `/tokenize` takes: it warns of other fields, or refuses them.
_VLLM_FIELDS = ("model", "messages", "tools", "chat_template", "chat_template_kwargs")

_Post = Callable[[str, bytes], Awaitable[dict[str, Any]]]


async def count(
    connection: Connection,
    url: str,
    flavour: Flavour,
    call: ChatCall,
    model: str,
    *,
    seconds: float = 2.0,
) -> int | None:
    """Return the tokens of the prompt of `call` at the server with the base URL `url`.

    None where the server does not count, refuses, or takes longer than `seconds` for a
    step, and for chats with pictures, which no server counts whole.
    """
    way = _WAYS.get(flavour)
    if way is None or not _is_text(call):
        return None

    async def post(address: str, body: bytes) -> dict[str, Any]:
        reply = await connection.fetch(address, seconds=seconds, body=body)
        if reply.status >= 400:  # noqa: PLR2004
            raise upstream_error(reply.status, reply.payload)
        return parse_object(reply.payload)

    try:
        body = encode_request(call, model, stream=False, flavour=flavour)
        return await way(post, url.rstrip("/"), body)
    except UpstreamError as error:
        log.debug("tokens were not counted", url=masked(url), error=error.public_message)
        return None


async def _llamacpp(post: _Post, url: str, body: bytes) -> int | None:
    try:
        reply = await post(f"{url}/chat/completions/input_tokens", body)
        return whole(reply.get("input_tokens"))
    except UpstreamError as error:
        if error.status not in (404, 405, 501):
            raise
    root, model = url.removesuffix("/v1"), _decode(body)["model"]
    prompt = (await post(f"{root}/apply-template", body)).get("prompt")
    if not isinstance(prompt, str):
        return None
    # As a chat is tokenised: with a beginning-of-text token, where the model has one.
    text = {"model": model, "content": prompt, "add_special": True, "parse_special": True}
    tokens = (await post(f"{root}/tokenize", _encode(text))).get("tokens")
    return len(tokens) if isinstance(tokens, list) else None


async def _vllm(post: _Post, url: str, body: bytes) -> int | None:
    chat = _decode(body)
    taken = {name: chat[name] for name in _VLLM_FIELDS if name in chat}
    reply = await post(f"{url.removesuffix('/v1')}/tokenize", _encode(taken))
    return whole(reply.get("count"))


_WAYS: dict[Flavour, Callable[[_Post, str, bytes], Awaitable[int | None]]] = {
    Flavour.LLAMACPP: _llamacpp,
    Flavour.VLLM: _vllm,
}


def _is_text(call: ChatCall) -> bool:
    return all(
        part.HasField("text")
        for message in call.messages
        if message.HasField("parts")
        for part in message.parts.parts
    )
