"""Ollama by its native API, where windows, load states and abilities are what they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence

import msgspec

from lair.router.v1.chat_pb2 import ChatCall, ChatCompletion, ChatEvent
from lair.router.v1.completion_pb2 import CompletionCall
from lair.router.v1.embedding_pb2 import EmbeddingCall, EmbeddingList
from router_svc.backends.collect import collect
from router_svc.backends.connection import Connection, base_url, is_local
from router_svc.backends.flavours import Flavour
from router_svc.backends.lines import LineDecoder
from router_svc.backends.ollama_reply import OllamaReader
from router_svc.backends.ollama_request import encode_chat, needed_tokens, window
from router_svc.backends.reader import Reader
from router_svc.backends.reply_json import parse_lenient, parse_object, upstream_error
from router_svc.backends.states.ollama import (
    Details,
    Installed,
    parse_ps,
    parse_show,
    parse_tags,
    served,
)
from router_svc.backends.texts import Texts
from router_svc.backends.thinking import SplitThink
from router_svc.model import ServedModel, Snapshot, State, UpstreamError
from svckit import settings
from svckit.times import now_us

_PROBE_SECONDS = 3.0
# Details of this many models are asked for at a time, and of all for so long; the next
# look goes on where this one stopped.
_DETAILS_AT_A_TIME = 4
_DETAILS_SECONDS = 2.0
# Ollama takes so long at most to load a model, and keeps it as long unless told otherwise:
# meanwhile a smaller window would load it anew.
_LOADING_SECONDS = 300.0


class OllamaBackend:
    """Speaks `/api/chat`, for texts `/v1`, below an address that may be written with `/v1`."""

    kind = "ollama"
    last_resort = False
    flavour = Flavour.OLLAMA

    def __init__(self, config: settings.Backend) -> None:
        self.name = config.name
        self.url = base_url(config).removesuffix("/v1").removesuffix("/api")
        self.local = is_local(self.url) if config.local is None else config.local
        self.config = config
        self._connection = Connection(config)
        self._texts = Texts(self._connection, f"{self.url}/v1")
        # By name and digest: a model that is pulled anew is another.
        self._details: dict[tuple[str, str], Details] = {}
        self._served: dict[str, ServedModel] = {}
        # The window of each model that was in memory at the last look.
        self._in_force: dict[str, int | None] = {}
        # The window each model was last asked for with, and when, by `time.monotonic`.
        self._asked: dict[str, tuple[int, float]] = {}

    async def probe(self) -> Snapshot:
        """Read what is installed and what is in memory."""
        try:
            tags = await self._connection.fetch(f"{self.url}/api/tags", seconds=_PROBE_SECONDS)
            ps = await self._connection.fetch(f"{self.url}/api/ps", seconds=_PROBE_SECONDS)
            if tags.status >= 400:  # noqa: PLR2004
                raise upstream_error(tags.status, tags.payload)
            installed = parse_tags(parse_object(tags.payload))
        except UpstreamError as error:
            models = tuple(self._served.values()) or self._configured()
            return Snapshot(State.DOWN, models, error.message, now_us())
        in_force = parse_ps(parse_lenient(ps.payload))
        self._in_force = in_force or {}
        await self._learn(installed)
        told = {model.name: self._model(model, in_force) for model in installed}
        self._served = {m.id: told.get(m.id, m) for m in self._configured()} or told
        return Snapshot(State.UP, tuple(self._served.values()), "", now_us())

    async def chat(self, call: ChatCall, model: str) -> ChatCompletion:
        """Answer at once; asked for as a stream, whose silence shows when the server hangs."""
        return await collect(self.stream(call, model))

    def stream(self, call: ChatCall, model: str) -> AsyncGenerator[list[ChatEvent]]:
        """Answer as it is generated."""
        known = self._served.get(model)
        body = encode_chat(
            call,
            model,
            num_ctx=self._window(call, model, known),
            keep_alive=self.config.keep_alive,
            reasons=known.capabilities.reasoning if known else None,
        )
        reader: Reader = OllamaReader(model)
        if self.config.split_think:
            reader = SplitThink(reader)
        return self._connection.stream(f"{self.url}/api/chat", body, LineDecoder(), reader)

    async def embed(self, call: EmbeddingCall, model: str) -> EmbeddingList:
        """Make vectors."""
        return await self._texts.embed(call, model)

    async def complete(self, call: CompletionCall, model: str) -> ChatCompletion:
        """Complete a text at once."""
        return await self._texts.complete(call, model, self.flavour)

    def complete_stream(self, call: CompletionCall, model: str) -> AsyncGenerator[list[ChatEvent]]:
        """Complete a text as it is generated."""
        return self._texts.complete_stream(call, model, self.flavour)

    async def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        await self._connection.close()

    def _configured(self) -> tuple[ServedModel, ...]:
        return tuple(ServedModel(id=name) for name in self.config.models)

    def _window(self, call: ChatCall, model: str, known: ServedModel | None) -> int | None:
        now = time.monotonic()
        before, when = self._asked.get(model, (0, now))
        loading = before if now - when < _LOADING_SECONDS else 0
        asked = window(
            needed=needed_tokens(call),
            configured=self.config.context,
            in_force=max(self._in_force.get(model) or 0, loading) or None,
            longest=known.context_length if known else None,
        )
        if asked:
            self._asked[model] = (asked, now)
        return asked

    def _model(self, model: Installed, in_force: dict[str, int | None] | None) -> ServedModel:
        details = self._details.get((model.name, model.digest), model.details)
        # The configured window or the longest, as lair asks for what a prompt needs.
        bounds = [bound for bound in (self.config.context, details.context) if bound]
        context = min(bounds) if bounds else (in_force or {}).get(model.name)
        return served(model, details, in_force, context=context)

    async def _learn(self, installed: Sequence[Installed]) -> None:
        """Ask for the details that the list leaves out, once for each model."""
        keys = {(model.name, model.digest) for model in installed}
        self._details = {key: value for key, value in self._details.items() if key in keys}
        lacking = [
            model
            for model in installed
            if (model.name, model.digest) not in self._details
            and (model.details.context is None or model.details.can is None)
        ]
        turn = asyncio.Semaphore(_DETAILS_AT_A_TIME)
        try:
            async with asyncio.timeout(_DETAILS_SECONDS), asyncio.TaskGroup() as tasks:
                for model in lacking:
                    tasks.create_task(self._ask(model, turn))
        except TimeoutError:
            return  # what is known by now is used; the next look asks for the rest

    async def _ask(self, model: Installed, turn: asyncio.Semaphore) -> None:
        body = msgspec.json.encode({"model": model.name})
        async with turn:
            try:
                reply = await self._connection.fetch(
                    f"{self.url}/api/show", seconds=_DETAILS_SECONDS, body=body
                )
            except UpstreamError:
                return
        if reply.status == 200:  # noqa: PLR2004
            details = parse_show(parse_lenient(reply.payload))
            self._details[model.name, model.digest] = Details(
                details.context or model.details.context,
                model.details.can if details.can is None else details.can,
            )
