"""Any OpenAI-compatible server: llama.cpp, vLLM, LM Studio, Ollama's /v1, remote APIs.

Which one it is (`flavour`) is recognised once and decides how its state is read and what
it makes of a request's fields; a server that went away is recognised anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from lair.router.v1.chat_pb2 import ChatCall, ChatCompletion, ChatEvent
from lair.router.v1.completion_pb2 import CompletionCall
from lair.router.v1.embedding_pb2 import EmbeddingCall, EmbeddingList
from router_svc.backends import counting
from router_svc.backends.collect import collect
from router_svc.backends.connection import Connection, Document, base_url, is_local
from router_svc.backends.flavours import QUESTIONS, Flavour, answered, recognise
from router_svc.backends.normalise import StreamNormaliser
from router_svc.backends.reader import Reader
from router_svc.backends.reply_json import (
    parse_completion,
    parse_lenient,
    parse_object,
    upstream_error,
)
from router_svc.backends.request_json import encode_request
from router_svc.backends.sse import SseDecoder
from router_svc.backends.states.reading import Reading
from router_svc.backends.states.table import read_state
from router_svc.backends.texts import Texts
from router_svc.backends.thinking import SplitThink, split_completion
from router_svc.model import ServedModel, Snapshot, State, UpstreamError
from svckit import settings
from svckit.times import now_us

_PROBE_SECONDS = 3.0
# For each of the small documents beside the list of models.
_STATE_SECONDS = 1.0
_LOADING = "loading its model"


class OpenAIBackend:
    """Speaks `/chat/completions`, `/completions`, `/embeddings` and `/models` below a base URL."""

    kind = "openai"
    last_resort = False

    def __init__(self, config: settings.Backend) -> None:
        self.name = config.name
        self.url = base_url(config)
        self.local = is_local(self.url) if config.local is None else config.local
        self.config = config
        self.flavour = Flavour.OPENAI
        self._recognised = False
        # Whether it takes the wish for a stream's usage; None until it answered one.
        self._takes_usage_wish: bool | None = None
        self._chats = f"{self.url}/chat/completions"
        self._models = tuple(
            ServedModel(id=name, context_length=config.context) for name in config.models
        )
        self._connection = Connection(config)
        self._texts = Texts(self._connection, self.url)

    async def probe(self) -> Snapshot:
        """Read `/models`, and what the server tells beside it."""
        try:
            listing = await self._connection.fetch(f"{self.url}/models", seconds=_PROBE_SECONDS)
        except UpstreamError as error:
            self._recognised, self._takes_usage_wish = False, None
            return Snapshot(State.DOWN, self._models, error.message, now_us())
        try:
            if listing.status == 503:  # noqa: PLR2004  # llama.cpp while it loads
                return Snapshot(State.LOADING, self._models, _LOADING, now_us())
            if listing.status >= 400:  # noqa: PLR2004
                raise upstream_error(listing.status, listing.payload)
            reading = await self._read_state(listing, parse_object(listing.payload))
        except UpstreamError as error:
            # Who names the models has no need of a list.
            if listing.status >= 500 or not self._models:  # noqa: PLR2004
                return Snapshot(State.DOWN, self._models, error.message, now_us())
            return Snapshot(State.UP, self._models, error.message, now_us())
        return Snapshot(
            State.LOADING if reading.loading else State.UP,
            self._of_configured(reading.models),
            _LOADING if reading.loading else "",
            now_us(),
            running=reading.running,
            waiting=reading.waiting,
        )

    async def chat(self, call: ChatCall, model: str) -> ChatCompletion:
        """Answer at once."""
        if self.flavour is Flavour.LLAMACPP and call.n > 1:
            # Only its streams count the tokens of every answer.
            return await collect(self.stream(call, model))
        body = encode_request(call, model, stream=False, flavour=self.flavour)
        completion = parse_completion(await self._connection.read(self._chats, body), model)
        if self.config.split_think:
            split_completion(completion)
        return completion

    def stream(self, call: ChatCall, model: str) -> AsyncGenerator[list[ChatEvent]]:
        """Answer as it is generated."""
        if self._takes_usage_wish is None:
            return self._first_stream(call, model)
        return self._stream(call, model, ask_usage=self._takes_usage_wish)

    async def embed(self, call: EmbeddingCall, model: str) -> EmbeddingList:
        """Make vectors."""
        return await self._texts.embed(call, model)

    async def complete(self, call: CompletionCall, model: str) -> ChatCompletion:
        """Complete a text at once."""
        return await self._texts.complete(call, model, self.flavour)

    def complete_stream(self, call: CompletionCall, model: str) -> AsyncGenerator[list[ChatEvent]]:
        """Complete a text as it is generated."""
        return self._texts.complete_stream(call, model, self.flavour)

    async def count(self, call: ChatCall, model: str) -> int | None:
        """Count a prompt, at the servers that do."""
        return await counting.count(self._connection, self.url, self.flavour, call, model)

    async def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        await self._connection.close()

    def _stream(
        self, call: ChatCall, model: str, *, ask_usage: bool
    ) -> AsyncGenerator[list[ChatEvent]]:
        body = encode_request(call, model, stream=True, flavour=self.flavour, ask_usage=ask_usage)
        reader: Reader = StreamNormaliser(model, answers=call.n or 1)
        if self.config.split_think:
            reader = SplitThink(reader)
        return self._connection.stream(self._chats, body, SseDecoder(), reader)

    async def _first_stream(self, call: ChatCall, model: str) -> AsyncGenerator[list[ChatEvent]]:
        """Ask for the usage as well, and once more without where just that is refused."""
        try:
            async with aclosing(self._stream(call, model, ask_usage=True)) as batches:
                async for events in batches:
                    self._takes_usage_wish = True
                    yield events
        except UpstreamError as error:
            if self._takes_usage_wish or "stream_options" not in error.message:
                raise
        if not self._takes_usage_wish:
            async with aclosing(self._stream(call, model, ask_usage=False)) as batches:
                async for events in batches:
                    self._takes_usage_wish = False
                    yield events

    async def _read_state(self, listing: Document, body: Mapping[str, Any]) -> Reading:
        if not self._recognised:
            flavour = recognise(body, listing.server)
            if flavour is None and self.local and body.get("data"):
                flavour = await self._ask_who_it_is()
            self.flavour = flavour or Flavour.OPENAI
            self._recognised = bool(body.get("data"))
        return await read_state(self.flavour, body, self._fetch)

    async def _ask_who_it_is(self) -> Flavour:
        paths = [path for path, *_ in QUESTIONS]
        replies = await asyncio.gather(*(self._fetch(path) for path in paths))
        return answered(
            {path: parse_lenient(reply) for path, reply in zip(paths, replies, strict=True)}
        )

    async def _fetch(self, path: str) -> bytes | None:
        """Fetch a document below the server's root, whatever its status; None for none."""
        url = self.url.removesuffix("/v1") + path
        try:
            return (await self._connection.fetch(url, seconds=_STATE_SECONDS)).payload
        except UpstreamError:
            return None  # the list of models tells whether the server is there

    def _of_configured(self, told: tuple[ServedModel, ...]) -> tuple[ServedModel, ...]:
        """Return the configured models with what the server tells of them; all if none is."""
        if context := self.config.context:
            told = tuple(replace(model, context_length=context) for model in told)
        if not self._models:
            return told
        known = {model.id: model for model in told}
        return tuple(known.get(model.id, model) for model in self._models)
