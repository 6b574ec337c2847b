"""What OpenAI-compatible servers do with plain texts: complete them, make vectors of them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from lair.router.v1.chat_pb2 import ChatCompletion, ChatEvent
from lair.router.v1.completion_pb2 import CompletionCall
from lair.router.v1.embedding_pb2 import EmbeddingCall, EmbeddingList
from router_svc.backends.collect import collect
from router_svc.backends.completion_json import (
    answer_count,
    encode_completion_request,
    parse_text_completion,
)
from router_svc.backends.connection import Connection
from router_svc.backends.embedding_json import encode_embedding_request, parse_embeddings
from router_svc.backends.flavours import Flavour
from router_svc.backends.sse import SseDecoder
from router_svc.backends.text_stream import TextStream
from router_svc.model import UpstreamError

_FORM = re.compile(r"encoding[ _]format|base64", re.IGNORECASE)
_NO_SUCH_PATH = (404, 405)


class Texts:
    """The `/completions` and `/embeddings` below a base URL."""

    def __init__(self, connection: Connection, url: str) -> None:
        self._connection = connection
        self._completions = f"{url}/completions"
        self._embeddings = f"{url}/embeddings"
        self._knows_base64 = True

    async def complete(self, call: CompletionCall, model: str, flavour: Flavour) -> ChatCompletion:
        """Complete at once. Raises `UpstreamError`."""
        if flavour is Flavour.LLAMACPP and answer_count(call) > 1:
            # Only its streams count the tokens of every answer.
            return await collect(self.complete_stream(call, model, flavour))
        body = encode_completion_request(call, model, stream=False)
        return parse_text_completion(await self._connection.read(self._completions, body), model)

    def complete_stream(
        self, call: CompletionCall, model: str, flavour: Flavour
    ) -> AsyncGenerator[list[ChatEvent]]:
        """Complete as it is generated. Raises `UpstreamError`."""
        body = encode_completion_request(call, model, stream=True, flavour=flavour)
        reader = TextStream(call, model)
        return self._connection.stream(self._completions, body, SseDecoder(), reader)

    async def embed(self, call: EmbeddingCall, model: str) -> EmbeddingList:
        """Return one vector for each input, asked for in the shortest form the server knows."""
        if self._knows_base64:
            try:
                return await self._ask_vectors(call, model, as_base64=True)
            except UpstreamError as error:
                if error.reason != "UPSTREAM_REJECTED" or not _FORM.search(error.message):
                    raise
                self._knows_base64 = False
        return await self._ask_vectors(call, model, as_base64=False)

    async def _ask_vectors(
        self, call: EmbeddingCall, model: str, *, as_base64: bool
    ) -> EmbeddingList:
        body = encode_embedding_request(call, model, as_base64=as_base64)
        try:
            payload = await self._connection.read(self._embeddings, body)
        except UpstreamError as error:
            if error.status not in _NO_SUCH_PATH:
                raise
            # A server for chats is none the worse for having no vectors.
            raise UpstreamError("UPSTREAM_REJECTED", error.message, status=error.status) from error
        return parse_embeddings(payload, call, model)
